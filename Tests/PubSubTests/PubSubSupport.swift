import Testing
import WaggleAssembly
import WaggleBase
import WaggleCryptography
import WaggleFormats
import WaggleNetwork
import WaggleSimulation
import WaggleTestSupport

@testable import WaggleServices

enum TestError: Error { case tooLate, unexpected }

extension World {
    /// A node with publish-subscribe, on a channel without cryptography.
    func gossiper(
        _ name: String, _ pubsub: PubSubConfiguration = PubSubConfiguration(), _ change: (inout NodeConfiguration) -> Void = { _ in }
    ) async throws -> Node {
        let host = host(name)
        var configuration = NodeConfiguration.preset(.lan)
        configuration.channels = { [PlainChannel($0)] }
        configuration.listen = [Multiaddr(host.address(port: 4001), over: .tcp)]
        configuration.pubsub = pubsub
        change(&configuration)
        let node = try await Node(configuration, on: host.system)
        try await node.start()
        return node
    }
}

extension Node {
    var dialable: Multiaddr { listenAddresses[0].with(peer: peer) }
    var topics: PubSub {
        get throws {
            guard let pubsub else { throw TestError.unexpected }
            return pubsub
        }
    }

    /// Waits until `condition` holds.
    func until(_ limit: Duration = .seconds(60), _ condition: @Sendable () throws -> Bool) async throws {
        let home = system.home
        let end = home.now + limit
        while try !condition() {
            guard home.now < end else { throw TestError.tooLate }
            try await home.sleep(until: home.now + .milliseconds(10))
        }
    }
}

/// The first `count` messages of a topic.
func first(_ count: Int, of topic: PubSubTopic) async -> [PubSubMessage] {
    var found: [PubSubMessage] = []
    for await message in topic.messages {
        found.append(message)
        if found.count == count { break }
    }
    return found
}

/// An identity that is the same in every run.
func identity(_ number: UInt8) throws -> LocalIdentity {
    LocalIdentity(try IdentityKeyPair(ed25519Seed: SecureBytes([UInt8](repeating: number, count: 32))))
}

/// Drives one machine by hand, as a network of scripted peers would.
struct Bench: ~Copyable {
    var machine: GossipMachine
    var now = Instant(nanoseconds: 1_000_000_000)
    let local: PeerID
    var outputs: [GossipMachine.Output] = []
    private var number: UInt64 = 0

    init(
        _ parameters: GossipParameters = GossipParameters(), policy: SignaturePolicy = .authorOnly, rule: MessageIDRule = .authorAndSequence,
        direct: Set<PeerID> = [], seed: UInt64 = 1
    ) throws {
        local = try identity(255).peer
        machine = GossipMachine(
            local: local, parameters: parameters, policy: policy, rule: rule, directPeers: direct, seed: seed, now: Instant(nanoseconds: 1_000_000_000))
    }

    /// A peer's name that costs no key.
    static func peer(_ number: Int) throws -> PeerID {
        var digest = [UInt8](repeating: 7, count: 32)
        for index in 0..<8 { digest[index] = UInt8(truncatingIfNeeded: number >> (8 * index)) }
        return try PeerID(bytes: Bytes([0x12, 0x20] + digest))
    }

    mutating func tell(_ input: GossipMachine.Input) {
        machine.handle(input, at: now)
        while let output = machine.next() { outputs.append(output) }
    }

    mutating func connect(_ number: UInt32, version: GossipVersion = .v13, isOutbound: Bool = false, ip: IPAddress? = nil) throws {
        tell(.connected(number, try Bench.peer(Int(number)), GossipTraits(version: version, isOutbound: isOutbound, ip: ip)))
        tell(.opened(number, version))
    }

    /// Connects peers with these numbers, all in `topic`; with `asks` they ask for large messages.
    mutating func populate(
        _ numbers: Range<UInt32>, _ topic: String, version: GossipVersion = .v13, isOutbound: Bool = false, asks: Bool = false
    ) throws {
        for number in numbers {
            try connect(number, version: version, isOutbound: isOutbound)
            if asks { control(number, [GossipEncoding.extensions]) }
            send(number) { $0.raw(GossipEncoding.subscription(Bytes(utf8: topic), true)) }
        }
    }

    /// An RPC of these fields from a peer.
    mutating func send(_ number: UInt32, _ body: (inout ProtobufWriter) -> Void) {
        var writer = ProtobufWriter()
        body(&writer)
        tell(.received(number, writer.finish()))
    }

    mutating func control(_ number: UInt32, _ fields: [Bytes]) {
        send(number) { writer in
            writer.begin(3, count: fields.reduce(0) { $0 + $1.count })
            for field in fields { writer.raw(field) }
        }
    }

    /// A message of `author`, unsigned.
    mutating func message(_ author: Int, _ topic: String, size: Int = 10) throws -> GossipMessage {
        number += 1
        var sequence = ByteWriter()
        sequence.write(integer: number)
        let data = Bytes([UInt8](repeating: UInt8(truncatingIfNeeded: number), count: size))
        return try #require(
            GossipMessage.make(
                from: try Bench.peer(author).bytes, data: data, sequence: sequence.finish(), topic: Bytes(utf8: topic), key: nil, sign: nil))
    }

    mutating func beat(_ count: Int = 1) {
        for _ in 0..<count {
            now = now + .seconds(1)
            tell(.tick)
        }
    }

    mutating func wait(_ duration: Duration) {
        now = now + duration
        tell(.tick)
    }

    /// All that waits for a peer.
    mutating func taken(_ number: UInt32) throws -> [SentRPC] {
        var found: [SentRPC] = []
        while true {
            let pieces = machine.take(for: number)
            if pieces.isEmpty { return found }
            var writer = ByteWriter()
            for piece in pieces { writer.write(piece) }
            let whole = writer.finish()
            guard case .value(let length, let head) = Varint.decode(whole.span), whole.count == Int(length) + head else { throw TestError.unexpected }
            found.append(try SentRPC(whole.dropFirst(head)))
        }
    }

    var offences: Int { outputs.reduce(0) { if case .offence = $1 { $0 + 1 } else { $0 } } }

    func delivered() -> Int { outputs.reduce(0) { if case .deliver = $1 { $0 + 1 } else { $0 } } }
}

/// What an RPC says, taken apart for expectations.
struct SentRPC {
    var subscriptions: [(String, Bool)] = []
    var messages: [GossipMessage] = []
    var haves: [(topic: String, ids: [Bytes])] = []
    var wants: [Bytes] = []
    var grafts: [String] = []
    var prunes: [(topic: String, backOff: UInt64?, peers: Int)] = []
    var doNotWants: [Bytes] = []
    var saysExtensions = false

    init(_ bytes: Bytes) throws {
        var reader = ProtobufReader(bytes.span)
        while let field = try reader.next() {
            switch field.number {
            case 1:
                var (name, isOn) = ("", false)
                var message = try field.message()
                while let part = try message.next() {
                    if part.number == 1 { isOn = try part.bool() } else { name = try part.string() }
                }
                subscriptions.append((name, isOn))
            case 2: messages.append(try GossipMessage(bytes, try field.range()))
            default:
                var control = try field.message()
                while let part = try control.next() {
                    var inner = try part.message()
                    var (topic, ids, backOff, peers) = ("", [Bytes](), UInt64?.none, 0)
                    while let leaf = try inner.next() {
                        switch (part.number, leaf.number) {
                        case (1, 1), (3, 1), (4, 1): topic = try leaf.string()
                        case (1, 2), (2, 1), (5, 1): ids.append(try leaf.copiedBytes())
                        case (4, 2): peers += 1
                        case (4, 3): backOff = try leaf.uint64()
                        default: break
                        }
                    }
                    switch part.number {
                    case 1: haves.append((topic, ids))
                    case 2: wants += ids
                    case 3: grafts.append(topic)
                    case 4: prunes.append((topic, backOff, peers))
                    case 5: doNotWants += ids
                    default: saysExtensions = true
                    }
                }
            }
        }
    }
}
