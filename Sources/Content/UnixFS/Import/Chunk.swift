import WaggleBase
import WaggleFormats

/// A piece of a file that was cut out and is not yet a block.
struct Chunk: Sendable {
    /// Room around content in memory of its own, in bytes, for the frame of a dag-pb leaf.
    static let roomBefore = 16
    static let roomAfter = 64

    private enum Place: Sendable {
        /// Memory that belongs to the input.
        case window(Bytes)
        /// Memory of its own with room on both sides that nobody else writes.
        case own(ByteStorage, count: Int)
    }

    private let place: Place

    /// A window onto the input, which stays as it is.
    init(window: Bytes) { place = .window(window) }

    /// The first `count` bytes after the room in `storage`.
    init(storage: ByteStorage, count: Int) { place = .own(storage, count: count) }

    /// Bytes of content.
    var count: Int {
        switch place {
        case .window(let bytes): bytes.count
        case .own(_, let count): count
        }
    }

    /// Small windows are copied, so that they do not keep a large input alive.
    private static let copiedBelow = 16 << 10

    /// The content alone.
    var bytes: Bytes {
        switch place {
        case .window(let bytes): bytes.count < Chunk.copiedBelow ? Bytes(bytes.span) : bytes
        case .own(let storage, let count):
            Bytes(storage: storage, range: Chunk.roomBefore..<Chunk.roomBefore + count).compacted()
        }
    }

    /// The content in a dag-pb block without links.
    ///
    /// Wire shape: PBNode `Data` (1) around UnixFS `Type` (1), `Data` (2, absent when empty), `filesize` (3), `mode` (7), `mtime` (8).
    func framed(kind: UnixFSData.Kind, metadata: UnixFSMetadata) -> Bytes {
        let trailer = UnixFSData(
            kind: kind, fileSize: UInt64(count), mode: metadata.mode, modified: metadata.modified
        ).encode().dropFirst(2)  // Without the type, which belongs in front.
        var inner = ByteWriter(capacity: Chunk.roomBefore)
        inner.write([0x08, UInt8(kind.rawValue)])
        if count > 0 {
            inner.write(0x12 as UInt8)
            inner.write(varint: UInt64(count))
        }
        let innerHeader = inner.finish()
        var outer = ByteWriter(capacity: Chunk.roomBefore)
        outer.write(0x0a as UInt8)
        outer.write(varint: UInt64(innerHeader.count + count + trailer.count))
        outer.write(innerHeader)
        return surrounded(by: outer.finish(), trailer)
    }

    private func surrounded(by header: Bytes, _ trailer: Bytes) -> Bytes {
        switch place {
        case .window(let bytes):
            var writer = ByteWriter(capacity: header.count + bytes.count + trailer.count)
            writer.write(header)
            writer.write(bytes)
            writer.write(trailer)
            return writer.finish()
        case .own(let storage, let count):
            let start = Chunk.roomBefore - header.count
            let end = Chunk.roomBefore + count
            header.withUnsafeBytes { UnsafeMutableRawBufferPointer(rebasing: storage.buffer[start...]).copyMemory(from: $0) }
            trailer.withUnsafeBytes { UnsafeMutableRawBufferPointer(rebasing: storage.buffer[end...]).copyMemory(from: $0) }
            return Bytes(storage: storage, range: start..<end + trailer.count).compacted()
        }
    }
}
