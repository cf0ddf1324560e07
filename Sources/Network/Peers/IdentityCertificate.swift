import WaggleBase
import WaggleCryptography
import WaggleFormats

/// Says that two PeerIDs, one of a classical key and one of a post-quantum key, are one node: signed by both keys.
///
/// Wire: protobuf `IdentityCertificate { bytes body = 1; bytes classical_key = 2; bytes post_quantum_key = 3; bytes classical_signature = 4;
/// bytes post_quantum_signature = 5; }`, keys as protobuf `PublicKey`; `Body { bytes classical_peer = 1; bytes post_quantum_peer = 2;
/// uint64 sequence = 3; uint64 expires = 4; }` with PeerIDs as multihashes and the expiry in seconds since 1970. Both keys sign
/// `waggle-identity-certificate:` ‖ body. Of two certificates for one pair the one with the higher `sequence` is valid.
/// Spec: `docs/specs/dual-identity.md`.
public struct IdentityCertificate: Hashable, Sendable {
    private static let domain = "waggle-identity-certificate:"

    /// The PeerID and the key of the existing network: Ed25519, ECDSA, secp256k1 or RSA.
    public let classicalPeer: PeerID
    public let classicalKey: PublicKey
    /// The PeerID and the key of ML-DSA or SLH-DSA.
    public let postQuantumPeer: PeerID
    public let postQuantumKey: PublicKey
    public let sequence: UInt64
    public let expires: WallTime
    /// The bytes as they were received or made.
    public let encoded: Bytes
    /// SHA2-256 of them.
    public let digest: Digest256

    /// Makes a certificate that is valid until `expires`; nil when the kinds of the keys are not one classical and one post-quantum.
    public init?(classical: IdentityKeyPair, postQuantum: IdentityKeyPair, sequence: UInt64, expires: WallTime) {
        guard !classical.publicKey.kind.isPostQuantum, postQuantum.publicKey.kind.isPostQuantum else { return nil }
        let seconds = UInt64(clamping: expires.nanoseconds / 1_000_000_000)
        var body = ProtobufWriter(capacity: 128)
        body.write(1, PeerID(classical.publicKey).bytes)
        body.write(2, PeerID(postQuantum.publicKey).bytes)
        body.write(3, varint: sequence)
        body.write(4, varint: seconds)
        let bytes = body.finish()
        let signed = IdentityCertificate.signedBytes(bytes)
        guard let first = classical.sign(signed), let second = postQuantum.sign(signed) else { return nil }
        var writer = ProtobufWriter(capacity: 6 << 10)
        writer.write(1, bytes)
        writer.write(2, classical.publicKey.encoded)
        writer.write(3, postQuantum.publicKey.encoded)
        writer.write(4, first)
        writer.write(5, second)
        encoded = writer.finish()
        digest = SHA256.hash(encoded)
        classicalKey = classical.publicKey
        classicalPeer = PeerID(classical.publicKey)
        postQuantumKey = postQuantum.publicKey
        postQuantumPeer = PeerID(postQuantum.publicKey)
        self.sequence = sequence
        self.expires = IdentityCertificate.time(seconds: seconds)
    }

    /// Reads a certificate and checks all of it but its place among others of the pair: form, kinds, PeerIDs, expiry and both signatures.
    ///
    /// `isKnown` says whether a certificate with this digest has been checked before, which spares the signatures.
    public init(verifying bytes: Bytes, at now: WallTime, isKnown: (Digest256) -> Bool = { _ in false }) throws(IdentityCertificateError) {
        guard bytes.count <= IdentityCertificateLimits.length else { throw .malformed }
        var body = Bytes()
        var signatures = (classical: Bytes(), postQuantum: Bytes())
        var keys: (classical: PublicKey?, postQuantum: PublicKey?)
        var peers: (classical: PeerID?, postQuantum: PeerID?)
        var sequence: UInt64 = 0, seconds: UInt64 = 0
        do {
            var reader = ProtobufReader(bytes.span)
            while let field = try reader.next() {
                switch field.number {
                case 1: body = bytes[try field.range()]
                case 2: keys.classical = try PublicKey(decoding: try field.bytes())
                case 3: keys.postQuantum = try PublicKey(decoding: try field.bytes())
                case 4: signatures.classical = bytes[try field.range()]
                case 5: signatures.postQuantum = bytes[try field.range()]
                default: break
                }
            }
            var fields = ProtobufReader(body.span)
            while let field = try fields.next() {
                switch field.number {
                case 1: peers.classical = try PeerID(bytes: body[try field.range()])
                case 2: peers.postQuantum = try PeerID(bytes: body[try field.range()])
                case 3: sequence = try field.uint64()
                case 4: seconds = try field.uint64()
                default: break
                }
            }
        } catch { throw .malformed }
        guard let classicalKey = keys.classical, let postQuantumKey = keys.postQuantum, let classicalPeer = peers.classical,
            let postQuantumPeer = peers.postQuantum
        else { throw .malformed }
        guard !classicalKey.kind.isPostQuantum, postQuantumKey.kind.isPostQuantum else { throw .wrongKind }
        guard classicalPeer == PeerID(classicalKey), postQuantumPeer == PeerID(postQuantumKey) else { throw .wrongPeer }
        let expires = IdentityCertificate.time(seconds: seconds)
        guard now < expires, expires <= now + IdentityCertificateLimits.longestLifetime else { throw .expired }
        let digest = SHA256.hash(bytes)
        if !isKnown(digest) {
            let signed = IdentityCertificate.signedBytes(body)
            guard classicalKey.verify(signatures.classical, of: signed), postQuantumKey.verify(signatures.postQuantum, of: signed) else {
                throw .forged
            }
        }
        self.classicalPeer = classicalPeer
        self.classicalKey = classicalKey
        self.postQuantumPeer = postQuantumPeer
        self.postQuantumKey = postQuantumKey
        self.sequence = sequence
        self.expires = expires
        self.digest = digest
        encoded = bytes.compacted()
    }

    private static func signedBytes(_ body: Bytes) -> Bytes {
        var writer = ByteWriter(capacity: body.count + domain.utf8.count)
        writer.write(utf8: domain)
        writer.write(body)
        return writer.finish()
    }

    private static func time(seconds: UInt64) -> WallTime {
        let (nanoseconds, overflow) = Int64(clamping: seconds).multipliedReportingOverflow(by: 1_000_000_000)
        return WallTime(nanoseconds: overflow ? .max : nanoseconds)
    }

    public static func == (left: IdentityCertificate, right: IdentityCertificate) -> Bool { left.encoded == right.encoded }
    public func hash(into hasher: inout Hasher) { hasher.combine(digest) }
}

/// Bounds of certificates.
public enum IdentityCertificateLimits {
    /// Bytes of a certificate: two RSA-8192 keys' worth of classical part and ML-DSA-87 or SLH-DSA take less.
    public static let length = 14 << 10
    /// How long an own certificate is valid. Whoever met the node believes nobody else under its names for so long, so a key that is given up
    /// is missed no longer than that.
    public static let lifetime = Duration.seconds(7 * 86_400)
    /// An own certificate is made anew when less than this is left of it.
    public static let renewal = Duration.seconds(4 * 86_400)
    /// Certificates of others that claim to be valid for longer are refused.
    public static let longestLifetime = Duration.seconds(30 * 86_400)
    /// Pairs that are remembered: about 300 bytes each in memory, 6 KiB in the store.
    public static let bindings = 1024
    /// How long a change waits for others before it is written.
    public static let writeDelay = Duration.milliseconds(500)
}

/// Why a certificate is refused.
public enum IdentityCertificateError: Error, Hashable, Sendable {
    case malformed
    /// Not one classical and one post-quantum key.
    case wrongKind
    /// A PeerID in it is not that of its key.
    case wrongPeer
    /// One of the signatures, or both, is not the key's.
    case forged
    /// No longer valid, or for longer than may be.
    case expired
    /// A newer one of the same pair is known.
    case superseded
}
