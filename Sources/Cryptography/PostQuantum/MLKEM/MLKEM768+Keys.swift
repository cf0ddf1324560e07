import CKernels
import WaggleBase

extension MLKEM768 {
    /// The public half: what the other side encapsulates to.
    ///
    /// The matrix behind its seed is expanded once, when the key is made or read, and kept (7.5 KB).
    public struct EncapsulationKey: Sendable {
        /// The 1,184 bytes that are sent.
        public let encoded: Bytes
        let expanded: ExpandedKey
        /// The standard's H, SHA3-256 of the encoding.
        let digest: Digest256

        init(encoded: Bytes, expanded: ExpandedKey) {
            self.encoded = encoded
            self.expanded = expanded
            digest = MLKEM768.digest(encoded.span)
        }

        /// Reads a key; nil when it has the wrong length or a coefficient that is not below q (section 7.2, modulus check).
        public init?(_ bytes: RawSpan) {
            guard bytes.byteCount == MLKEM768.encapsulationKeyLength else { return nil }
            let expanded = ExpandedKey()
            var isReduced = true
            bytes.withUnsafeBytes { bytes in
                let start = bytes.octets.unsafelyUnwrapped
                for row in 0..<MLKEM768.rank where !ck_mlkem_decode12(expanded.publicVector + row * MLKEM768.degree, start + row * 384) {
                    isReduced = false
                }
            }
            guard isReduced else { return nil }
            let seed = bytes.unsafeLoadUnaligned(fromByteOffset: MLKEM768.rank * 384, as: Seed.self)
            MLKEM768.sampleMatrix(seed, into: expanded.matrix, Workspace())
            self.init(encoded: Bytes(bytes), expanded: expanded)
        }

        public init?(_ bytes: Bytes) { self.init(bytes.span) }
    }

    /// The secret half, with its public half.
    public struct DecapsulationKey: Sendable {
        public let encapsulationKey: EncapsulationKey
        let secret: PolynomialVector
        let z: SecureBytes
        /// The same key inside libcrypto, where its implementation was chosen when the key was read.
        let libcrypto: LibcryptoKey?

        init(secret: PolynomialVector, encapsulationKey: EncapsulationKey, z: SecureBytes, libcrypto: LibcryptoKey? = nil) {
            self.libcrypto = libcrypto
            self.secret = secret
            self.encapsulationKey = encapsulationKey
            self.z = z
        }

        /// Reads an expanded key: secret vector (1,152 bytes) ‖ encapsulation key (1,184) ‖ its hash (32) ‖ z (32).
        ///
        /// Nil when the length is wrong, the hash does not match (section 7.3), or the encapsulation key is not valid.
        public init?(_ bytes: RawSpan) {
            guard bytes.byteCount == MLKEM768.decapsulationKeyLength else { return nil }
            guard let key = EncapsulationKey(bytes.extracting(1152..<2336)),
                let digest = Digest256(bytes.extracting(2336..<2368)), digest == key.digest
            else { return nil }
            let secret = PolynomialVector(count: MLKEM768.rank, isSecret: true)
            bytes.withUnsafeBytes { bytes in
                let start = bytes.octets.unsafelyUnwrapped
                for row in 0..<MLKEM768.rank { _ = ck_mlkem_decode12(secret.pointer + row * MLKEM768.degree, start + row * 384) }
            }
            let other = PostQuantum.usesLibcrypto(MLKEM768.name) ? LibcryptoKey(MLKEM768.name, privateKey: SecureBytes(bytes)) : nil
            self.init(secret: secret, encapsulationKey: key, z: SecureBytes(bytes.extracting(2368..<2400)), libcrypto: other)
        }

        public init?(_ bytes: SecureBytes) { self.init(bytes.span) }

        /// The 2,400 bytes of the expanded key.
        public var encoded: SecureBytes {
            SecureBytes(count: MLKEM768.decapsulationKeyLength) { output in
                let start = output.octets.unsafelyUnwrapped
                for row in 0..<MLKEM768.rank { ck_mlkem_encode12(start + row * 384, secret.pointer + row * MLKEM768.degree) }
                output[1152...].copyBytes(from: encapsulationKey.encoded)
                encapsulationKey.digest.withUnsafeBytes { output[2336...].copyBytes(from: $0) }
                z.withUnsafeBytes { output[2368...].copyBytes(from: $0) }
            }
        }

        /// The shared secret of `ciphertext`; see `MLKEM768.decapsulate`.
        public func decapsulate(_ ciphertext: RawSpan) -> SecureBytes? { MLKEM768.decapsulate(ciphertext, with: self) }
        public func decapsulate(_ ciphertext: Bytes) -> SecureBytes? { MLKEM768.decapsulate(ciphertext.span, with: self) }
    }

    private static func digest(_ bytes: RawSpan) -> Digest256 {
        var sponge = KeccakSponge(rate: 136, domain: .sha3)
        bytes.withUnsafeBytes { sponge.absorb($0) }
        var digest = Digest256()
        digest.withUnsafeMutableBytes { sponge.squeeze(into: $0) }
        return digest
    }

    /// Some polynomials in memory of their own; written once by whoever makes it, then shared.
    final class PolynomialVector: @unchecked Sendable {
        let pointer: UnsafeMutablePointer<Int16>
        private let memory: UnsafeMutableRawBufferPointer
        private let isSecret: Bool

        init(count: Int, isSecret: Bool) {
            memory = .allocate(byteCount: count * MLKEM768.degree * 2, alignment: 64)
            pointer = memory.baseAddress.unsafelyUnwrapped.bindMemory(to: Int16.self, capacity: count * MLKEM768.degree)
            self.isSecret = isSecret
        }

        deinit {
            if isSecret { wipe(memory) }
            memory.deallocate()
        }
    }

    /// What an encapsulation key stands for: the matrix, row after row, and the vector t, transformed.
    struct ExpandedKey: Sendable {
        private let polynomials = PolynomialVector(count: MLKEM768.rank * MLKEM768.rank + MLKEM768.rank, isSecret: false)

        var matrix: UnsafeMutablePointer<Int16> { polynomials.pointer }
        var publicVector: UnsafeMutablePointer<Int16> { polynomials.pointer + MLKEM768.rank * MLKEM768.rank * MLKEM768.degree }
    }

    /// The memory one operation works in, wiped at its end.
    struct Workspace: ~Copyable {
        private let memory: UnsafeMutableRawBufferPointer

        private static let statesLength = 200 * 8
        private static let blocksLength = 8 * blockStride
        private static let noiseLength = 7 * MLKEM768.degree * 2
        private static let preparedLength = MLKEM768.rank * 2 * MLKEM768.degree * 2
        private static let polynomialLength = MLKEM768.degree * 2

        /// Bytes between the outputs of neighbouring streams: three blocks of SHAKE128, which nearly always suffice for a polynomial.
        static let blockStride = 3 * 168

        init() {
            let length =
                Workspace.statesLength + Workspace.blocksLength + Workspace.noiseLength + Workspace.preparedLength
                + 2 * Workspace.polynomialLength + MLKEM768.ciphertextLength
            memory = .allocate(byteCount: length, alignment: 64)
        }

        deinit {
            wipe(memory)
            memory.deallocate()
        }

        private func part<T>(_ offset: Int, _: T.Type = T.self) -> UnsafeMutablePointer<T> {
            (memory.baseAddress.unsafelyUnwrapped + offset).assumingMemoryBound(to: T.self)
        }

        /// Eight interleaved Keccak states.
        var states: UnsafeMutablePointer<UInt64> { part(0) }
        /// Their outputs.
        var blocks: UnsafeMutablePointer<UInt8> { part(Workspace.statesLength) }
        /// Up to seven short polynomials.
        var noise: UnsafeMutablePointer<Int16> { part(Workspace.statesLength + Workspace.blocksLength) }
        /// Three prepared polynomials.
        var prepared: UnsafeMutablePointer<Int16> { part(Workspace.statesLength + Workspace.blocksLength + Workspace.noiseLength) }
        /// Two polynomials for what comes up.
        var first: UnsafeMutablePointer<Int16> {
            part(Workspace.statesLength + Workspace.blocksLength + Workspace.noiseLength + Workspace.preparedLength)
        }
        var second: UnsafeMutablePointer<Int16> { first + MLKEM768.degree }
        /// A ciphertext to compare with.
        var ciphertext: UnsafeMutablePointer<UInt8> { UnsafeMutableRawPointer(second + MLKEM768.degree).octets }
    }
}
