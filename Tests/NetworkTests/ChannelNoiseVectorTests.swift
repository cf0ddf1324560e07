import Foundation
import Testing
import WaggleBase
import WaggleCryptography
import WaggleNetwork

@testable import WaggleStack

/// Noise against the vectors of other implementations.
struct ChannelNoiseVectorTests {
    struct Vector: Decodable {
        struct Message: Decodable {
            let payload: String
            let ciphertext: String
        }

        let protocol_name: String
        let init_prologue: String
        let resp_prologue: String
        let init_static: String?
        let init_ephemeral: String
        let init_remote_static: String?
        let resp_static: String?
        let resp_ephemeral: String
        let resp_remote_static: String?
        let handshake_hash: String?
        let messages: [Message]
    }

    /// The patterns of the vector file; the product only uses XX.
    static func pattern(_ name: String) throws -> NoisePattern {
        switch name.split(separator: "_")[1] {
        case "NN": NoisePattern(name: name, messages: [[.e], [.e, .ee]])
        case "NX": NoisePattern(name: name, messages: [[.e], [.e, .ee, .s, .es]])
        case "KK":
            NoisePattern(name: name, initiatorKnown: true, responderKnown: true, messages: [[.e, .es, .ss], [.e, .ee, .se]])
        case "XK": NoisePattern(name: name, responderKnown: true, messages: [[.e, .es], [.e, .ee], [.s, .se]])
        case "IK": NoisePattern(name: name, responderKnown: true, messages: [[.e, .es, .s, .ss], [.e, .ee, .se]])
        case "IX": NoisePattern(name: name, messages: [[.e, .s], [.e, .ee, .se, .s, .es]])
        default:
            try unwrap(name == NoisePattern.xx.name ? NoisePattern.xx : nil)
        }
    }

    /// Random bytes whose first part is the ephemeral key that a vector prescribes.
    private func random(_ ephemeral: String, keySeed: String = "", message: String = "") -> SecureBytes {
        var bytes = unhex(ephemeral + keySeed + message).array
        bytes += [UInt8](repeating: 0, count: HandshakeParameters.randomLength - bytes.count)
        return SecureBytes(bytes)
    }

    @Test func everyClassicalVectorIsReproduced() throws {
        let data = try Data(contentsOf: channelVectors.appending(path: "noise/25519_ChaChaPoly_SHA256.json"))
        let vectors = try JSONDecoder().decode([Vector].self, from: data)
        #expect(vectors.count == 14)
        for vector in vectors {
            let pattern = try Self.pattern(vector.protocol_name)
            func core(_ role: Role, _ prologue: String, _ local: String?, _ remote: String?, _ ephemeral: String) throws -> NoiseCore {
                let key = try local.map { try unwrap(X25519.PrivateKey(unhex($0).span)) }
                return NoiseCore(
                    pattern, role: role, prologue: unhex(prologue).span, localStatic: key, remoteStatic: remote.map { unhex($0) },
                    random: random(ephemeral))
            }
            var initiator = try core(
                .initiator, vector.init_prologue, vector.init_static, vector.init_remote_static, vector.init_ephemeral)
            var responder = try core(
                .responder, vector.resp_prologue, vector.resp_static, vector.resp_remote_static, vector.resp_ephemeral)
            for message in vector.messages.prefix(pattern.messages.count) {
                var writer = ByteWriter()
                let payload: (Digest256) -> Bytes = { _ in unhex(message.payload) }
                let read: Bytes
                if initiator.isOurTurn {
                    try initiator.write(to: &writer, payload: payload)
                    let bytes = writer.finish()
                    #expect(bytes == unhex(message.ciphertext))
                    read = try responder.read(bytes.span).payload
                } else {
                    try responder.write(to: &writer, payload: payload)
                    let bytes = writer.finish()
                    #expect(bytes == unhex(message.ciphertext))
                    read = try initiator.read(bytes.span).payload
                }
                #expect(read == unhex(message.payload))
            }
            #expect(initiator.isComplete && responder.isComplete)
            #expect(initiator.hash == responder.hash)
            if let hash = vector.handshake_hash { #expect(initiator.hash.bytes == unhex(hash)) }
            try checkTransport(vector, pattern, initiator, responder)
        }
    }

    private func checkTransport(_ vector: Vector, _ pattern: NoisePattern, _ initiator: NoiseCore, _ responder: NoiseCore) throws {
        let (left, right) = (initiator.split(), responder.split())
        let ends = [
            NoiseRecords(sending: left.send, receiving: left.receive), NoiseRecords(sending: right.send, receiving: right.receive),
        ]
        for (index, message) in vector.messages.enumerated().dropFirst(pattern.messages.count) {
            let record = try ends[index % 2].sealed(unhex(message.payload))
            #expect(Bytes(Array(record.dropFirst(2))) == unhex(message.ciphertext))
            #expect(try ends[1 - index % 2].opened(record) == unhex(message.payload).array)
        }
    }

    struct HybridFile: Decodable {
        let `protocol`: String
        let vectors: [HybridVector]
    }

    struct HybridVector: Decodable {
        let static_i_private, static_i_public, static_r_private, static_r_public: String
        let ephemeral_dh_i_private, ephemeral_dh_i_public, ephemeral_dh_r_private, ephemeral_dh_r_public: String
        let kem_keygen_seed, ephemeral_kem_i_public, kem_encap_seed, kem_ciphertext, kem_shared_secret: String
        let prologue: String
        let payloads: [String]
        let msg_a, msg_b, msg_c, handshake_hash, cs1_k, cs2_k: String
    }

    @Test func everyHybridVectorIsReproducedWithAllIntermediateValues() throws {
        let data = try Data(contentsOf: channelVectors.appending(path: "noise-pq/xxhfs-mlkem768-vectors.json"))
        let file = try JSONDecoder().decode(HybridFile.self, from: data)
        #expect(file.protocol == NoisePattern.xxhfs.name && file.vectors.count == 5)
        for vector in file.vectors {
            try checkKeys(vector)
            let initiatorRandom = random(vector.ephemeral_dh_i_private, keySeed: vector.kem_keygen_seed)
            let responderRandom = random(
                vector.ephemeral_dh_r_private, keySeed: String(repeating: "0", count: 128), message: vector.kem_encap_seed)
            var initiator = NoiseCore(
                .xxhfs, role: .initiator, prologue: unhex(vector.prologue).span,
                localStatic: X25519.PrivateKey(unhex(vector.static_i_private).span), random: initiatorRandom)
            var responder = NoiseCore(
                .xxhfs, role: .responder, prologue: unhex(vector.prologue).span,
                localStatic: X25519.PrivateKey(unhex(vector.static_r_private).span), random: responderRandom)
            let first = try pass(&initiator, &responder, unhex(vector.payloads[0]))
            #expect(first == unhex(vector.msg_a))
            let second = try pass(&responder, &initiator, unhex(vector.payloads[1]))
            #expect(second == unhex(vector.msg_b))
            #expect(initiator.remoteStatic == unhex(vector.static_r_public))
            let third = try pass(&initiator, &responder, unhex(vector.payloads[2]))
            #expect(third == unhex(vector.msg_c))
            #expect(responder.remoteStatic == unhex(vector.static_i_public))
            for core in [initiator, responder] {
                #expect(core.hash.bytes == unhex(vector.handshake_hash))
                #expect(core.transportKeys.initiator == SecureBytes(unhex(vector.cs1_k)))
                #expect(core.transportKeys.responder == SecureBytes(unhex(vector.cs2_k)))
            }
        }
    }

    private func pass(_ writer: inout NoiseCore, _ reader: inout NoiseCore, _ payload: Bytes) throws -> Bytes {
        var buffer = ByteWriter()
        try writer.write(to: &buffer) { _ in payload }
        let message = buffer.finish()
        #expect(try reader.read(message.span).payload == payload)
        return message
    }

    private func checkKeys(_ vector: HybridVector) throws {
        for (secret, key) in [
            (vector.static_i_private, vector.static_i_public), (vector.static_r_private, vector.static_r_public),
            (vector.ephemeral_dh_i_private, vector.ephemeral_dh_i_public), (vector.ephemeral_dh_r_private, vector.ephemeral_dh_r_public),
        ] {
            #expect(X25519.PrivateKey(SecureBytes(unhex(secret)))?.publicKey == unhex(key))
        }
        let seed = unhex(vector.kem_keygen_seed)
        let key = try unwrap(MLKEM768.generate(d: SecureBytes(seed.prefix(32)), z: SecureBytes(seed.dropFirst(32))))
        #expect(key.encapsulationKey.encoded == unhex(vector.ephemeral_kem_i_public))
        let made = try unwrap(MLKEM768.encapsulate(to: key.encapsulationKey, m: SecureBytes(unhex(vector.kem_encap_seed))))
        #expect(made.ciphertext == unhex(vector.kem_ciphertext))
        #expect(made.sharedSecret == SecureBytes(unhex(vector.kem_shared_secret)))
        #expect(key.decapsulate(made.ciphertext) == made.sharedSecret)
    }
}
