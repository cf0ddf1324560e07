extension MLDSA {
    /// One of the three parameter sets (FIPS 204, table 1).
    public struct Parameters: Sendable, Hashable, CustomStringConvertible {
        /// ML-DSA-44, -65 or -87.
        public let name: String
        /// Rows and columns of the matrix (k and l).
        let rows, columns: Int
        /// The largest coefficient of a secret (eta).
        let eta: Int32
        /// Coefficients of a challenge that are not zero (tau).
        let weight: Int
        /// Size of a challenge in bytes (lambda / 4).
        let challengeLength: Int
        /// Bits of a coefficient of z; a mask is below 2^(maskBits - 1) (gamma1).
        let maskBits: Int
        /// Whether gamma2 is (q - 1) / 88 and not (q - 1) / 32.
        let isNarrow: Bool
        /// The most ones in a hint (omega).
        let hintWeight: Int

        /// Category 2: public keys of 1,312 bytes, signatures of 2,420.
        public static let mldsa44 = Parameters(
            name: "ML-DSA-44", rows: 4, columns: 4, eta: 2, weight: 39, challengeLength: 32, maskBits: 18, isNarrow: true, hintWeight: 80)
        /// Category 3: public keys of 1,952 bytes, signatures of 3,309.
        public static let mldsa65 = Parameters(
            name: "ML-DSA-65", rows: 6, columns: 5, eta: 4, weight: 49, challengeLength: 48, maskBits: 20, isNarrow: false, hintWeight: 55)
        /// Category 5: public keys of 2,592 bytes, signatures of 4,627.
        public static let mldsa87 = Parameters(
            name: "ML-DSA-87", rows: 8, columns: 7, eta: 2, weight: 60, challengeLength: 64, maskBits: 20, isNarrow: false, hintWeight: 75)

        public var description: String { name }

        /// Size of a public key in bytes.
        public var publicKeyLength: Int { 32 + rows * 320 }
        /// Size of an expanded private key in bytes.
        public var expandedKeyLength: Int { 128 + (rows + columns) * shortLength + rows * 416 }
        /// Size of a signature in bytes.
        public var signatureLength: Int { challengeLength + columns * maskLength + hintWeight + rows }

        /// The bound of a mask (gamma1).
        var maskBound: Int32 { 1 << Int32(maskBits - 1) }
        /// Half the interval of a high part (gamma2).
        var gamma: Int32 { (8_380_417 - 1) / (isNarrow ? 88 : 32) }
        /// The most that a challenge times a secret can have (beta).
        var beta: Int32 { Int32(weight) * eta }
        /// Bits of a coefficient of a secret, and of a high part.
        var shortBits: Int32 { eta == 2 ? 3 : 4 }
        var highBits: Int32 { isNarrow ? 6 : 4 }
        /// Encoded sizes of a polynomial in bytes.
        var shortLength: Int { 32 * Int(shortBits) }
        var maskLength: Int { 32 * maskBits }
        var highLength: Int { 32 * Int(highBits) }
    }
}
