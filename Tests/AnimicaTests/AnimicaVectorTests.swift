import Foundation
import Testing
import WaggleBase
import WaggleCryptography
import WaggleNetwork
import WaggleSimulation

@testable import WaggleStack

/// The vectors in `Tests/Vectors/animica`, made from fixed randomness: `WAGGLE_WRITE_VECTORS=1` makes this suite write them anew, otherwise it
/// compares. `Tests/Vectors/animica/verify.py` checks the same files with an implementation of its own.
@Suite struct AnimicaVectorTests {
    private let world = World(seed: 1)
    private static let folder = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent().appending(path: "Vectors/animica")

    private static func compare(_ name: String, _ object: [String: Any]) throws {
        let data = try JSONSerialization.data(withJSONObject: object, options: [.prettyPrinted, .sortedKeys, .withoutEscapingSlashes])
        let file = folder.appending(path: name)
        if ProcessInfo.processInfo.environment["WAGGLE_WRITE_VECTORS"] != nil {
            try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
            try (data + Data("\n".utf8)).write(to: file)
        }
        let stored = try JSONSerialization.jsonObject(with: Data(contentsOf: file)) as? NSDictionary
        #expect(stored == object as NSDictionary, "\(name) differs")
    }

    private static func hex(_ bytes: Bytes) -> String { hex(bytes.array) }
    private static func hex(_ bytes: [UInt8]) -> String { bytes.map { String($0 >> 4, radix: 16) + String($0 & 15, radix: 16) }.joined() }
    private static func hex(_ secret: SecureBytes) -> String { hex(Bytes(secret.span)) }
    private static func hex(_ digest: Digest256) -> String { hex(digest.array) }

    @Test func policies() throws {
        let lists: [[AlgorithmPolicy.Algorithm]] = [
            AlgorithmPolicy.Algorithm.all,
            [.mlKEM768, .mlDSA65, .chaCha20Poly1305, .sha3_256],
            [.mlKEM768, .slhDSAShake128s, .aes256GCM, .chaCha20Poly1305, .sha3_256],
        ]
        let policies = try lists.map { list -> [String: Any] in
            let policy = try AlgorithmPolicy(list)
            return [
                "algorithms": policy.algorithms.map { ["category": Int($0.category.rawValue), "id": Int($0.id), "name": $0.name] as [String: Any] },
                "leaves": policy.algorithms.map { Self.hex(AlgorithmPolicy.leaf($0)) },
                "root": Self.hex(policy.root),
            ]
        }
        try Self.compare("policies.json", ["policies": policies])
    }

    @Test(arguments: ["mldsa-chacha", "mldsa-aes", "slhdsa-mixed", "two-identities"]) func handshakes(name: String) throws {
        var network = AnimicaChannel.Network(chain: 7)
        if name == "mldsa-aes" { network.policy = try AlgorithmPolicy([.mlKEM768, .mlDSA65, .aes256GCM, .chaCha20Poly1305, .sha3_256]) }
        let dialer = ChainNode.alice.on(network)
        let listener =
            switch name {
            case "slhdsa-mixed": ChainNode.hash.on(network)
            case "two-identities":
                try ChainNode(two: 6, 2).on(network).knowing(IdentityBindings(system: world.host("listener").system))
            default: ChainNode.bob.on(network)
            }
        let schedule = AnimicaDirection.Schedule(recordsPerKey: 3, keys: 8)
        var pair = try AnimicaPair(dialer, listener, seed: 5, schedule)
        let messages = try pair.run()
        let (left, right) = (try unwrap(pair.initiator.finish()), try unwrap(pair.responder.finish()))

        func records(_ from: any RecordLayer, _ to: any RecordLayer, _ tag: UInt8) throws -> [[String: String]] {
            try (0..<7).map { number in
                let plaintext = [UInt8](repeating: tag, count: number * 5)
                let record = try from.sealed(plaintext)
                #expect(try to.opened(record) == plaintext)
                return ["plaintext": Self.hex(plaintext), "record": Self.hex(record)]
            }
        }
        func party(_ node: ChainNode, _ random: UInt64, _ role: Role, _ credentials: AnimicaCredentials) throws -> [String: Any] {
            let secret = fixedBytes(1000 + random, HandshakeParameters.randomLength)
            let random = Bytes(secret.span)
            let key = try node.channel().key.publicKey
            let certificate = node.bindings.flatMap { node.identity.second?.certificate(at: $0.now)?.encoded }
            return [
                "certificate": certificate.map { Self.hex($0) } ?? "",
                "identity_seed": Self.hex(fixedBytes(seed(of: node), key.kind.randomLength)),
                "identity_key": Self.hex(key.encoded),
                "peer_id": "\(PeerID(key))",
                "kem_d": Self.hex(random[32..<64]), "kem_z": Self.hex(random[64..<96]),
                "kem_m": Self.hex(random[96..<128]),
                "transports": credentials.transports, "muxers": credentials.muxers.map(\.text), "channels": credentials.channels.map(\.text),
            ]
        }
        let credentials = AnimicaCredentials(
            identityKey: Bytes(), transports: ["tcp"], muxers: ["/yamux/1.0.0"], channels: ["/animica/1", "/noise"])
        let states = try Self.schedule(messages, dialer, listener)
        try Self.compare(
            "handshake-\(name).json",
            [
                "chain": 7, "policy_root": Self.hex(network.policy.root), "records_per_key": 3, "keys_per_session": 8,
                "initiator": try party(dialer, 10, .initiator, credentials), "responder": try party(listener, 11, .responder, credentials),
                "hello": Self.hex(messages[0]), "answer": Self.hex(messages[1]), "finish": Self.hex(messages[2]),
                "intermediate": states,
                "initiator_records": try records(left.records, right.records, 0x11),
                "responder_records": try records(right.records, left.records, 0x22),
            ])
    }

    private func seed(of node: ChainNode) -> UInt64 {
        switch node.identity.peer {
        case ChainNode.alice.identity.peer: 1
        case ChainNode.hash.identity.peer: 4
        default: 2
        }
    }

    /// Hashes and secrets on the way, computed from the messages and the initiator's key.
    private static func schedule(_ messages: [Bytes], _ dialer: ChainNode, _ listener: ChainNode) throws -> [String: String] {
        let (left, right) = (NoiseRandom(fixedBytes(1010, 128)), NoiseRandom(fixedBytes(1011, 128)))
        let (ours, theirs) = (try unwrap(left.decapsulationKey()), try unwrap(right.decapsulationKey()))
        var schedule = AnimicaSchedule()
        var states = ["h0": hex(schedule.hash)]
        schedule.take(messages[0])
        states["h1"] = hex(schedule.hash)
        let hello = (try dialer.channel()).hello.encodedLength - 2
        let open = 3 + hello + 1088 + 1184
        schedule.take(messages[1].prefix(open))
        let first = try unwrap(ours.decapsulate(messages[1].dropFirst(3 + hello).prefix(1088)))
        schedule.mix(first)
        states["h2"] = hex(schedule.hash)
        states["shared_secret_1"] = hex(first)
        states["s1"] = hex(schedule.secret)
        states["responder_sealing"] = hex(schedule.expand(AnimicaSchedule.Label.sealing.responder, 44))
        schedule.take(messages[1].dropFirst(open))
        states["h3"] = hex(schedule.hash)
        schedule.take(messages[2].prefix(3 + 1088))
        let second = try unwrap(theirs.decapsulate(messages[2].dropFirst(3).prefix(1088)))
        schedule.mix(second)
        states["h4"] = hex(schedule.hash)
        states["shared_secret_2"] = hex(second)
        states["s2"] = hex(schedule.secret)
        states["initiator_sealing"] = hex(schedule.expand(AnimicaSchedule.Label.sealing.initiator, 44))
        schedule.take(messages[2].dropFirst(3 + 1088))
        states["h5"] = hex(schedule.hash)
        states["initiator_traffic"] = hex(schedule.traffic(.initiator))
        states["responder_traffic"] = hex(schedule.traffic(.responder))
        return states
    }
}

extension AnimicaSchedule {
    fileprivate mutating func take(_ bytes: Bytes) { absorb(bytes.span) }
}
