import CKernels
import WaggleBase

extension MLDSA {
    /// A private key, with its public half. Kept as its seed; what signing needs of it is expanded once and wiped with the last copy.
    public struct PrivateKey: Sendable {
        /// The 32 bytes the key was made of; nil when it was read in expanded form, which the seed cannot be found from.
        public let seed: SecureBytes?
        /// The expanded form (algorithm 24): matrix seed (32) ‖ K (32) ‖ digest of the public key (64) ‖ s1 ‖ s2 ‖ t0.
        public let expanded: SecureBytes
        public let publicKey: PublicKey
        let polynomials: ExpandedKey
        /// The same key inside libcrypto, where its implementation was chosen when the key was made.
        let libcrypto: LibcryptoKey?

        public var parameters: Parameters { publicKey.parameters }

        /// The key of a secret random seed of 32 bytes (algorithm 6); nil for any other length.
        public init?(seed: SecureBytes, _ parameters: Parameters) {
            guard seed.count == MLDSA.seedLength else { return nil }
            self = wipingStack { PrivateKey(expanding: seed, parameters) }
        }

        private init(expanding seed: SecureBytes, _ parameters: Parameters) {
            var sponge = KeccakSponge(rate: 136, domain: .shake)
            seed.withUnsafeBytes { sponge.absorb($0) }
            withUnsafeBytes(of: (UInt8(parameters.rows), UInt8(parameters.columns))) { sponge.absorb($0) }
            var matrixSeed = Seed.zero, secretSeed = Representative.zero, signingSeed = Seed.zero
            withUnsafeMutableBytes(of: &matrixSeed) { sponge.squeeze(into: $0) }
            withUnsafeMutableBytes(of: &secretSeed) { sponge.squeeze(into: $0) }
            withUnsafeMutableBytes(of: &signingSeed) { sponge.squeeze(into: $0) }
            defer {
                sponge.wipe()
                wipe(&secretSeed)
                wipe(&signingSeed)
            }
            let count = parameters.rows + parameters.columns
            let secrets = Polynomials(count: count, isSecret: true)
            let streams = Streams()
            MLDSA.sampleShort(secretSeed, count: count, eta: parameters.eta, into: secrets.pointer, streams)
            self.init(seed: seed, matrixSeed, signingSeed, secrets, parameters, streams)
        }

        /// Reads an expanded key; nil when it has the wrong length, a secret is out of its range, or its parts do not belong together.
        public init?(expanded bytes: SecureBytes, _ parameters: Parameters) {
            guard bytes.count == parameters.expandedKeyLength, let key = wipingStack({ PrivateKey(reading: bytes, parameters) }) else { return nil }
            self = key
        }

        private init?(reading bytes: SecureBytes, _ parameters: Parameters) {
            let count = parameters.rows + parameters.columns
            let secrets = Polynomials(count: count, isSecret: true)
            var matrixSeed = Seed.zero, signingSeed = Seed.zero
            defer { wipe(&signingSeed) }
            var isInRange = true
            bytes.withUnsafeBytes { bytes in
                matrixSeed = bytes.loadUnaligned(as: Seed.self)
                signingSeed = bytes.loadUnaligned(fromByteOffset: 32, as: Seed.self)
                let start = bytes.octets.unsafelyUnwrapped + 128
                for index in 0..<count {
                    ck_mldsa_unpack(secrets[index], start + index * parameters.shortLength, parameters.shortBits, parameters.eta)
                    if ck_mldsa_reaches(secrets[index], parameters.eta + 1) { isInRange = false }
                }
            }
            guard isInRange else { return nil }
            self.init(seed: nil, matrixSeed, signingSeed, secrets, parameters, Streams())
            guard expanded == bytes else { return nil }
        }

        /// From s1 and s2, which stand one behind the other in `secrets` and are transformed there.
        private init(
            seed: SecureBytes?, _ matrixSeed: Seed, _ signingSeed: Seed, _ secrets: Polynomials, _ parameters: Parameters,
            _ streams: borrowing Streams
        ) {
            let rows = parameters.rows, columns = parameters.columns
            let expandedKey = ExpandedKey(parameters, signingSeed: signingSeed)
            MLDSA.sampleMatrix(matrixSeed, parameters, into: expandedKey.matrix(row: 0), streams)
            expandedKey.first(0).update(from: secrets.pointer, count: (rows + columns) * MLDSA.degree)
            for column in 0..<columns { ck_mldsa_ntt(expandedKey.first(column)) }

            let high = Polynomials(count: 2, isSecret: true)
            let encodedPublicKey = Bytes(count: parameters.publicKeyLength) { output in
                output.storeBytes(of: matrixSeed, as: Seed.self)
                let start = output.octets.unsafelyUnwrapped + 32
                for row in 0..<rows {
                    let t = high[1]
                    ck_mldsa_dot(t, expandedKey.matrix(row: row), expandedKey.first(0), columns)
                    ck_mldsa_inverse_ntt(t)
                    ck_mldsa_add(t, expandedKey.second(row))
                    ck_mldsa_canonical(t)
                    ck_mldsa_power2round(high[0], expandedKey.low(row), t)
                    ck_mldsa_pack(start + row * 320, high[0], 10, 0)
                }
                return output.count
            }
            let publicKey = PublicKey(encoded: encodedPublicKey, parameters)
            expanded = SecureBytes(count: parameters.expandedKeyLength) { output in
                output.storeBytes(of: matrixSeed, as: Seed.self)
                output.storeBytes(of: signingSeed, toByteOffset: 32, as: Seed.self)
                output.storeBytes(of: publicKey.digest, toByteOffset: 64, as: Representative.self)
                var start = output.octets.unsafelyUnwrapped + 128
                for index in 0..<rows + columns {
                    ck_mldsa_pack(start, secrets[index], parameters.shortBits, parameters.eta)
                    start += parameters.shortLength
                }
                for row in 0..<rows { ck_mldsa_pack(start + row * 416, expandedKey.low(row), 13, 1 << 12) }
            }
            for row in 0..<rows {
                ck_mldsa_ntt(expandedKey.second(row))
                ck_mldsa_ntt(expandedKey.low(row))
            }
            libcrypto = PostQuantum.usesLibcrypto(parameters.name) ? LibcryptoKey(parameters.name, privateKey: expanded) : nil
            self.seed = seed
            self.publicKey = publicKey
            polynomials = expandedKey
        }
    }

    /// What signing needs: the matrix, s1, s2 and t0, all transformed, and K.
    final class ExpandedKey: @unchecked Sendable {
        let signingSeed: SecureBytes
        private let polynomials: Polynomials
        private let rows, columns: Int

        init(_ parameters: Parameters, signingSeed: Seed) {
            rows = parameters.rows
            columns = parameters.columns
            polynomials = Polynomials(count: rows * columns + columns + 2 * rows, isSecret: true)
            self.signingSeed = withUnsafeBytes(of: signingSeed) { SecureBytes(copying: $0) }
        }

        func matrix(row: Int) -> UnsafeMutablePointer<Int32> { polynomials[row * columns] }
        func first(_ column: Int) -> UnsafeMutablePointer<Int32> { polynomials[rows * columns + column] }
        func second(_ row: Int) -> UnsafeMutablePointer<Int32> { polynomials[rows * columns + columns + row] }
        func low(_ row: Int) -> UnsafeMutablePointer<Int32> { polynomials[rows * columns + columns + rows + row] }
    }
}
