import WaggleBase
import WaggleFormats
import WaggleNetwork

/// What is asked and answered when, on every link; and what is made of what comes in.
///
/// ```
/// link appears ──20–120 ms──▶ ask, announce ──1 s──▶ ask, announce ──2 s──▶ ask ──4 s──▶ … every 5 min
/// question in  ──20–120 ms──▶ answer, at most once a second a link
/// answer in    ──▶ found, at most once a minute a peer unless its addresses change
/// ```
struct MDNSMachine: Machine {
    /// One interface in one of the two worlds.
    struct Link: Hashable, Comparable {
        var interface: UInt32
        var isVersion6: Bool

        static func < (left: Link, right: Link) -> Bool {
            (left.interface, left.isVersion6 ? 1 : 0) < (right.interface, right.isVersion6 ? 1 : 0)
        }
    }

    /// Who sent a packet.
    struct Origin {
        var address: SocketAddress
        /// Whether the address belongs to a network of the interface. What is sent to one asker goes to no other: its address may be made up.
        var isOnLink = true
    }

    enum Input {
        /// The links that there are now.
        case links(Set<Link>)
        /// What this node announces changed, on some interfaces or (nil) on all: links behave as if they were new.
        case refresh(Set<UInt32>? = nil)
        case packet(DNSMessage, from: Origin, on: Link)
        /// The last connection with a peer is gone: what it says next is news again.
        case lost(PeerID)
        case tick
    }

    enum Output: Equatable {
        case ask(Link)
        case answer(Link)
        /// The answer for one asker: with its id and question where it is no multicast resolver.
        case reply(Link, to: SocketAddress, id: UInt16, question: DNSMessage.Question?)
        case found(PeerID, [Multiaddr])
    }

    private struct Schedule {
        var question: Instant
        var interval = MDNSLimits.shortestInterval
        var announcements = 2
        var answer: Instant?
        var lastAnswer: Instant?
    }

    private struct Known {
        /// All that it told: on one interface others may come than on the next.
        var addresses: Set<Multiaddr>
        var at: Instant
    }

    private let ourselves: PeerID
    private let names: MDNSNames
    private var random: UInt64
    private var schedules: [Link: Schedule] = [:]
    private var known: [PeerID: Known] = [:]
    private var replies = Allowance(MDNSLimits.replies)
    private var discoveries = Allowance(MDNSLimits.discoveries)
    private var outputs = Deque<Output>()

    /// - Parameter random: any number; the times of questions and answers come from it.
    init(_ ourselves: PeerID, _ names: MDNSNames, random: UInt64) {
        self.ourselves = ourselves
        self.names = names
        self.random = random
    }

    mutating func handle(_ input: consuming Input, at now: Instant) {
        switch input {
        case .links(let links):
            schedules = schedules.filter { links.contains($0.key) }
            for link in links.sorted() where schedules[link] == nil { schedules[link] = Schedule(question: now + pick(MDNSLimits.firstQuestion)) }
        case .refresh(let interfaces):
            for link in schedules.keys.sorted() where interfaces?.contains(link.interface) ?? true {
                var fresh = Schedule(question: now + pick(MDNSLimits.firstQuestion))
                fresh.lastAnswer = schedules[link]?.lastAnswer
                schedules[link] = fresh
            }
        case .packet(let message, let origin, let link):
            guard message.isStandard, schedules[link] != nil else { return }
            if message.isResponse { read(message, from: origin.address, at: now) } else { answer(message, to: origin, on: link, at: now) }
        case .lost(let peer): known[peer] = nil
        case .tick:
            for link in schedules.keys.sorted() { advance(link, now) }
        }
    }

    mutating func next() -> Output? { outputs.popFirst() }

    var deadline: Instant? { schedules.values.map { min($0.question, $0.answer ?? .distantFuture) }.min() }

    // MARK: Time

    private mutating func advance(_ link: Link, _ now: Instant) {
        guard var schedule = schedules[link] else { return }
        if schedule.question <= now {
            outputs.append(.ask(link))
            schedule.question = now + schedule.interval
            schedule.interval = min(schedule.interval + schedule.interval, MDNSLimits.longestInterval)
            if schedule.announcements > 0 {
                schedule.announcements -= 1
                schedule.answer = schedule.lastAnswer.map { max(now, $0 + MDNSLimits.answerInterval) } ?? now
            }
        }
        if let due = schedule.answer, due <= now {
            schedule.answer = nil
            schedule.lastAnswer = now
            outputs.append(.answer(link))
        }
        schedules[link] = schedule
    }

    private mutating func pick(_ range: ClosedRange<Duration>) -> Duration {
        random = random &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
        let span = UInt64((range.upperBound - range.lowerBound).wholeNanoseconds) + 1
        return range.lowerBound + .nanoseconds(Int64((random >> 16) % span))
    }

    // MARK: Questions of others

    private mutating func answer(_ message: DNSMessage, to origin: Origin, on link: Link, at now: Instant) {
        // Who knows us already and will for a while need not hear it again (RFC 6762, section 7.1).
        let isKnown = message.answers.contains {
            $0.name == names.service && $0.data == .pointer(names.instance) && $0.seconds >= MDNSLimits.recordSeconds / 2
        }
        let questions = message.questions.filter { names.answers($0) && !(isKnown && $0.name == names.service) }
        guard let question = questions.first else { return }
        if origin.address.port != MDNSNames.port {
            if origin.isOnLink, replies.take(now) { outputs.append(.reply(link, to: origin.address, id: message.id, question: question)) }
            return
        }
        if origin.isOnLink, questions.contains(where: \.wantsUnicast), replies.take(now) {
            outputs.append(.reply(link, to: origin.address, id: 0, question: nil))
        }
        guard var schedule = schedules[link], schedule.answer == nil else { return }
        let soonest = schedule.lastAnswer.map { $0 + MDNSLimits.answerInterval } ?? now
        schedule.answer = max(now + pick(MDNSLimits.answerDelay), soonest)
        schedules[link] = schedule
    }

    // MARK: Answers of others

    private mutating func read(_ message: DNSMessage, from source: SocketAddress, at now: Instant) {
        guard source.port == MDNSNames.port else { return }
        var found: [PeerID: [Multiaddr]] = [:]
        var order: [PeerID] = []
        for record in message.answers + message.additional {
            guard case .texts(let texts) = record.data, record.seconds > 0, record.name.isChild(of: names.service), record.name != names.instance else {
                continue
            }
            for text in texts {
                guard let (peer, address) = names.address(in: text), peer != ourselves, leadsToNeighbour(address, source) else { continue }
                if found[peer] == nil {
                    guard found.count < MDNSLimits.peersPerPacket else { continue }
                    order.append(peer)
                }
                guard found[peer, default: []].count < MDNSLimits.addressesPerPeer else { continue }
                if !found[peer, default: []].contains(address) { found[peer, default: []].append(address) }
            }
        }
        for peer in order { tell(peer, found[peer] ?? [], now) }
    }

    /// Whether an address told by `source` can be where a neighbour is. What others say must not have us dial ourselves, or everybody.
    private func leadsToNeighbour(_ address: Multiaddr, _ source: SocketAddress) -> Bool {
        guard let ip = address.ip?.unmapped, !ip.isUnspecified, !ip.isMulticast else { return false }
        // An address of one link alone cannot be dialed without naming the link, which IPv6 wants.
        if case .v6 = ip, ip.isLinkLocal { return false }
        return !ip.isLoopback || source.ip.isLoopback
    }

    private mutating func tell(_ peer: PeerID, _ addresses: [Multiaddr], _ now: Instant) {
        var all = Set(addresses)
        if let known = known[peer], now - known.at < MDNSLimits.repeatAfter {
            if known.addresses.isSuperset(of: all) { return }
            if known.addresses.count < 2 * MDNSLimits.addressesPerPeer { all.formUnion(known.addresses) }
        }
        guard discoveries.take(now) else { return }
        if known[peer] == nil, known.count >= MDNSLimits.peers, let oldest = known.min(by: { $0.value.at < $1.value.at }) { known[oldest.key] = nil }
        known[peer] = Known(addresses: all, at: now)
        outputs.append(.found(peer, addresses))
    }
}

/// So many at once, and so many a second.
struct Allowance {
    private let rate: Int
    private var left: Double
    private var at: Instant?

    init(_ rate: Int) {
        self.rate = rate
        left = Double(rate)
    }

    mutating func take(_ now: Instant) -> Bool {
        if let at { left = min(Double(rate), left + Double((now - at).wholeNanoseconds) / 1e9 * Double(rate)) }
        at = now
        guard left >= 1 else { return false }
        left -= 1
        return true
    }
}
