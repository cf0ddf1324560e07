/// Bounds of the decoders in this module: what a remote may make them read, hold or recurse into.
public enum FormatsLimits {
    /// Longest digest of a multihash, in bytes. The longest hash in use has 64 bytes; identity "hashes" carry small content and are
    /// capped at 128 by the IPFS implementations.
    public static let digestBytes = 128

    /// Longest binary CID, in bytes: three varints of at most nine bytes (version takes one), a length of two and a digest.
    public static let cidBytes = 1 + 9 + 9 + 2 + digestBytes

    /// Longest text of a CID, in UTF-8 bytes: `cidBytes` in base 2, the longest encoding, and its prefix.
    public static let cidTextBytes = 1 + 8 * cidBytes

    /// Longest text in a base whose digits are not whole bits (10, 36, 58), in characters; their decoding takes quadratic time.
    public static let positionalTextCharacters = 16_384

    /// Most entries in the `blocksizes` of one UnixFS node. Each belongs to a link of at least eight bytes, and no block has more than 4 MiB.
    public static let blockSizes = 1 << 19

    /// Longest binary multiaddr, in bytes. The longest component in use, an I2P destination, has about 400.
    public static let multiaddrBytes = 1024

    /// Longest text of a multiaddr, in UTF-8 bytes. The longest text for its bytes is a chain of `/p2p-websocket-star`, two bytes each.
    public static let multiaddrTextBytes = multiaddrBytes / 2 * 20

    /// Most levels of lists and maps inside each other in DAG-CBOR and JSON. The decoders recurse; 256 levels fit any thread's stack.
    public static let depth = 256

    /// Most values in one DAG-CBOR or JSON text. A value takes about 32 bytes of memory where it may have taken one on the wire.
    public static let values = 1 << 20

    /// Longest number in JSON, in characters; the exact decimal form of a double has at most 1076.
    public static let numberCharacters = 1100
}
