import Testing
import WaggleBase
import WaggleCryptography
import WaggleNetwork
import WaggleTestSupport

@testable import WaggleStack

/// The value, or a failed test. (`#require` cannot hold a call that mutates.)
func unwrap<T>(_ value: T?, sourceLocation: SourceLocation = #_sourceLocation) throws -> T {
    try #require(value, sourceLocation: sourceLocation)
}

/// `count` bytes that follow from `seed`: SHAKE256 of its eight bytes, big endian.
func fixedBytes(_ seed: UInt64, _ count: Int) -> SecureBytes {
    var shake = SHAKE(.shake256)
    var writer = ByteWriter(capacity: 8)
    writer.write(integer: seed)
    shake.absorb(writer.finish().span)
    return SecureBytes(shake.squeeze(count))
}

/// A node for tests: an identity, the same for the same seed and kind. Keys are made once, since SLH-DSA takes its time.
struct ChainNode {
    let identity: LocalIdentity
    var network = AnimicaChannel.Network(chain: 7)
    /// Which pairs of names it knows; without them it has nothing to do with second identities.
    var bindings: IdentityBindings?

    static let alice = ChainNode(.mlDSA65, 1)
    static let bob = ChainNode(.mlDSA65, 2)
    static let carol = ChainNode(.mlDSA65, 3)
    static let dave = ChainNode(.mlDSA65, 5)
    static let hash = ChainNode(.slhDSAShake128s, 4)

    init(_ kind: KeyKind, _ seed: UInt64) {
        guard let key = try? IdentityKeyPair(generating: kind, random: fixedBytes(seed, kind.randomLength)) else {
            preconditionFailure("every seed is a key")
        }
        identity = LocalIdentity(key)
    }

    /// A node with two identities: the seeds of its Ed25519 and of its ML-DSA-65 key.
    init(two first: UInt64, _ second: UInt64) throws {
        let key = try IdentityKeyPair(generating: .ed25519, random: fixedBytes(first, KeyKind.ed25519.randomLength))
        let other = try IdentityKeyPair(generating: .mlDSA65, random: fixedBytes(second, KeyKind.mlDSA65.randomLength))
        identity = LocalIdentity(key, second: try unwrap(SecondIdentity(other, of: key)))
    }

    func on(_ network: AnimicaChannel.Network) -> ChainNode {
        var node = self
        node.network = network
        return node
    }

    func knowing(_ bindings: IdentityBindings) -> ChainNode {
        var node = self
        node.bindings = bindings
        return node
    }

    func channel(_ schedule: AnimicaDirection.Schedule = .init()) throws -> AnimicaChannel {
        var channel = try #require(AnimicaChannel(identity: identity, network: network, transports: ["tcp"], bindings: bindings))
        channel.schedule = schedule
        return channel
    }

    func machine(
        _ role: Role, random: UInt64, expecting peer: PeerID? = nil, muxers: [ProtocolID] = ["/yamux/1.0.0"],
        channels: [ProtocolID] = ["/animica/1", "/noise"], _ schedule: AnimicaDirection.Schedule = .init()
    ) throws -> AnimicaMachine {
        AnimicaMachine(
            try channel(schedule),
            HandshakeParameters(
                role: role, expectedPeer: peer, muxers: muxers, configuredChannels: channels,
                random: fixedBytes(1000 + random, HandshakeParameters.randomLength)))
    }
}

extension AnimicaMachine {
    @discardableResult mutating func take(_ bytes: Bytes) throws -> Int { try receive(bytes.span) }

    /// The next message, after the work that it needs is done here.
    mutating func message() throws -> Bytes? {
        if let work = takeWork() { try complete(work()) }
        return next()
    }
}

/// Two machines that talk to each other.
struct AnimicaPair {
    var initiator: AnimicaMachine
    var responder: AnimicaMachine

    init(
        _ dialer: ChainNode = .alice, _ listener: ChainNode = .bob, expecting: PeerID? = nil, seed: UInt64 = 0,
        _ schedule: AnimicaDirection.Schedule = .init()
    ) throws {
        initiator = try dialer.machine(.initiator, random: 2 * seed, expecting: expecting, schedule)
        responder = try listener.machine(.responder, random: 2 * seed + 1, schedule)
    }

    /// Lets the two talk to the end; gives the messages.
    @discardableResult mutating func run() throws -> [Bytes] {
        var messages: [Bytes] = []
        while true {
            if let message = try initiator.message() {
                messages.append(message)
                #expect(try responder.take(message) == message.count)
            } else if let message = try responder.message() {
                messages.append(message)
                #expect(try initiator.take(message) == message.count)
            } else {
                return messages
            }
        }
    }

    /// Both ends of a finished handshake.
    static func connected(
        _ dialer: ChainNode = .alice, _ listener: ChainNode = .bob, _ schedule: AnimicaDirection.Schedule = .init()
    ) throws -> (initiator: Secured, responder: Secured) {
        var pair = try AnimicaPair(dialer, listener, schedule)
        try pair.run()
        return (try unwrap(pair.initiator.finish()), try unwrap(pair.responder.finish()))
    }
}

extension RecordLayer {
    /// One record.
    func sealed(_ payload: [UInt8]) throws -> [UInt8] {
        var output = [UInt8](repeating: 0xee, count: payload.count + overhead)
        let size = try output.withUnsafeMutableBytes { output in
            try payload.withUnsafeBytes { payload in
                let half = payload.count / 2
                return try seal(
                    UnsafeRawBufferPointer(rebasing: payload[..<half]), UnsafeRawBufferPointer(rebasing: payload[half...]),
                    into: unwrap(output.baseAddress))
            }
        }
        #expect(size == output.count)
        return output
    }

    /// The plaintext of the record at the start of `input`; nil when it is not complete.
    func opened(_ input: [UInt8]) throws -> [UInt8]? {
        var input = input
        return try input.withUnsafeMutableBytes { input -> [UInt8]? in
            switch try open(input) {
            case .incomplete(let need):
                #expect(need > input.count)
                return nil
            case .record(let plaintext, let consumed):
                #expect(consumed <= input.count)
                return Array(input[plaintext])
            }
        }
    }
}

/// `bytes` with one bit changed.
func flipped(_ bytes: Bytes, _ index: Int, _ bit: UInt8 = 0x40) -> Bytes {
    var array = bytes.array
    array[index] ^= bit
    return Bytes(array)
}
