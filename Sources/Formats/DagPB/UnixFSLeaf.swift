import WaggleBase

/// The dag-pb block of a UnixFS leaf as what comes in front of its content and what comes behind: with it content is framed where it
/// already lies, or hashed and written without being joined.
///
/// The block `prefix ‖ content ‖ suffix` is the same as `PBNode(data: UnixFSData(kind:data:fileSize:).encode()).encode()`.
public struct UnixFSLeaf: Sendable {
    /// Bytes in front of the content, at most 22.
    public let prefix: Bytes
    /// Bytes behind the content, at most 11.
    public let suffix: Bytes
    /// Bytes of content between them.
    public let contentCount: Int

    /// The frame of `contentCount` bytes; `kind` is `file` or `raw`. Empty content gets no `Data` field, as Kubo's importer has it.
    public init(kind: UnixFSData.Kind = .file, contentCount: Int) {
        self.contentCount = contentCount
        let hasContent = contentCount > 0
        let message =
            ProtobufWriter.size(1, varint: UInt64(kind.rawValue)) + (hasContent ? ProtobufWriter.size(2, count: contentCount) : 0)
            + ProtobufWriter.size(3, varint: UInt64(contentCount))
        var writer = ProtobufWriter(capacity: 32)
        writer.begin(1, count: message)
        writer.write(1, varint: UInt64(kind.rawValue))
        if hasContent { writer.begin(2, count: contentCount) }
        prefix = writer.finish()
        writer = ProtobufWriter(capacity: 16)
        writer.write(3, varint: UInt64(contentCount))
        suffix = writer.finish()
    }

    /// Bytes in the block.
    public var blockCount: Int { prefix.count + contentCount + suffix.count }

    /// The block around `content`, which must have `contentCount` bytes and is copied once.
    public func block(_ content: UnsafeRawBufferPointer) -> Bytes {
        precondition(content.count == contentCount)
        var writer = ByteWriter(capacity: blockCount)
        writer.write(prefix)
        writer.write(content)
        writer.write(suffix)
        return writer.finish()
    }
}
