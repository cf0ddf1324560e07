import WaggleBase
import WaggleFormats
import WaggleNetwork

/// One iterative search for the peers closest to a place, over disjoint paths.
///
/// The peers that the search begins with are dealt out to the paths, and each path follows only what its own peers tell it; no peer is asked by
/// two paths (S/Kademlia, section 4.4), so that who misleads one of them does not mislead the search. A path ends when the `beta` closest peers
/// that it knows have answered; when all have ended, the `k` closest of all are asked as far as they were not (as go-libp2p does), and the
/// search is over when those have answered. A peer that takes longer than the patience of the moment no longer holds others up; when its
/// answer comes after all, it counts. Of one IP group only some peers count.
///
///     heard ──ask──▶ asked ──patience──▶ slow
///                      │ answer            │ answer
///                      ├──────▶ answered ◀─┘          any ──failed──▶ failed
package struct LookupMachine: Machine {
    package typealias Failure = Never

    package struct Settings: Sendable {
        /// Peers that are searched for.
        var k = 20
        /// Requests at once.
        var alpha = 10
        /// Closest peers of a path that must have answered.
        var beta = 3
        var paths = 3
        /// After this a peer counts as slow.
        package var patience = Duration.seconds(2)
        var requests = KademliaLimits.requestsPerLookup
        var groupLimit = KademliaLimits.groupPerLookup
        package var end: Instant
        /// Peers whose places share more than so many bits with this one are left out: a crowd that the search is to get around.
        package var avoided: (place: KademliaKey, bits: Int)?

        package init(end: Instant) { self.end = end }
    }

    package struct Candidate: Sendable {
        package let key: KademliaKey
        package private(set) var contact: KademliaContact
        /// Where its addresses, and once it has answered its connection, say that it is.
        fileprivate(set) var group: IPGroup?

        mutating func merge(_ addresses: [Multiaddr]) {
            for address in addresses where contact.addresses.count < 2 * KademliaLimits.addressesPerPeer && !contact.addresses.contains(address) {
                contact.addresses.append(address)
            }
        }

        package init(_ contact: KademliaContact) {
            self.init(contact, key: KademliaKey(contact.peer), group: IPGroup(contact.addresses))
        }

        init(_ contact: KademliaContact, key: KademliaKey, group: IPGroup?) {
            self.key = key
            self.contact = contact
            self.group = group
        }
    }

    package enum Input {
        /// The peers to begin with.
        case begin([Candidate])
        /// The peer with this number answered and told of these. `group` is where its connection leads, which it cannot make up.
        case answered(Int, closer: [Candidate], group: IPGroup? = nil)
        case failed(Int)
        /// What was looked for is found.
        case stop
        case tick
    }

    package enum Output {
        /// Ask this peer; `answered` or `failed` with its number must follow.
        case ask(Int, KademliaContact)
        /// The search is over; late answers are of no use any more.
        case finished
    }

    private enum State: Equatable {
        case heard
        case asked(Instant)
        case slow
        case answered
        case failed
    }

    private struct Entry {
        var candidate: Candidate
        let distance: KademliaKey
        var state = State.heard
        /// The path that asks it.
        var path = -1
        /// Steps from the peers that the search began with.
        var hops: Int
    }

    private struct Path {
        /// What the path knows, the closest first.
        var known: [Int32] = []
        var inFlight = 0
        var isDone = false
    }

    let target: KademliaKey
    let settings: Settings
    private let own: KademliaKey
    private var entries: [Entry] = []
    private var numbers: [KademliaKey: Int32] = [:]
    /// All entries, the closest first.
    private var order: [Int32] = []
    /// Those that were asked and are waited for.
    private var pending: [Int32] = []
    private var paths: [Path]
    private var follows = false
    private var inFlight = 0
    package private(set) var requests = 0
    private var answers = 0
    package private(set) var isOver = false
    private var outputs = Deque<Output>()

    /// `own` is never asked.
    package init(target: KademliaKey, own: KademliaKey, settings: Settings) {
        self.target = target
        self.own = own
        self.settings = settings
        paths = Array(repeating: Path(), count: max(1, min(settings.paths, settings.alpha)))
    }

    // MARK: Machine

    package mutating func handle(_ input: consuming Input, at now: Instant) {
        guard !isOver else { return }
        switch input {
        case .begin(let seeds):
            let sorted = seeds.map { (candidate: $0, distance: $0.key ^ target) }.sorted { $0.distance < $1.distance }
            for (index, seed) in sorted.enumerated() { learn(seed.candidate, hops: 1, path: index % paths.count) }
        case .answered(let number, let closer, let group):
            guard settle(number, as: .answered) else { return }
            if let group { entries[number].candidate.group = group }
            let entry = entries[number]
            for candidate in closer { learn(candidate, hops: entry.hops + 1, path: entry.path) }
        case .failed(let number): guard settle(number, as: .failed) else { return }
        case .stop: return finish()
        case .tick:
            if now >= settings.end { return finish() }
            for number in pending {
                guard case .asked(let since) = entries[Int(number)].state, now - since >= settings.patience else { continue }
                _ = settle(Int(number), as: .slow)
            }
        }
        advance(now)
    }

    package mutating func next() -> Output? { outputs.popFirst() }

    package var deadline: Instant? {
        guard !isOver else { return nil }
        var earliest = settings.end
        for number in pending {
            if case .asked(let since) = entries[Int(number)].state { earliest = min(earliest, since + settings.patience) }
        }
        return earliest
    }

    // MARK: Results

    /// The closest peers that answered, the closest first.
    package var closest: [Candidate] {
        var result: [Candidate] = []
        var groups: [IPGroup: Int] = [:]
        for number in order where result.count < settings.k {
            let entry = entries[Int(number)]
            guard entry.state == .answered else { continue }
            if let group = entry.candidate.group {
                guard groups[group, default: 0] < settings.groupLimit else { continue }
                groups[group, default: 0] += 1
            }
            result.append(entry.candidate)
        }
        return result
    }

    /// Steps that led to the closest peer that answered.
    package var hops: Int { entries.filter { $0.state == .answered }.min { $0.distance < $1.distance }?.hops ?? 0 }

    /// The peers that an answer names, as far as `accepts` takes them. Of those that were asked already nothing is read but the id.
    package func candidates(in answer: KademliaMessage, where accepts: (KademliaContact) -> Bool) -> [Candidate] {
        var candidates: [Candidate] = []
        candidates.reserveCapacity(settings.k)
        answer.forEachPeer(providers: false) { row in
            guard let key = answer.place(row) else { return }
            if let number = numbers[key], entries[Int(number)].state != .heard {
                candidates.append(entries[Int(number)].candidate)
            } else if let contact = answer.contact(row), accepts(contact) {
                candidates.append(Candidate(contact, key: key, group: IPGroup(contact.addresses)))
            }
        }
        return candidates
    }

    // MARK: Inside

    private mutating func learn(_ candidate: Candidate, hops: Int, path: Int) {
        guard candidate.key != own else { return }
        if let avoided = settings.avoided, candidate.key.commonPrefix(with: avoided.place) > avoided.bits { return }
        let number: Int32
        if let known = numbers[candidate.key] {
            number = known
            // The first to name a peer may have named it falsely.
            if entries[Int(number)].state == .heard { entries[Int(number)].candidate.merge(candidate.contact.addresses) }
        } else {
            guard entries.count < paths.count * KademliaLimits.candidatesPerPath else { return }
            number = Int32(truncatingIfNeeded: entries.count)
            numbers[candidate.key] = number
            entries.append(Entry(candidate: candidate, distance: candidate.key ^ target, hops: hops))
            order.insert(number, at: place(of: number, in: order))
        }
        guard path >= 0 else { return }
        let low = place(of: number, in: paths[path].known)
        if low < paths[path].known.count, paths[path].known[low] == number { return }
        paths[path].known.insert(number, at: low)
        if paths[path].known.count > KademliaLimits.candidatesPerPath { paths[path].known.removeLast() }
        paths[path].isDone = false
    }

    /// Where an entry belongs in a list that is sorted by distance, by halving.
    private func place(of number: Int32, in list: [Int32]) -> Int {
        let distance = entries[Int(number)].distance
        var (low, high) = (0, list.count)
        while low < high {
            let middle = (low + high) / 2
            if entries[Int(list[middle])].distance < distance { low = middle + 1 } else { high = middle }
        }
        return low
    }

    /// Says whether there was something to settle.
    private mutating func settle(_ number: Int, as state: State) -> Bool {
        guard entries.indices.contains(number) else { return false }
        switch entries[number].state {
        case .asked:
            inFlight -= 1
            pending.removeAll { $0 == Int32(truncatingIfNeeded: number) }
            let path = entries[number].path
            if path >= 0 { paths[path].inFlight -= 1 }
        case .slow: if state == .slow { return false }
        case .heard, .answered, .failed: return false
        }
        entries[number].state = state
        if state == .answered { answers += 1 }
        return true
    }

    private mutating func ask(_ number: Int, path: Int, _ now: Instant) {
        entries[number].state = .asked(now)
        entries[number].path = path
        paths[path].inFlight += 1
        inFlight += 1
        requests += 1
        pending.append(Int32(truncatingIfNeeded: number))
        outputs.append(.ask(number, entries[number].candidate.contact))
    }

    private mutating func advance(_ now: Instant) {
        if !follows {
            for path in paths.indices { advance(path: path, now) }
            follows = paths.allSatisfy(\.isDone)
        }
        if follows { followUp(now) }
    }

    /// Asks the closest that the path knows until enough of them have answered.
    private mutating func advance(path: Int, _ now: Instant) {
        // What one path may have under way; the remainder goes to the first ones.
        let share = settings.alpha / paths.count + (path < settings.alpha % paths.count ? 1 : 0)
        var answered = 0
        var waits = false
        var groups: [IPGroup: Int] = [:]
        for known in paths[path].known {
            let number = Int(known)
            let state = entries[number].state
            if state == .failed || state == .slow { continue }
            if let group = entries[number].candidate.group {
                guard groups[group, default: 0] < settings.groupLimit else { continue }
                groups[group, default: 0] += 1
            }
            switch state {
            case .answered:
                answered += 1
                if answered >= settings.beta, !waits {
                    paths[path].isDone = true
                    return
                }
            case .asked: waits = true
            case .heard:
                waits = true
                guard requests < settings.requests else {
                    paths[path].isDone = true
                    return
                }
                guard paths[path].inFlight < share else { return }
                ask(number, path: path, now)
            case .slow, .failed: break
            }
            if paths[path].inFlight >= share { return }
        }
        // Nobody is left to ask: done as soon as nobody is waited for.
        if !waits { paths[path].isDone = true }
    }

    /// The `k` closest of all paths must have answered.
    private mutating func followUp(_ now: Instant) {
        var counted = 0
        var waits = false
        var groups: [IPGroup: Int] = [:]
        for number in order.lazy.map({ Int($0) }) {
            guard counted < settings.k else { break }
            let state = entries[number].state
            if state == .failed || state == .slow { continue }
            if let group = entries[number].candidate.group {
                guard groups[group, default: 0] < settings.groupLimit else { continue }
                groups[group, default: 0] += 1
            }
            counted += 1
            switch state {
            case .asked: waits = true
            case .heard:
                guard requests < settings.requests else { continue }
                waits = true
                if inFlight < settings.alpha { ask(number, path: entries[number].path >= 0 ? entries[number].path : number % paths.count, now) }
            case .answered, .slow, .failed: break
            }
        }
        // Slow peers are better than none.
        if !waits, answers >= settings.beta || !entries.contains(where: { $0.state == .slow }) { finish() }
    }

    private mutating func finish() {
        guard !isOver else { return }
        isOver = true
        outputs.append(.finished)
    }
}
