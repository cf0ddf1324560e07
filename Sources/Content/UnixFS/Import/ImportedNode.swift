import WaggleFormats

/// The root of something that was imported: what a directory needs to link to it.
public struct ImportedNode: Hashable, Sendable {
    public let cid: CID
    /// Size in bytes of all blocks from the root down, counted as often as they are linked (`Tsize`).
    public let size: UInt64
    /// Bytes of content; 0 for a directory.
    public let content: UInt64

    public init(cid: CID, size: UInt64, content: UInt64) {
        self.cid = cid
        self.size = size
        self.content = content
    }
}
