import Foundation
import Testing
import WaggleBase
import WaggleCryptography
import WaggleNetwork

@testable import WaggleStack

/// The folder of test vectors.
let channelVectors = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent().appending(path: "Vectors")

/// The bytes that `text` (hexadecimal) stands for.
func unhex(_ text: String) -> Bytes {
    let digits = Array(text.utf8)
    return Bytes(
        stride(from: 0, to: digits.count, by: 2).map { UInt8(String(decoding: digits[$0..<$0 + 2], as: UTF8.self), radix: 16) ?? 0 })
}

/// The value, or a failed test. (`#require` cannot hold a call that mutates.)
func unwrap<T>(_ value: T?, sourceLocation: SourceLocation = #_sourceLocation) throws -> T {
    try #require(value, sourceLocation: sourceLocation)
}

/// A node for tests: an identity and its Noise keys, the same for the same seed.
struct TestNode {
    let identity: LocalIdentity
    let keys: NoiseKeys

    init(_ seed: UInt8, _ kind: KeyKind = .ed25519) throws {
        identity = LocalIdentity(try IdentityKeyPair(generating: kind, random: SecureBytes([UInt8](repeating: seed, count: kind.randomLength))))
        keys = try NoiseKeys(identity: identity, secret: SecureBytes([UInt8](repeating: seed &+ 100, count: 32)))
    }

    func channels(_ policy: SecurityPolicy) -> [any SecureChannel] { ChannelCatalog.channels(policy, keys) }

    func parameters(
        _ role: Role, _ policy: SecurityPolicy, expecting peer: PeerID? = nil, muxers: [ProtocolID] = ["/yamux/1.0.0"], assumes: Bool = false
    ) -> UpgradeParameters {
        UpgradeParameters(
            role: role, channels: channels(policy), muxers: muxers, expectedPeer: peer, random: testRandom(role == .initiator ? 1 : 2),
            assumesFirstChannel: assumes)
    }
}

/// The random bytes of one handshake.
func testRandom(_ seed: UInt64) -> SecureBytes {
    var generator = Generator(seed: seed)
    return SecureBytes(generator.bytes(HandshakeParameters.randomLength))
}

/// Two handshakes that talk to each other.
struct HandshakePair {
    var initiator: any Handshake
    var responder: any Handshake

    init(
        _ suite: NoiseChannel.Suite, _ dialer: TestNode, _ listener: TestNode, expecting: PeerID? = nil, muxers: [ProtocolID] = ["/yamux/1.0.0"],
        listenerMuxers: [ProtocolID]? = nil
    ) {
        func make(_ node: TestNode, _ role: Role, _ muxers: [ProtocolID], _ peer: PeerID?) -> any Handshake {
            let channel = suite == .classical ? NoiseChannel.classical(node.keys) : NoiseChannel.hybrid(node.keys)[0]
            return channel.makeHandshake(
                HandshakeParameters(
                    role: role, expectedPeer: peer, muxers: muxers, configuredChannels: [channel.protocolID],
                    random: testRandom(role == .initiator ? 1 : 2)))
        }
        initiator = make(dialer, .initiator, muxers, expecting)
        responder = make(listener, .responder, listenerMuxers ?? muxers, nil)
    }

    /// Lets the two talk to the end; gives the messages.
    @discardableResult mutating func run() throws -> [Bytes] {
        var messages: [Bytes] = []
        while true {
            if let message = initiator.next() {
                messages.append(message)
                #expect(try responder.receive(message.span) == message.count)
            } else if let message = responder.next() {
                messages.append(message)
                #expect(try initiator.receive(message.span) == message.count)
            } else if let work = initiator.takeWork() {
                try initiator.complete(work())
            } else if let work = responder.takeWork() {
                try responder.complete(work())
            } else {
                return messages
            }
        }
    }

    /// Both ends of a finished handshake.
    static func connected(_ suite: NoiseChannel.Suite = .classical) throws -> (initiator: Secured, responder: Secured) {
        var pair = HandshakePair(suite, try TestNode(1), try TestNode(2))
        try pair.run()
        return (try unwrap(pair.initiator.finish()), try unwrap(pair.responder.finish()))
    }
}

extension Handshake {
    @discardableResult mutating func take(_ bytes: Bytes) throws -> Int { try receive(bytes.span) }
}

extension RecordLayer {
    /// One record.
    func sealed(_ payload: Bytes) throws -> [UInt8] { try sealed(Bytes(), payload) }

    func sealed(_ header: Bytes, _ payload: Bytes) throws -> [UInt8] {
        var output = [UInt8](repeating: 0xee, count: header.count + payload.count + overhead)
        let size = try output.withUnsafeMutableBytes { output in
            try header.withUnsafeBytes { header in
                try payload.withUnsafeBytes { payload in
                    try seal(header, payload, into: unwrap(output.baseAddress))
                }
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

extension UpgradeMachine {
    @discardableResult mutating func take(_ bytes: Bytes) throws -> Int { try receive(bytes.span) }
}
