import WaggleBase
import WaggleFormats

/// Content-addressable archives.
///
/// Wire shape, version 1: unsigned varint length, dag-cbor `{"roots": [CID], "version": 1}`; then for each block unsigned varint length, CID, bytes.
/// Version 2 wraps that: a fixed pragma of 11 bytes, 40 bytes of header whose bytes 16–23 and 24–31 say where version 1 begins and how long it is,
/// little-endian. Spec: ipld.io/specs/transport/car.
package enum CARFormat {
    /// Bytes that are gathered before they are handed on.
    static let pieceSize = 256 << 10
    /// Bytes of a header, at most: some ten thousand roots.
    package static let headerLimit = 1 << 20
    /// Bytes of a section (CID and block), at most.
    package static let sectionLimit = 8 << 20
    static let pragma: [UInt8] = [0x0a, 0xa1, 0x67, 0x76, 0x65, 0x72, 0x73, 0x69, 0x6f, 0x6e, 0x02]

    /// Writes the header of version 1.
    package static func writeHeader(_ roots: [CID], to writer: inout ByteWriter) {
        // Built by hand, because it has one shape: map(2), "roots" list of tag-42 byte strings, "version" 1.
        var header = ByteWriter()
        header.write([0xa2, 0x65] + Array("roots".utf8))
        head(4 << 5, roots.count, &header)
        for root in roots {
            header.write([0xd8, 0x2a])
            head(2 << 5, root.count + 1, &header)
            header.write([0x00])
            header.write(root.bytes)
        }
        header.write([0x67] + Array("version".utf8) + [0x01])
        let bytes = header.finish()
        writer.write(varint: UInt64(bytes.count))
        writer.write(bytes)
    }

    private static func head(_ major: UInt8, _ count: Int, _ writer: inout ByteWriter) {
        switch count {
        case ..<24: writer.write([major | UInt8(count)])
        case ..<256: writer.write([major | 24, UInt8(count)])
        default: writer.write([major | 25, UInt8(truncatingIfNeeded: count >> 8), UInt8(truncatingIfNeeded: count)])
        }
    }

    /// Writes one block.
    package static func write(_ cid: CID, _ bytes: Bytes, to writer: inout ByteWriter) {
        writer.write(varint: UInt64(cid.count + bytes.count))
        writer.write(cid.bytes)
        writer.write(bytes)
    }
}
