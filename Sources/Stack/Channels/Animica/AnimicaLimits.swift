/// Bounds of the channel `/animica/1`.
enum AnimicaLimits {
    /// Longest HELLO, in bytes behind the frame's header. Ours has at most 1,247; a later version may have more, and is to be told that it
    /// is refused.
    static let helloBytes = 2 << 10

    /// Longest FINISH and ANSWER, in bytes behind the frame's header: a key and a signature of SLH-DSA or ML-DSA take 8 KiB, keys and
    /// ciphertext of ML-KEM 2,272 bytes, and lists of muxers, channels and transports the rest.
    static let messageBytes = 16 << 10

    /// Most ciphers in an offer; the channel knows two.
    static let ciphers = 8

    /// Most bytes of detail in a refusal: a policy root.
    static let refusalBytes = 32

    /// Most names in each of the lists of muxers, channels and transports, and the longest name in bytes.
    static let names = 32
    static let nameBytes = 255

    /// Longest record on the wire without its length, in bytes; the same as Noise's, which every buffer is made for.
    static let recordBytes = 65_535

    /// Records that one key seals. With AES-GCM an attacker's advantage after 2^20 records of 2^12 blocks is below 2^-64
    /// (NIST SP 800-38D, section 8.3, allows 2^32 records); a new key costs 10 µs, which is nothing once in a million records.
    static let recordsPerKey: UInt64 = 1 << 20

    /// Keys of one direction after which the session is over: 2^36 records.
    static let keysPerSession: UInt64 = 1 << 16

    /// How long a session lasts. Then the swarm closes the connection, and the next one begins with fresh KEM keys: whoever learned a key
    /// of this one cannot follow for longer.
    static let lifetime = Duration.seconds(24 * 3600)
}
