import Foundation
import Testing
import WaggleBase
import WaggleCryptography
import WaggleNetwork

@testable import WaggleStack

struct ChannelTranscriptTests {
    struct File: Decodable {
        struct Vector: Decodable {
            let channels: [String]
            let signed, signature: String
        }

        let identity_seed, hash: String
        let vectors: [Vector]
    }

    @Test func signedBytesAreThoseOfOtherImplementations() throws {
        let file = try JSONDecoder().decode(File.self, from: Data(contentsOf: channelVectors.appending(path: "noise/transcript.json")))
        let key = try IdentityKeyPair(ed25519Seed: SecureBytes(unhex(file.identity_seed)))
        let hash = try unwrap(Digest256(unhex(file.hash).span))
        #expect(file.vectors.count == 5)
        for vector in file.vectors {
            let signed = try unwrap(NoiseTranscript.signedBytes(hash, vector.channels.map { ProtocolID($0) }))
            #expect(signed == unhex(vector.signed))
            #expect(key.sign(signed) == unhex(vector.signature))
        }
        #expect(Set(file.vectors.map(\.signed)).count == 5)
    }

    @Test func theOutcomeFollowsTheDialersOrder() {
        #expect(NoiseTranscript.expected(dialer: ["/a", "/b"], listener: ["/b", "/a"]) == "/a")
        #expect(NoiseTranscript.expected(dialer: ["/a", "/b"], listener: ["/b"]) == "/b")
        #expect(NoiseTranscript.expected(dialer: ["/a"], listener: ["/b"]) == nil)
    }

    @Test func payloadFieldsTravel() throws {
        var payload = NoisePayload()
        payload.identityKey = Bytes([1, 2, 3])
        payload.identitySignature = Bytes([4])
        payload.muxers = ["/yamux/1.0.0", "/mplex/6.7.0"]
        payload.channels = ["/noise"]
        payload.transcriptSignature = Bytes([5, 6])
        let decoded = try NoisePayload(payload.encoded)
        #expect(decoded.identityKey == payload.identityKey && decoded.identitySignature == payload.identitySignature)
        #expect(decoded.muxers == payload.muxers && decoded.channels == payload.channels)
        #expect(decoded.transcriptSignature == payload.transcriptSignature)
        // Field numbers, as bytes.
        #expect(payload.encoded.prefix(8) == Bytes([0x0a, 3, 1, 2, 3, 0x12, 1, 4]))
        let whole = payload.encoded
        for length in 0..<whole.count - 1 { _ = try? NoisePayload(whole.prefix(length)) }
    }
}
