/// What the encodings of keys may be at most.
public enum KeyLimits {
    /// `Data` of a public key in bytes. The longest is ML-DSA-87 as SubjectPublicKeyInfo with 2,614; RSA has a bound of its own.
    public static let publicKeyLength = 2_620
    /// PKCS#8 in bytes. The longest is ML-DSA-87 with seed, expanded key and public key: 7,560.
    public static let pkcs8Length = 8_000
    /// A PEM file in bytes: PKCS#8 in base64 with line ends takes 11 KB, and people write remarks around it.
    public static let pemLength = 32 << 10
    /// The longest signature of all kinds in bytes: SLH-DSA-SHAKE-128s. What carries signatures must have room for it.
    public static let signatureLength = 7_856
}
