/// Bounds of the Noise channels.
enum NoiseLimits {
    /// Longest record on the wire without its two-byte length, in bytes (Noise rev 34, section 3).
    static let recordBytes = 65_535

    /// Longest handshake message that is read, in bytes. An identity key of SLH-DSA with two signatures takes 16 KiB, RSA with 8192 bits
    /// 3 KiB; all else in a payload is small.
    static let handshakeMessageBytes = 32 << 10

    /// Most muxers that a peer may name; there are three in all of libp2p.
    static let muxers = 32

    /// Most channels that a peer may say it offers, and the most bytes their signed form may take: the bounds of the other
    /// implementations of the extension.
    static let channels = 32
    static let channelBytes = 4096

    /// Peers whose static key signature is remembered as verified, in each of two generations. An entry takes about 400 bytes, so the
    /// table stays below half a megabyte; with ML-DSA-87 keys it takes 3 KiB, and the table 3 MiB.
    static let rememberedPeers = 512
}
