import Testing
import WaggleBase
import WaggleCryptography
import WaggleFormats
import WaggleNetwork

/// PeerIDs against the forms that other implementations show.
struct ChannelIdentityTests {
    let ed25519 = "12D3KooWD3eckifWpRn9wQpMG9R9hX3sD158z7EqHWmweQAJU5SA"
    let rsa = "QmYyQSo1c1Ym7orWxLYvCrM2EmxFTANf8wXmmE7DWjhx5N"

    @Test func textFormsNameTheSamePeer() throws {
        for text in [ed25519, rsa] {
            let peer = try PeerID(text)
            #expect(peer.description == text)
            #expect(try PeerID(peer.cidText) == peer)
            for base in [Multibase.base16, .base32, .base36, .base58btc, .base64url] {
                #expect(try PeerID(peer.cidText(base: base)) == peer)
            }
            #expect(try PeerID(bytes: peer.bytes) == peer)
            #expect(peer.multihash.bytes == peer.bytes)
        }
        #expect(try PeerID(ed25519).cidText.hasPrefix("k51"))
        #expect(try PeerID(ed25519).cidText(base: .base32).hasPrefix("bafzaa"))
        #expect(try PeerID(rsa).cidText.hasPrefix("k2k4r8"))
        // From the peer id specification.
        #expect(try PeerID("bafzbeie5745rpv2m6tjyuugywy4d5ewrqgqqhfnf445he3omzpjbx5xqxe").description == rsa)
    }

    @Test func keysAreInlinedUpToFortyTwoBytes() throws {
        let identity = LocalIdentity(try IdentityKeyPair(ed25519Seed: SecureBytes([UInt8](repeating: 7, count: 32))))
        #expect(identity.peer.bytes.count == 38)
        #expect(identity.peer.publicKey == identity.key.publicKey)
        #expect(identity.peer.matches(identity.key.publicKey))
        #expect(try PeerID(rsa).publicKey == nil)
        #expect(try !PeerID(rsa).matches(identity.key.publicKey))
        #expect(identity.peer.short == "…" + identity.peer.description.suffix(8))
    }

    @Test func otherTextsAndHashesAreRefused() throws {
        for text in ["", "1", "Qm", "12D3KooW0", "hello", "bafybeigdyrzt5sfp7udm7hu76uh7y26nf3efuylqabf3oclgtqy55fbzdi", rsa + "1"] {
            #expect(throws: PeerIDError.self) { try PeerID(text) }
        }
        let long = String(repeating: "1", count: 100_000)
        #expect(throws: PeerIDError.malformed) { try PeerID(long) }
        #expect(throws: PeerIDError.notAKey) { try PeerID("bafybeigdyrzt5sfp7udm7hu76uh7y26nf3efuylqabf3oclgtqy55fbzdi") }
        // An inlined key of 43 bytes, an empty one, half a SHA2-256 digest, SHA2-512.
        for (code, count) in [(Multicodec.identity, 43), (.identity, 0), (.sha2_256, 16), (.sha2_512, 64)] {
            let hash = try Multihash(code, digest: Bytes([UInt8](repeating: 1, count: count)))
            #expect(throws: PeerIDError.unsupportedHash) { try PeerID(hash) }
        }
        #expect(throws: PeerIDError.malformed) { try PeerID(bytes: Bytes([0x12, 0x20, 1])) }
    }

    @Test func peersAreOrderedBytewise() throws {
        let left = try PeerID(ed25519)
        let right = try PeerID(rsa)
        #expect(left < right)
        #expect(Set([left, right, left]).count == 2)
    }
}
