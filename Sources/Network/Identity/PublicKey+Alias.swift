import WaggleBase
import WaggleCryptography

extension PublicKey {
    /// The name that chain networks give this key: SHA3-256 of its algorithm and the key as its standard writes it; nil for kinds that they do
    /// not have.
    ///
    /// Hashed: multicodec of the public key, u16 big-endian, then the key (32 bytes for Ed25519 and SLH-DSA-SHAKE-128s, 1,952 for ML-DSA-65).
    public var chainAlias: Bytes? {
        let code: UInt16
        let bytes: Bytes?
        switch kind {
        case .ed25519: (code, bytes) = (0x00ed, raw)
        case .mlDSA44: (code, bytes) = (0x1210, mlDSA?.encoded)
        case .mlDSA65: (code, bytes) = (0x1211, mlDSA?.encoded)
        case .mlDSA87: (code, bytes) = (0x1212, mlDSA?.encoded)
        case .slhDSAShake128s: (code, bytes) = (0x1221, slhDSA?.encoded)
        case .rsa, .secp256k1, .ecdsa: return nil
        }
        guard let bytes else { return nil }
        var writer = ByteWriter(capacity: 2 + bytes.count)
        writer.write(integer: code)
        writer.write(bytes)
        return Hashing.digest(0x16, writer.finish())
    }
}
