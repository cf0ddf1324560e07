import WaggleBase
import WaggleCryptography
import WaggleNetwork

/// Gossipsub 1.0 to 1.3 and floodsub: who is in which mesh, which message goes to whom, who is believed.
///
/// Bytes, verdicts and time go in; what to deliver, validate, send and dial comes out. What is to be sent waits in a bounded queue for each peer,
/// from which the shell takes as the stream has room (`take`), so that it can still be cancelled and reordered.
/// Spec: libp2p gossipsub. The extensions hold: `+Receiving` RPCs, `+Control` what is in them, `+Messages` the way of a message,
/// `+Heartbeat` the upkeep of meshes, `+Score` the judgement of peers.
package struct GossipMachine: ~Copyable, Machine, @unchecked Sendable {
    /// Names a message that is being validated.
    package struct Ticket: Hashable, Sendable {
        let index: Int
        let generation: UInt32
    }

    package enum Input: Sendable {
        /// A stream with the peer stands. Numbers are the shell's, and dense; a number is free again after `disconnected`.
        case connected(UInt32, PeerID, GossipTraits)
        case disconnected(UInt32)
        /// A stream of ours to the peer stands, the first or one in place of another.
        case opened(UInt32, GossipVersion)
        /// The peer has replaced its stream to us.
        case renewed(UInt32)
        /// The round trip to the peer, as its connection has it.
        case measured(UInt32, Duration)
        /// A whole RPC, without its length.
        case received(UInt32, Bytes)
        /// A length prefix or an RPC that cannot be.
        case misframed(UInt32)
        case joined(TopicID, TopicConfiguration)
        case left(TopicID)
        /// Whether the topic has a validator, or with nil whether all have.
        case validated(TopicID?, Bool)
        /// The end of a validation.
        case verdict(Ticket, Validation)
        /// The signature is not the author's.
        case forged(Ticket)
        /// P5.
        case judged(PeerID, Double)
        case tick
    }

    package enum Output: Sendable {
        /// A message for the application, of the topic with this serial.
        case deliver(PubSubMessage, topic: Int)
        /// A message whose signature, if the policy asks for one, and validators have to be looked at.
        case validate(Ticket, PubSubMessage, topic: Int)
        /// Something waits for this peer.
        case wake(UInt32)
        /// Peers that a peer told of.
        case connect([PeerAdvice])
        /// Direct peers that are not connected.
        case dial([PeerID])
        case event(PubSubEvent)
        /// Provable misbehaviour.
        case offence(UInt32, GossipOffence)
    }

    /// A peer from a PRUNE, and its signed addresses where they came along.
    package struct PeerAdvice: Sendable {
        package var peer: PeerID
        package var record: Bytes?
    }

    /// A message whose validation goes on.
    struct Pending {
        var key: MessageKey
        var id: Bytes?
        var message: PubSubMessage
        var topic: GossipTopic
        /// Who brought it, first and again meanwhile.
        var sender: GossipPeer
        var others: [GossipPeer] = []
        var generation: UInt32
    }

    /// A message that a part of the mesh is to get later.
    struct HeldBack {
        var field: Bytes
        var peers: [GossipPeer]
    }

    /// The end of the wait of one of these peers.
    struct Release {
        var key: MessageKey
        var peer: GossipPeer
    }

    /// A message that a mesh peer has and we do not.
    struct Hint {
        var key: MessageKey
        var id: Bytes
    }

    let parameters: GossipParameters
    let policy: SignaturePolicy
    let rule: MessageIDRule
    let local: PeerID
    let directPeers: Set<PeerID>
    let allowsTopic: (@Sendable (TopicID) -> Bool)?
    /// The signed addresses of a peer, for PRUNEs.
    let records: @Sendable (PeerID) -> Bytes?
    let hasher: MessageHasher
    var random: GossipRandom

    var outputs = Deque<Output>()
    var peers: [GossipPeer?] = []
    var connected: [PeerID: GossipPeer] = [:]
    var topics: [Bytes: GossipTopic] = [:]
    var topicsBySerial: [Int: GossipTopic] = [:]
    var joinedTopics: [GossipTopic] = []
    var fanoutTopics: [GossipTopic] = []
    var foreignTopics = 0
    private var nextSerial = 0
    var validatesAll = false

    var seen: SeenTable
    var cache: MessageCache
    var pending: [Pending?] = []
    var freePending: [Int] = []
    var pendingCount = 0
    var pendingBytes = 0
    var validating: [MessageKey: Int] = [:]
    var nextGeneration: UInt32 = 0

    var heldBack: [MessageKey: HeldBack] = [:]
    var releases = DueQueue<Release>()
    var hints = DueQueue<Hint>()
    var hintPeers: [MessageKey: [GossipPeer]] = [:]
    var asked: [MessageKey: Instant] = [:]
    /// Ids that peers do not want, all together.
    var unwantedCount = 0
    /// Peers that have asked for a message that is being validated.
    var askedEarly: [MessageKey: [GossipPeer]] = [:]
    var promises: [MessageKey: [(peer: GossipPeer, until: Instant)]] = [:]
    var promiseCount = 0
    /// Mesh deliveries that count twice at most: who brought a message within its window.
    var nearFirst: [MessageKey: [GossipPeer]] = [:]
    var nearFirstOrder = Deque<(until: Instant, key: MessageKey)>()

    var retained: [PeerID: (score: PeerScore, until: Instant)] = [:]
    var perAddress: [IPAddress: Int] = [:]
    /// Connected peers that speak only floodsub.
    private(set) var floodPeers = 0
    var hasFloodPeers: Bool { floodPeers > 0 }

    var ticks = 0
    var nextHeartbeat: Instant
    var nextDecay: Instant
    package var counters = GossipCounters()

    /// - Parameter seed: random; the machine's choices follow from it.
    package init(
        local: PeerID, parameters: GossipParameters, policy: SignaturePolicy, rule: MessageIDRule, directPeers: Set<PeerID> = [],
        allowsTopic: (@Sendable (TopicID) -> Bool)? = nil, records: @escaping @Sendable (PeerID) -> Bytes? = { _ in nil }, seed: UInt64,
        now: Instant
    ) {
        self.local = local
        self.parameters = parameters
        self.policy = policy
        self.rule = rule
        self.directPeers = directPeers
        self.allowsTopic = allowsTopic
        self.records = records
        random = GossipRandom(seed: seed)
        hasher = MessageHasher(random.next(), random.next())
        seen = SeenTable(limit: PubSubLimits.seenMessages, lifetime: parameters.seenLifetime, isRefreshed: parameters.seenIsRefreshed)
        cache = MessageCache(length: parameters.historyLength, gossip: parameters.historyGossip)
        // Nodes that start together do not beat together.
        let offset = Int64.random(in: 0..<max(1, parameters.heartbeat.wholeNanoseconds), using: &random)
        nextHeartbeat = now + .nanoseconds(offset)
        nextDecay = now + (parameters.score?.decayInterval ?? .seconds(1))
    }

    // MARK: Machine

    package mutating func next() -> Output? { outputs.popFirst() }

    package var deadline: Instant? {
        var next = nextHeartbeat
        if let due = releases.deadline { next = min(next, due) }
        if let due = hints.deadline { next = min(next, due) }
        return next
    }

    package mutating func handle(_ input: consuming Input, at now: Instant) {
        switch consume input {
        case .connected(let number, let id, let traits): connect(number, id, traits, at: now)
        case .disconnected(let number): disconnect(number, at: now)
        case .opened(let number, let version): opened(number, version, at: now)
        case .renewed(let number):
            peer(number)?.isRenewed = true
            peer(number)?.saidExtensions = false
        case .measured(let number, let roundTrip): peer(number)?.roundTrip = roundTrip
        case .received(let number, let rpc):
            if let peer = peer(number) { receive(rpc, from: peer, at: now) }
        case .misframed(let number):
            if let peer = peer(number) { blame(peer, .malformed) }
        case .joined(let name, let configuration): join(name, configuration, at: now)
        case .left(let name): leave(name, at: now)
        case .validated(let name, let isValidated):
            guard let name else {
                validatesAll = isValidated
                return
            }
            let topic = topic(name)
            topic.hasValidator = isValidated
            forgetIfUnused(topic)
        case .verdict(let ticket, let verdict): settle(ticket, verdict, at: now)
        case .forged(let ticket): settle(ticket, .reject, isForged: true, at: now)
        case .judged(let id, let value):
            if let peer = connected[id] {
                peer.score.application = value
                peer.knownScore = nil
            }
        case .tick: tick(at: now)
        }
    }

    private mutating func tick(at now: Instant) {
        while let due = releases.next(at: now) { release(due) }
        while let due = hints.next(at: now) { ask(due, at: now) }
        guard now >= nextHeartbeat else { return }
        heartbeat(at: now)
        nextHeartbeat = nextHeartbeat + parameters.heartbeat
        // After a long sleep one heartbeat is enough.
        if nextHeartbeat <= now { nextHeartbeat = now + parameters.heartbeat }
    }

    // MARK: Peers

    func peer(_ number: UInt32) -> GossipPeer? { Int(number) < peers.count ? peers[Int(number)] : nil }

    private mutating func connect(_ number: UInt32, _ id: PeerID, _ traits: GossipTraits, at now: Instant) {
        while peers.count <= Int(number) { peers.append(nil) }
        guard peers[Int(number)] == nil, connected[id] == nil else { return }
        let peer = GossipPeer(number, id, traits, isDirect: directPeers.contains(id))
        peers[Int(number)] = peer
        connected[id] = peer
        if !peer.speaksGossip { floodPeers += 1 }
        if let ip = peer.ip { perAddress[ip, default: 0] += 1 }
        noteColocation(peer)
        if let kept = retained.removeValue(forKey: id) { peer.score = kept.score }
        if let rate = parameters.peerRate { peer.bucket = TokenBucket(rate, at: now) }
        for topic in joinedTopics { peer.outbox.subscribe(topic.serial, topic.subscription) }
        wake(peer)
    }

    /// Whether the peer with this number was connected.
    package func knows(_ number: UInt32) -> Bool { peer(number) != nil }

    private mutating func opened(_ number: UInt32, _ version: GossipVersion, at now: Instant) {
        guard let peer = peer(number) else { return }
        if !peer.speaksGossip { floodPeers -= 1 }
        peer.version = version
        if !peer.speaksGossip { floodPeers += 1 }
        // Said again only to those who understand it: others count how often they hear it.
        if peer.version >= .v13, !peer.hasStream || peer.asks { peer.outbox.greet(GossipEncoding.extensions) }
        if peer.hasStream { introduce(peer, at: now) }
        peer.hasStream = true
    }

    /// Says everything that a peer has to know of us again, and what it may have missed.
    mutating func introduce(_ peer: GossipPeer, at now: Instant) {
        for topic in joinedTopics {
            peer.outbox.subscribe(topic.serial, topic.subscription)
            if topic.isInMesh(peer) { peer.outbox.graft(topic.serial, topic.graft) }
            if topic.isSubscribed(peer), hearsGossip(peer, at: now) { tell(cache.gossip(of: topic.serial), of: topic, to: [peer]) }
        }
        wake(peer)
    }

    private mutating func disconnect(_ number: UInt32, at now: Instant) {
        guard let peer = peer(number) else { return }
        peer.isConnected = false
        counters.droppedMessages += UInt64(peer.outbox.takeDropped())
        unwantedCount -= peer.unwanted.reduce(0) { $0 + $1.count }
        peer.unwanted = []
        peers[Int(number)] = nil
        connected[peer.id] = nil
        if !peer.speaksGossip { floodPeers -= 1 }
        for serial in peer.topics.sorted() {
            guard let topic = topicsBySerial[serial] else { continue }
            remove(peer, from: topic, at: now)
            forgetIfUnused(topic)
        }
        foreignTopics -= peer.foreignTopics
        if let ip = peer.ip {
            let count = (perAddress[ip] ?? 1) - 1
            perAddress[ip] = count == 0 ? nil : count
            noteColocation(peer)
        }
        retain(peer, at: now)
    }

    /// The peer is not in the topic any more.
    mutating func remove(_ peer: GossipPeer, from topic: GossipTopic, at now: Instant) {
        topic.peers.removeAll { $0 === peer }
        topic.fanout.removeAll { $0 === peer }
        topic.peerBuckets[peer.number] = nil
        if topic.isInMesh(peer) { leaveMesh(peer, topic, at: now) }
        outputs.append(.event(.left(topic.name, peer.id)))
    }

    /// Tells the shell that something waits for the peer.
    mutating func wake(_ peer: GossipPeer) {
        guard !peer.isAwake, peer.isConnected else { return }
        peer.isAwake = true
        outputs.append(.wake(peer.number))
    }

    /// The pieces of the next RPC for the peer, length first; none when nothing waits, and then `wake` tells of the next.
    package mutating func take(for number: UInt32) -> [Bytes] {
        guard let peer = peer(number) else { return [] }
        while !peer.outbox.isEmpty {
            let (pieces, messages, cancelled) = peer.outbox.take { peer.isUnwanted($0) }
            counters.cancelledMessages += UInt64(cancelled)
            counters.sentMessages += UInt64(messages)
            if !pieces.isEmpty {
                counters.sentRPCs += 1
                return pieces
            }
        }
        peer.isAwake = false
        return []
    }

    /// Messages of the peer that wait for their validation.
    package func pending(of number: UInt32) -> Int { peer(number)?.pending ?? 0 }

    // MARK: Topics

    /// The topic of that name, made when it is not there: for names of our own.
    mutating func topic(_ name: TopicID) -> GossipTopic {
        if let topic = topics[name.bytes] { return topic }
        let topic = GossipTopic(name, serial: nextSerial)
        nextSerial += 1
        topics[name.bytes] = topic
        topicsBySerial[topic.serial] = topic
        return topic
    }

    /// Forgets a topic that neither we nor a peer has to do with.
    mutating func forgetIfUnused(_ topic: GossipTopic) {
        guard !topic.isJoined, topic.peers.isEmpty, topic.publishedAt == nil, !topic.hasValidator else { return }
        guard topics.removeValue(forKey: topic.name.bytes) != nil else { return }
        topicsBySerial[topic.serial] = nil
    }

    private mutating func join(_ name: TopicID, _ configuration: TopicConfiguration, at now: Instant) {
        let topic = topic(name)
        topic.configuration = configuration
        topic.bucket = configuration.rate.map { TokenBucket($0, at: now) }
        topic.peerBuckets = [:]
        guard !topic.isJoined else { return }
        topic.isJoined = true
        joinedTopics.append(topic)
        for peer in topic.peers { peer.foreignTopics -= 1 }
        foreignTopics -= topic.peers.count
        // Whom we published to already are the first of the mesh.
        let published = topic.fanout
        topic.fanout = []
        topic.publishedAt = nil
        fanoutTopics.removeAll { $0 === topic }
        for peer in allPeers {
            peer.outbox.subscribe(topic.serial, topic.subscription)
            wake(peer)
        }
        guard parameters.router == .gossipsub else { return }
        for peer in published where topic.mesh.count < parameters.degree && isCandidate(peer, for: topic, at: now) { graft(peer, topic, at: now) }
        if topic.mesh.count < parameters.degree {
            for peer in candidates(parameters.degree - topic.mesh.count, for: topic, at: now) { graft(peer, topic, at: now) }
        }
    }

    private mutating func leave(_ name: TopicID, at now: Instant) {
        guard let topic = topics[name.bytes], topic.isJoined else { return }
        topic.isJoined = false
        joinedTopics.removeAll { $0 === topic }
        for peer in topic.peers { peer.foreignTopics += 1 }
        foreignTopics += topic.peers.count
        for peer in allPeers {
            peer.outbox.subscribe(topic.serial, topic.unsubscription)
            wake(peer)
        }
        for peer in topic.mesh {
            leaveMesh(peer, topic, at: now)
            setBackOff(peer.id, topic, parameters.leaveBackOff, at: now)
            sendPrune(peer, topic, backOff: parameters.leaveBackOff, exchanging: false, at: now)
        }
        topic.mesh = []
        forgetIfUnused(topic)
    }

    /// Connected peers in the order of their numbers.
    var allPeers: [GossipPeer] { peers.compactMap { $0 } }

    // MARK: Looking in

    /// Peers that subscribe to `name`, or all with nil, sorted.
    package func peers(of name: TopicID?) -> [PeerID] {
        guard let name else { return connected.keys.sorted() }
        return (topics[name.bytes]?.peers ?? []).map(\.id).sorted()
    }

    /// The mesh of a topic, sorted.
    package func mesh(of name: TopicID) -> [PeerID] { (topics[name.bytes]?.mesh ?? []).map(\.id).sorted() }

    /// Topics that we take messages of, sorted.
    package var joined: [TopicID] { joinedTopics.map(\.name).sorted() }

    /// The serial of a topic that we joined or that is otherwise known.
    package func serial(of name: TopicID) -> Int? { topics[name.bytes]?.serial }

    /// What happened in the topics that we joined, sorted by name.
    package var topicCounters: [(topic: TopicID, mesh: Int, peers: Int, counters: TopicCounters)] {
        joinedTopics.map { ($0.name, $0.mesh.count, $0.peers.count, $0.counters) }.sorted { $0.0 < $1.0 }
    }
}

/// Something that happened around the topics.
public enum PubSubEvent: Sendable {
    /// The peer subscribes to the topic, or does no longer.
    case joined(TopicID, PeerID)
    case left(TopicID, PeerID)
    /// The peer came into our mesh of the topic, or went.
    case grafted(TopicID, PeerID)
    case pruned(TopicID, PeerID)
    /// The reader was too slow: so many events before this one are lost to it.
    case missed(Int)
}

/// Misbehaviour that a peer alone is to blame for.
package enum GossipOffence: Sendable {
    /// Bytes that are no RPC.
    case malformed
    /// A message against the network's rules: signed where nobody signs, or the reverse.
    case invalidMessage
    /// A message with a signature that is not its author's.
    case forgedMessage
    /// More of something than anybody needs, or GRAFTs against the rules.
    case flood
}
