import WaggleBase
import WaggleCryptography
import WaggleNetwork

let keyTargets: [(name: String, run: @Sendable (Bytes) -> Void)] = [
    ("public-key", { bytes in
        guard let key = attempt({ try PublicKey(decoding: bytes.span) }) else { return }
        precondition(key.encoded == bytes)
        precondition(PeerID(key).matches(key))
        _ = key.verify(bytes.span, of: bytes.span)
    }),
    ("private-key", { bytes in _ = attempt { try IdentityKeyPair(decoding: bytes.span) } }),
    ("pkcs8", { bytes in
        guard let pair = attempt({ try IdentityKeyPair(pkcs8: bytes.span, form: .pkix) }) else { return }
        precondition(attempt { try IdentityKeyPair(pkcs8: pair.pkcs8, form: .pkix) }?.publicKey == pair.publicKey)
    }),
    ("pem", { bytes in
        guard let block = PEM.decode(bytes.span) else { return }
        precondition(PEM.decode(PEM.encode(block.label, block.contents).span)?.contents == block.contents)
    }),
    ("peer-id", { bytes in
        if let peer = attempt({ try PeerID(bytes: bytes) }) { precondition(attempt { try PeerID(peer.description) } == peer) }
        if let text = bytes.utf8, let peer = attempt({ try PeerID(text) }) { precondition(attempt { try PeerID(peer.cidText) } == peer) }
    }),
    ("peer-record", { bytes in
        _ = attempt { try PeerRecord(verifying: bytes) }
        _ = attempt { try SignedEnvelope(verifying: bytes, domain: PeerRecord.domain) }
    }),
    ("ml-kem", { bytes in
        if let key = MLKEM768.EncapsulationKey(bytes.span) { _ = MLKEM768.encapsulate(to: key, m: SecureBytes([UInt8](repeating: 1, count: 32))) }
    }),
]
