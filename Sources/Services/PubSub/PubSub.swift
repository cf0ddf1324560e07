import Synchronization
import WaggleBase
import WaggleCryptography
import WaggleFormats
import WaggleNetwork

/// Publish-subscribe: gossipsub `/meshsub/1.0.0` to `/meshsub/1.3.0`, and `/floodsub/1.0.0`.
///
/// Map of the folder: this type and its extensions are the shell. `GossipMachine` (in `Machine`) decides everything; `Wire` has messages and
/// their encodings, `Score` the judgement of peers; `PubSubTopic` and `TopicMessages` are the application's side.
///
/// Threads: streams live on their connections' loops. What one read brings goes to the machine in one step under one lock, and what the machine
/// wants sent waits there until a writer on the peer's loop takes a batch: so a message costs no task, no hop and no copy of its own.
public final class PubSub: Service, @unchecked Sendable {
    struct State: ~Copyable {
        var machine: GossipMachine?
        // The swarm has its services, not the other way round.
        weak var swarm: Swarm?
        var home: (any EventLoop)?
        var lanes: [PeerLane?] = []
        var byPeer: [PeerID: PeerLane] = [:]
        var cores: [Int: TopicCore] = [:]
        var coresByName: [TopicID: TopicCore] = [:]
        var validators: [TopicID: Validator] = [:]
        var events: [WeakEvents] = []
        var isRunning = false
        var armed: Instant?
        /// Messages that wait for their signature to be verified.
        var unverified = Deque<Unverified>()
        var verifiers = 0
        /// Batches of them that are verified, in the order in which they came.
        var verified = InOrder<Verified>()
        var validations: [TopicID: Int] = [:]
        var dials = 0
        /// The number of our last message.
        var sequence: UInt64 = 0
        var sequences: SequenceGuard?
    }

    struct Unverified: Sendable {
        let ticket: GossipMachine.Ticket
        let message: PubSubMessage
        let lane: UInt32?
    }

    /// Messages, and whether their signatures are their authors'.
    typealias Verified = [(item: Unverified, isGenuine: Bool)]

    struct WeakEvents { weak var events: PubSubEvents? }

    /// The table of a store that keeps the highest sequence number of each author.
    public static let table = SequenceGuard.table

    public let configuration: PubSubConfiguration
    /// Which protocols are offered and asked for, best first.
    public let protocols: [ProtocolID]
    let state = Mutex(State())
    let keys = AuthorKeys()
    private let store: (any KeyValueStore)?
    private let scopeBox = Mutex(TaskScope())
    private let alarmBox = Mutex<Confined<Alarm>?>(nil)

    /// - Parameter store: keeps the sequence numbers of authors over restarts, in `table`.
    public convenience init(_ configuration: PubSubConfiguration = PubSubConfiguration(), store: (any KeyValueStore)? = nil) {
        let all = GossipVersion.all
        self.init(
            configuration,
            protocols: (configuration.parameters.router == .floodsub ? all.filter { $0.version == .floodsub } : all).map(\.protocolID), store: store)
    }

    /// With fewer protocols than all.
    package init(_ configuration: PubSubConfiguration, protocols: [ProtocolID], store: (any KeyValueStore)? = nil) {
        self.configuration = configuration
        self.protocols = protocols
        self.store = store
    }

    public var limits: ServiceLimits { ServiceLimits(streamsPerPeer: PubSubLimits.streamsPerPeer, streams: 16_384) }

    var scope: TaskScope { scopeBox.withLock { $0 } }

    public func registered(on swarm: Swarm) {
        let book = swarm.addressBook
        let seed = swarm.system.random(UInt64.self)
        let now = swarm.system.home.now
        let wall = UInt64(clamping: swarm.system.wallTime.nanoseconds)
        let rule = configuration.messageID ?? (configuration.policy == .strictNoSign ? .contentHash : .authorAndSequence)
        let configuration = configuration
        let sequences = SequenceGuard(system: swarm.system, store: store)
        state.withLock { state in
            state.swarm = swarm
            state.home = swarm.system.home
            state.sequences = sequences
            // Rises over restarts, whatever the clock does.
            state.sequence = max(wall, sequences.highest(of: swarm.localPeer) ?? 0)
            state.machine = GossipMachine(
                local: swarm.localPeer, parameters: configuration.parameters, policy: configuration.policy, rule: rule,
                directPeers: Set(configuration.directPeers.keys), allowsTopic: configuration.allowsTopic,
                records: { book.signedRecord(of: $0) }, seed: seed, now: now)
            if configuration.validator != nil || configuration.checksSequence { state.machine?.handle(.validated(nil, true), at: now) }
        }
    }

    // MARK: Life

    public func run(on swarm: Swarm) async throws {
        let home = swarm.system.home
        scopeBox.withLock { $0 = TaskScope() }
        state.withLock { $0.isRunning = true }
        let alarm = Alarm(on: home) { [weak self] in self?.tick() }
        alarmBox.withLock { $0 = Confined(alarm) }
        let observation = swarm.observe(on: home) { [weak self] event in self?.noticed(event, swarm) }
        step { _, _ in }
        for peer in swarm.peers { noticed(peer, swarm) }
        for (peer, addresses) in configuration.directPeers.sorted(by: { $0.key < $1.key }) { dial(peer, addresses, swarm) }
        do { try await Waiter(on: home).wait() } catch {}
        observation.cancel()
        alarmBox.withLock { $0 = nil }
        alarm.stop()
        let (lanes, cores, events) = state.withLock { state in
            state.isRunning = false
            return (state.lanes.compactMap { $0 }, Array(state.coresByName.values), state.events.compactMap(\.events))
        }
        for lane in lanes { lane.end() }
        for core in cores.sorted(by: { $0.name < $1.name }) { core.end() }
        for reader in events { reader.end() }
        await scope.close()
        await state.withLock { $0.sequences }?.close()
    }

    private func tick() {
        state.withLock { $0.armed = nil }
        step { $0.handle(.tick, at: $1) }
    }

    private func noticed(_ event: SwarmEvent, _ swarm: Swarm) {
        switch event {
        case .peerConnected(let peer): noticed(peer, swarm)
        case .identified(let peer, let information):
            if information.protocols.contains(where: { protocols.contains($0) }) { open(peer, swarm) }
        case .peerDisconnected(let peer): detach(peer)
        case .missed: for peer in swarm.peers { noticed(peer, swarm) }
        default: break
        }
    }

    /// A peer is connected: it is asked for a stream when it speaks one of the protocols, or does not say what it speaks.
    private func noticed(_ peer: PeerID, _ swarm: Swarm) {
        let known = swarm.addressBook.protocols(of: peer)
        if known.contains(where: { protocols.contains($0) }) { return open(peer, swarm) }
        let home = swarm.system.home
        guard swarm.supportedProtocols.contains("/ipfs/id/1.0.0") else { return open(peer, swarm) }
        scope.spawn(on: home) { [self] in
            do { try await home.sleep(until: home.now + PubSubLimits.identifyPatience) } catch { return }
            if swarm.isConnected(peer), swarm.addressBook.protocols(of: peer).isEmpty { open(peer, swarm) }
        }
    }

    // MARK: The machine

    /// What a step of the machine asks for, done after the lock is free.
    struct Effects {
        var deliveries: [(core: TopicCore, messages: ContiguousArray<PubSubMessage>)] = []
        var unchecked: ContiguousArray<(ticket: GossipMachine.Ticket, message: PubSubMessage, validator: Validator?)> = []
        var verifiers = 0
        var wakes: [PeerLane] = []
        var advice: [GossipMachine.PeerAdvice] = []
        var dials: [PeerID] = []
        var events: [PubSubEvent] = []
        var offences: [(PeerID, GossipOffence)] = []
        var rearm: Instant?
        /// Readers that want to be waited for.
        var full: [TopicMessages] = []
        var swarm: Swarm?
    }

    /// Gives the machine something to do and does what it asks for. Returns the readers that whoever read a stream should wait for.
    @discardableResult
    func step(_ body: (inout GossipMachine, Instant) -> Void) -> [TopicMessages] {
        stepState { state, now in
            guard var machine = state.machine.take() else { return }
            body(&machine, now)
            state.machine = consume machine
        }
    }

    /// The same with everything that the lock protects.
    @discardableResult
    func stepState(_ body: (inout State, Instant) -> Void) -> [TopicMessages] {
        var effects = state.withLock { state -> Effects in
            var effects = Effects()
            guard let swarm = state.swarm, state.machine != nil else { return effects }
            effects.swarm = swarm
            let now = swarm.system.home.now
            body(&state, now)
            drain(&state, &effects)
            if let deadline = state.machine?.deadline, state.isRunning, state.armed.map({ deadline < $0 }) ?? true {
                state.armed = deadline
                effects.rearm = deadline
            }
            return effects
        }
        perform(&effects)
        return effects.full
    }

    private func drain(_ state: inout State, _ effects: inout Effects) {
        let verifies = configuration.policy == .strictSign
        while let output = state.machine?.next() {
            switch output {
            case .deliver(let message, let topic):
                guard let core = state.cores[topic] else { continue }
                if let last = effects.deliveries.indices.last, effects.deliveries[last].core === core {
                    effects.deliveries[last].messages.append(message)
                } else {
                    effects.deliveries.append((core, [message]))
                }
            case .validate(let ticket, let message, _):
                if verifies {
                    state.unverified.append(Unverified(ticket: ticket, message: message, lane: state.byPeer[message.receivedFrom]?.number))
                } else {
                    effects.unchecked.append((ticket, message, state.validators[message.topic]))
                }
            case .wake(let number):
                if let lane = state.lanes[Int(number)] { effects.wakes.append(lane) }
            case .connect(let advice): effects.advice += advice
            case .dial(let peers): effects.dials += peers
            case .event(let event): effects.events.append(event)
            case .offence(let number, let offence):
                if let lane = state.lanes[Int(number)] { effects.offences.append((lane.peer, offence)) }
            }
        }
        if verifies, state.isRunning, let swarm = state.swarm {
            let jobs = (state.unverified.count + PubSubLimits.verificationsPerJob - 1) / PubSubLimits.verificationsPerJob
            // One more than there are cores, so that none is idle while a result travels.
            let wanted = min(swarm.system.loops.count + 1, jobs)
            effects.verifiers = max(0, wanted - state.verifiers)
            state.verifiers += effects.verifiers
        }
    }

    private func perform(_ effects: inout Effects) {
        guard let swarm = effects.swarm else { return }
        for (core, messages) in effects.deliveries { effects.full += core.deliver(messages) }
        for lane in effects.wakes { lane.wake() }
        if !effects.unchecked.isEmpty { validate(effects.unchecked, swarm) }
        for _ in 0..<effects.verifiers { scope.spawn(on: swarm.system.home) { [self] in await verify(swarm) } }
        if !effects.events.isEmpty { tell(effects.events, swarm) }
        if !effects.advice.isEmpty { follow(effects.advice, swarm) }
        for peer in effects.dials { dial(peer, configuration.directPeers[peer] ?? [], swarm) }
        for (peer, offence) in effects.offences { report(peer, offence, swarm) }
        if let deadline = effects.rearm {
            let home = swarm.system.home
            if home.isCurrent {
                alarmBox.withLock { $0 }?.value.set(deadline)
            } else {
                home.execute { [self] in alarmBox.withLock { $0 }?.value.set(state.withLock { $0.armed }) }
            }
        }
    }

    private func tell(_ events: [PubSubEvent], _ swarm: Swarm) {
        for event in events {
            switch event {
            // A member of a mesh is worth its connection.
            case .grafted(let topic, let peer): swarm.protect(peer, tag: "pubsub:\(topic)")
            case .pruned(let topic, let peer): swarm.unprotect(peer, tag: "pubsub:\(topic)")
            default: break
            }
        }
        let readers = state.withLock { state -> [PubSubEvents] in
            guard !state.events.isEmpty else { return [] }
            state.events.removeAll { $0.events == nil }
            return state.events.compactMap(\.events)
        }
        for reader in readers { for event in events { reader.deliver(event) } }
    }

    // MARK: Peers to connect to

    /// A pruned peer hears of others; their signed records say where they are.
    private func follow(_ advice: [GossipMachine.PeerAdvice], _ swarm: Swarm) {
        for one in advice {
            guard let envelope = one.record, !swarm.isConnected(one.peer) else { continue }
            let isFree = state.withLock { state in
                guard state.dials < PubSubLimits.exchangeDials else { return false }
                state.dials += 1
                return true
            }
            guard isFree else { return }
            scope.spawn(on: swarm.system.home) { [self] in
                do {
                    let record = try PeerRecord(verifying: envelope)
                    if record.peer == one.peer {
                        swarm.addressBook.certify(record, envelope: envelope)
                        _ = try await swarm.connect(to: one.peer, addresses: record.addresses)
                    }
                } catch {
                    swarm.note(.debug, "an exchanged peer is not reached", [LogField("peer", one.peer.short), LogField("error", "\(error)")])
                }
                state.withLock { $0.dials -= 1 }
            }
        }
    }

    private func dial(_ peer: PeerID, _ addresses: [Multiaddr], _ swarm: Swarm) {
        guard !swarm.isConnected(peer) else { return }
        scope.spawn(on: swarm.system.home) {
            do { _ = try await swarm.connect(to: peer, addresses: addresses) } catch {
                swarm.note(.debug, "a direct peer is not reached", [LogField("peer", peer.short), LogField("error", "\(error)")])
            }
        }
    }

    // MARK: Using it

    /// Joins a topic: its messages arrive, and are passed on, until `leave`. Each caller has a reader of its own.
    ///
    /// - Parameter buffer: messages that may wait for this reader.
    public func join(
        _ name: TopicID, _ configuration: TopicConfiguration = TopicConfiguration(), buffer: Int = 1024,
        overflow: ReaderOverflow = .dropOldest
    ) async throws(PubSubError) -> PubSubTopic {
        try joinHere(name, configuration, buffer, overflow)
    }

    private func joinHere(_ name: TopicID, _ settings: TopicConfiguration, _ buffer: Int, _ overflow: ReaderOverflow) throws(PubSubError) -> PubSubTopic {
        guard !name.bytes.isEmpty, name.bytes.count <= PubSubLimits.topicName else { throw .badTopicName }
        let swarm = try runningSwarm()
        let messages = TopicMessages(limit: min(buffer, PubSubLimits.messagesPerReader), overflow: overflow, on: swarm.system.home)
        var joined: TopicCore?
        stepState { state, now in
            let core = state.coresByName[name] ?? TopicCore(name)
            state.coresByName[name] = core
            core.add(messages)
            state.machine?.handle(.joined(name, settings), at: now)
            if let serial = state.machine?.serial(of: name) { state.cores[serial] = core }
            joined = core
        }
        guard let joined else { throw .stopped }
        return PubSubTopic(name, joined, messages, of: self)
    }

    func leave(_ topic: PubSubTopic) {
        stepState { state, now in
            guard topic.core.remove(topic.messages) == 0, state.coresByName[topic.name] === topic.core else { return }
            state.coresByName[topic.name] = nil
            if let serial = state.machine?.serial(of: topic.name) { state.cores[serial] = nil }
            state.machine?.handle(.left(topic.name), at: now)
        }
    }

    private func runningSwarm() throws(PubSubError) -> Swarm {
        guard let swarm = state.withLock({ $0.swarm }) else { throw .stopped }
        return swarm
    }

    /// Publishes `data`, whether the topic is joined or not; says to how many peers it goes at once.
    @discardableResult
    public func publish(_ data: Bytes, to name: TopicID) async throws(PubSubError) -> Int {
        guard !name.bytes.isEmpty, name.bytes.count <= PubSubLimits.topicName else { throw .badTopicName }
        let swarm = try runningSwarm()
        let message = try await make(data, name, swarm)
        let limit = PubSubLimits.rpc.bytes - PubSubLimits.rpcOverhead
        guard message.field.count <= limit else { throw .tooLarge(limit: limit - (message.field.count - data.count)) }
        let whole = PubSubMessage(message: message, topic: name, receivedFrom: swarm.localPeer)
        guard await isAcceptable(whole) else { throw .refused }
        var count = 0
        step { machine, now in count = machine.publish(whole, at: now) }
        return count
    }

    private func make(_ data: Bytes, _ name: TopicID, _ swarm: Swarm) async throws(PubSubError) -> GossipMessage {
        // Checked first, so that nothing large is signed in vain.
        guard data.count < PubSubLimits.rpc.bytes else { throw .tooLarge(limit: PubSubLimits.rpc.bytes - 512) }
        let author = swarm.localPeer.bytes
        guard configuration.policy != .strictNoSign else {
            guard let message = GossipMessage.make(from: nil, data: data, sequence: nil, topic: name.bytes, key: nil, sign: nil) else { throw .notSigned }
            return message
        }
        let (number, sequences) = state.withLock { state in
            state.sequence &+= 1
            return (state.sequence, state.sequences)
        }
        sequences?.raise(swarm.localPeer, to: number)
        var writer = ByteWriter(capacity: 8)
        writer.write(integer: number)
        let sequence = writer.finish()
        guard configuration.policy == .strictSign else {
            guard let message = GossipMessage.make(from: author, data: data, sequence: sequence, topic: name.bytes, key: nil, sign: nil) else { throw .notSigned }
            return message
        }
        let key = swarm.identity.key
        // A PeerID that is a hash does not tell the key.
        let attached = swarm.localPeer.publicKey == nil ? key.publicKey.encoded : nil
        let work: @Sendable () -> GossipMessage? = {
            GossipMessage.make(from: author, data: data, sequence: sequence, topic: name.bytes, key: attached) { key.sign($0) }
        }
        // Ed25519 signs in 25 µs; the others may take long.
        if attached == nil {
            guard let message = work() else { throw .notSigned }
            return message
        }
        let made: GossipMessage?
        do { made = try await swarm.system.offload(work) } catch { throw .stopped }
        guard let made else { throw .notSigned }
        return made
    }

    /// Topics that are joined, sorted.
    public var topics: [TopicID] { state.withLock { $0.machine?.joined ?? [] } }

    /// Connected peers that subscribe to `topic`, or with nil all that speak publish-subscribe; sorted.
    public func peers(of topic: TopicID? = nil) -> [PeerID] { state.withLock { $0.machine?.peers(of: topic) ?? [] } }

    /// Our mesh of a topic, sorted.
    public func mesh(of topic: TopicID) -> [PeerID] { state.withLock { $0.machine?.mesh(of: topic) ?? [] } }

    /// The score of a connected peer; nil for others.
    public func score(of peer: PeerID) -> Double? {
        state.withLock { state in
            guard let swarm = state.swarm else { return nil }
            return state.machine?.score(of: peer, at: swarm.system.home.now)
        }
    }

    /// What the application thinks of a peer: P5 of its score.
    public func judge(_ peer: PeerID, _ value: Double) { step { $0.handle(.judged(peer, value), at: $1) } }

    /// What happened so far.
    public var counters: GossipCounters { state.withLock { $0.machine?.counters ?? GossipCounters() } }

    /// What happens around `topic`, or all topics, from now on.
    public func events(of topic: TopicID? = nil) -> PubSubEvents {
        state.withLock { state in
            guard let home = state.home else { preconditionFailure("publish-subscribe is not registered") }
            let events = PubSubEvents(topic, on: home)
            state.events.append(WeakEvents(events: events))
            return events
        }
    }

    /// Lets `validator` look at every message of `topic` before it is delivered and forwarded; nil to stop that.
    public func setValidator(_ validator: Validator?, for topic: TopicID) {
        state.withLock { $0.validators[topic] = validator }
        step { $0.handle(.validated(topic, validator != nil), at: $1) }
    }

    /// Forgets which sequence numbers were seen, of one author or of all; says of how many.
    public func resetSequences(of peer: PeerID? = nil) -> Int { state.withLock { $0.sequences }?.reset(peer) ?? 0 }
}

/// Something that may only be used on one loop, handed there.
struct Confined<Value>: @unchecked Sendable {
    let value: Value
    init(_ value: Value) { self.value = value }
}
