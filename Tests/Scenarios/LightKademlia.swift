import Synchronization
import WaggleBase
import WaggleCryptography
import WaggleFormats
import WaggleNetwork
import WaggleServices
import WaggleSimulation

/// A network of hash tables over the lightest shell that is honest: ten thousand nodes in one process.
///
/// Real: every node's table, searches, provider records, timeouts, and every message, encoded and decoded. Simulated: the way of a message (a
/// delay drawn for it) and what connections bring along (the two sides of a first exchange identify themselves to each other). A dead node
/// never answers; who asks it gives up after the real time-out. Connections, streams and their limits are not there.
final class LightKademlia {
    final class Node {
        let contact: KademliaContact
        let key: KademliaKey
        let responder: KademliaResponder
        var isAlive = true
        /// Tells only of its kind, keeps nothing.
        var isSybil = false
        var latency = LatencyEstimator()
        var size = NetworkSize()

        init(_ contact: KademliaContact, now: Instant) {
            self.contact = contact
            key = KademliaKey(contact.peer)
            responder = KademliaResponder(peer: contact.peer, configuration: KademliaConfiguration(prefix: "/light", scope: .any), now: now)
        }
    }

    private(set) var nodes: [Node] = []
    private var byPeer: [PeerID: Node] = [:]
    private var timers = TimerQueue()
    private(set) var now = Instant(nanoseconds: 1_000_000_000)
    var random: SeededRandom
    private(set) var messages = 0
    private(set) var bytes = 0
    /// The sybils, the closest to their target first.
    var sybils: [Node] = []

    init(seed: UInt64) { random = SeededRandom(seed: seed) }

    var wallTime: WallTime { WallTime(nanoseconds: 1_767_225_600_000_000_000 + Int64(now.nanoseconds)) }

    // MARK: Nodes

    /// Adds a node with a random id at a random public address.
    func add() -> Node { add(LightKademlia.peer(&random), at: publicAddress()) }

    func add(_ peer: PeerID, at ip: UInt32) -> Node {
        let address = Multiaddr(SocketAddress(ip: .v4(ip), port: 4001), over: .tcp)
        let node = Node(KademliaContact(peer: peer, addresses: [address]), now: now)
        nodes.append(node)
        byPeer[peer] = node
        return node
    }

    func publicAddress() -> UInt32 {
        while true {
            let ip = UInt32.random(in: 0x0100_0000..<0xdf00_0000, using: &random)
            if !IPAddress.v4(ip).isPrivate { return ip }
        }
    }

    static func peer(_ random: inout SeededRandom) -> PeerID {
        var bytes: [UInt8] = [0x12, 0x20]
        for _ in 0..<4 {
            let word = random.next()
            for shift in 0..<8 { bytes.append(UInt8(truncatingIfNeeded: word >> UInt64(8 * shift))) }
        }
        guard let peer = try? PeerID(bytes: Bytes(bytes)) else { preconditionFailure("34 bytes with the header of SHA2-256 are a PeerID") }
        return peer
    }

    /// Ids whose places share at least `bits` with `target`, found by trying.
    static func peers(near target: KademliaKey, bits: Int, count: Int, _ random: inout SeededRandom) -> [PeerID] {
        var found: [PeerID] = []
        var candidate = [UInt8](repeating: 0, count: 34)
        candidate[0] = 0x12
        candidate[1] = 0x20
        var number = random.next()
        while found.count < count {
            number &+= 1
            let place = candidate.withUnsafeMutableBytes { bytes in
                bytes.storeBytes(of: number, toByteOffset: 2, as: UInt64.self)
                return KademliaKey(hashing: UnsafeRawBufferPointer(bytes))
            }
            if place.commonPrefix(with: target) >= bits, let peer = try? PeerID(bytes: Bytes(candidate)) { found.append(peer) }
        }
        return found
    }

    // MARK: Time

    private func later(_ duration: Duration, _ body: @escaping () -> Void) -> Timer { timers.schedule(at: now + duration, body) }

    /// Lets time pass until `isDone`, or nothing is left to do.
    func run(until isDone: () -> Bool) {
        while !isDone(), let next = timers.nextDeadline {
            now = max(now, next)
            while !isDone(), let fire = timers.popDue(at: now) { fire() }
        }
    }

    func pass(_ duration: Duration) {
        var isOver = false
        _ = later(duration) { isOver = true }
        run { isOver }
    }

    // MARK: Messages

    private var delay: Duration { .milliseconds(Int.random(in: 20...120, using: &random)) }

    /// Sends a request and hears of the answer, or of its failure.
    private func send(_ request: Bytes, from node: Node, to contact: KademliaContact, _ done: @escaping (KademliaMessage?) -> Void) {
        messages += 1
        bytes += request.count
        let begin = now
        var isSettled = false
        let timeout = later(KademliaLimits.requestTimeout) { [unowned self] in
            isSettled = true
            table(node, .failed(contact.peer))
            done(nil)
        }
        // A new connection takes two more ways: handshake and identify.
        _ = later(delay + delay + delay) { [unowned self] in
            guard let other = byPeer[contact.peer], other.isAlive else { return }
            table(other, .confirmed(node.contact, isConnected: true))
            guard let answer = answer(request, from: node, at: other) else { return }
            bytes += answer.count
            _ = later(delay) { [unowned self] in
                guard !isSettled else { return }
                isSettled = true
                timers.cancel(timeout)
                node.latency.record(now - begin)
                table(node, .confirmed(other.contact, isConnected: true))
                table(node, .answered(other.contact.peer))
                done(try? KademliaMessage(answer))
            }
        }
    }

    private func answer(_ request: Bytes, from node: Node, at other: Node) -> Bytes? {
        if other.isSybil { return sybilAnswer(request) }
        switch other.responder.answer(request, from: node.contact.peer, at: node.key, now: wallTime) {
        case .reply(let bytes): return bytes
        case .stored(let bytes): return bytes ?? KademliaMessage.encode(.addProvider)
        case .refused: return nil
        }
    }

    /// A sybil names twenty others of its kind and no provider.
    private func sybilAnswer(_ request: Bytes) -> Bytes? {
        guard let message = try? KademliaMessage(request) else { return nil }
        var writer = ProtobufWriter(capacity: 2048)
        KademliaMessage.begin(&writer, message.kind, key: message.key)
        for sybil in sybils.shuffled(using: &random).prefix(20) {
            KademliaMessage.write(peer: KademliaMessage.encode(sybil.contact), isConnected: true, field: KademliaMessage.closerField, &writer)
        }
        return writer.finish()
    }

    private func table(_ node: Node, _ input: RoutingTableMachine.Input) {
        var checks: [PeerID] = []
        node.responder.state.withLock { state in
            state.table.handle(input, at: now)
            while let output = state.table.next() { if case .check(let peer) = output { checks.append(peer) } }
        }
        for peer in checks {
            guard let other = byPeer[peer] else { continue }
            send(KademliaMessage.encode(.findNode, key: node.contact.peer.bytes), from: node, to: other.contact) { _ in }
        }
    }

    // MARK: Searches

    struct Outcome {
        var closest: [KademliaContact] = []
        var hops = 0
        var requests = 0
    }

    /// Searches as `KademliaCore.search` does, the neighbouring parts of the key space included.
    func search(
        _ node: Node, _ target: KademliaKey, _ request: Bytes, isRandom: Bool = false, heard: @escaping (KademliaMessage) -> Bool,
        _ done: @escaping (Outcome) -> Void
    ) {
        lookup(node, target, request, heard: heard) { [unowned self] outcome, goesOn in
            if isRandom { node.size.record(outcome.closest.map { KademliaKey($0.peer) }, around: target) }
            guard goesOn, !isRandom else { return done(outcome) }
            let size = node.size.estimate ?? node.responder.state.withLock { $0.table.estimatedNetworkSize }
            let turns = NetworkSize.neighbours(of: target, found: outcome.closest.map { KademliaKey($0.peer) }, k: 20, size: size)
            around(node, target, request, turns[...], outcome, heard, done)
        }
    }

    private func around(
        _ node: Node, _ target: KademliaKey, _ request: Bytes, _ turns: ArraySlice<Int>, _ sum: Outcome,
        _ heard: @escaping (KademliaMessage) -> Bool, _ done: @escaping (Outcome) -> Void
    ) {
        guard let turn = turns.first else { return done(sum) }
        let seed = LightKademlia.peer(&random).bytes.dropFirst(2)
        let key = KademliaAim.key(near: target.sibling(at: turn, rest: KademliaKey(hashing: seed)), bits: turn + 2, seed: seed)
        lookup(
            node, KademliaKey(hashing: key), KademliaMessage.encode(.findNode, key: key), avoiding: (target, turn), heard: { _ in true }
        ) { [unowned self] outcome, _ in
            var sum = sum
            let fresh = outcome.closest.filter { contact in !sum.closest.contains { $0.peer == contact.peer } }
            sum.closest += fresh
            sum.requests += outcome.requests + fresh.count
            var open = fresh.count
            var goesOn = true
            let finished = { [unowned self] in
                if goesOn { around(node, target, request, turns.dropFirst(), sum, heard, done) } else { done(sum) }
            }
            if fresh.isEmpty { return finished() }
            for contact in fresh {
                send(request, from: node, to: contact) { answer in
                    if let answer, goesOn { goesOn = heard(answer) }
                    open -= 1
                    if open == 0 { finished() }
                }
            }
        }
    }

    private func lookup(
        _ node: Node, _ target: KademliaKey, _ request: Bytes, avoiding avoided: (place: KademliaKey, bits: Int)? = nil,
        heard: @escaping (KademliaMessage) -> Bool, _ done: @escaping (Outcome, _ goesOn: Bool) -> Void
    ) {
        var settings = LookupMachine.Settings(end: now + KademliaLimits.lookupTimeout)
        settings.patience = node.latency.patience
        settings.avoided = avoided
        let run = Lookup(LookupMachine(target: target, own: node.key, settings: settings), node, request, heard, done, self)
        let seeds = node.responder.state.withLock { $0.table.seeds(for: target, count: 20, avoiding: avoided) }
        run.handle(.begin(seeds.map { LookupMachine.Candidate($0) }))
    }

    private final class Lookup {
        var machine: LookupMachine
        let node: Node
        let request: Bytes
        let heard: (KademliaMessage) -> Bool
        let done: (Outcome, Bool) -> Void
        unowned let network: LightKademlia
        var timer: Timer?
        var goesOn = true

        init(
            _ machine: LookupMachine, _ node: Node, _ request: Bytes, _ heard: @escaping (KademliaMessage) -> Bool,
            _ done: @escaping (Outcome, Bool) -> Void, _ network: LightKademlia
        ) {
            self.machine = machine
            self.node = node
            self.request = request
            self.heard = heard
            self.done = done
            self.network = network
        }

        // Handle, drain, arm.
        func handle(_ input: LookupMachine.Input) {
            guard !machine.isOver else { return }
            machine.handle(input, at: network.now)
            while let output = machine.next() {
                switch output {
                case .ask(let number, let contact): network.send(request, from: node, to: contact) { self.answered(number, $0) }
                case .finished:
                    if let timer { network.timers.cancel(timer) }
                    timer = nil
                    return done(
                        Outcome(closest: machine.closest.map(\.contact), hops: machine.hops, requests: machine.requests), goesOn)
                }
            }
            if let timer { network.timers.cancel(timer) }
            timer = machine.deadline.map { network.timers.schedule(at: $0) { self.handle(.tick) } }
        }

        private func answered(_ number: Int, _ answer: KademliaMessage?) {
            guard !machine.isOver else { return }
            guard let answer else { return handle(.failed(number)) }
            if !heard(answer) {
                goesOn = false
                return handle(.stop)
            }
            handle(.answered(number, closer: machine.candidates(in: answer) { _ in true }))
        }
    }

    // MARK: What nodes do

    /// The node comes in through another one and finds its own surroundings.
    func join(_ node: Node, through other: Node) {
        table(node, .confirmed(other.contact, isConnected: true))
        var isDone = false
        search(node, node.key, KademliaMessage.encode(.findNode, key: node.contact.peer.bytes), isRandom: true, heard: { _ in true }) { _ in isDone = true }
        run { isDone }
    }

    /// Searches for a random place; it counts for the node's idea of how large the network is.
    func refresh(_ node: Node) -> Outcome {
        let key = LightKademlia.peer(&random).bytes
        return find(node, KademliaKey(hashing: key), key, isRandom: true)
    }

    func find(_ node: Node, _ target: KademliaKey, _ key: Bytes, isRandom: Bool = false) -> Outcome {
        var outcome: Outcome?
        search(node, target, KademliaMessage.encode(.findNode, key: key), isRandom: isRandom, heard: { _ in true }) { outcome = $0 }
        run { outcome != nil }
        return outcome ?? Outcome()
    }

    /// Says how many peers keep the record.
    func provide(_ node: Node, _ hash: Multihash) -> (kept: Int, Outcome) {
        let outcome = find(node, KademliaKey(hash), hash.bytes)
        let message = KademliaMessage.encode(providerOf: hash.bytes, KademliaMessage.encode(node.contact))
        var open = outcome.closest.count
        for contact in outcome.closest { send(message, from: node, to: contact) { _ in open -= 1 } }
        run { open == 0 }
        let kept = outcome.closest.count { contact in
            guard let other = byPeer[contact.peer] else { return false }
            return other.responder.state.withLock { !$0.providers.contacts(of: KademliaKey(hash), at: wallTime).isEmpty }
        }
        return (kept, outcome)
    }

    /// Whether `provider` is found, and what it took.
    func findProvider(_ node: Node, _ hash: Multihash, _ provider: PeerID) -> (Bool, Outcome) {
        var isFound = false
        var outcome: Outcome?
        let request = KademliaMessage.encode(.getProviders, key: hash.bytes)
        search(
            node, KademliaKey(hash), request,
            heard: { message in
                if message.contacts(providers: true).contains(where: { $0.peer == provider }) { isFound = true }
                return !isFound
            }
        ) { outcome = $0 }
        run { outcome != nil }
        return (isFound, outcome ?? Outcome())
    }

    /// The living nodes closest to a place, sybils aside.
    func closest(to target: KademliaKey, count: Int) -> [Node] {
        Array(nodes.filter { $0.isAlive && !$0.isSybil }.sorted { ($0.key ^ target) < ($1.key ^ target) }.prefix(count))
    }
}
