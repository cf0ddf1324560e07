import WaggleBase
import WaggleContent
import WaggleFormats

extension CARFormat {
    static func write(_ block: Block, to writer: inout ByteWriter) { write(block.cid, block.bytes, to: &writer) }
}

/// Why an archive cannot be read.
package enum CARError: Error, Hashable, Sendable, CustomStringConvertible {
    case header
    case section
    /// Longer than the limit, in bytes.
    case tooLong(limit: Int)
    case endsEarly
    case version(Int)

    package var description: String {
        switch self {
        case .header: "invalid car file: its header cannot be read"
        case .section: "invalid car file: a section is not a CID and a block"
        case .tooLong(let limit): "invalid car file: a section is longer than \(limit) bytes"
        case .endsEarly: "invalid car file: it ends in the middle of a section"
        case .version(let version): "invalid car version: \(version)"
        }
    }
}

/// Reads an archive of version 1 or 2 as it arrives: a machine without I/O.
///
/// header of v2 ─► (skip to its data) ─► header of v1 ─► sections ─► (what follows the data of v2 is left out)
package struct CARMachine {
    package enum Output: Equatable {
        case roots([CID])
        case block(Block)

        package static func == (left: Output, right: Output) -> Bool {
            switch (left, right) {
            case (.roots(let left), .roots(let right)): left == right
            case (.block(let left), .block(let right)): left.cid == right.cid && left.bytes == right.bytes
            default: false
            }
        }
    }

    private enum State { case start, outerHeader, skipping, header, sections, done }

    private var state = State.start
    private var pending: [UInt8] = []
    /// Bytes of `pending` that are done with.
    private var offset = 0
    private var skip: UInt64 = 0
    /// Bytes of the inner archive that are left; nil when it goes to the end.
    private var left: UInt64?

    package init() {}

    package mutating func receive(_ bytes: Bytes) throws(CARError) {
        if state == .done { return }
        if offset > 0 {
            pending.removeSubrange(..<offset)
            offset = 0
        }
        bytes.withUnsafeBytes { pending.append(contentsOf: $0) }
    }

    /// The next thing that was read; nil when more bytes are needed.
    package mutating func next() throws(CARError) -> Output? {
        while true {
            switch state {
            case .done: return nil
            case .start:
                guard pending.count >= CARFormat.pragma.count || !CARFormat.pragma.starts(with: pending) else { return nil }
                let isOuter = pending.starts(with: CARFormat.pragma)
                if isOuter { offset = CARFormat.pragma.count }
                state = isOuter ? .outerHeader : .header
            case .outerHeader:
                guard pending.count - offset >= 40 else { return nil }
                let begin = number(at: offset + 16)
                let size = number(at: offset + 24)
                let here = UInt64(CARFormat.pragma.count + 40)
                guard begin >= here, begin < 1 << 62, size < 1 << 62 else { throw .header }
                offset += 40
                skip = begin - here
                left = size
                state = .skipping
            case .skipping:
                let take = min(skip, UInt64(pending.count - offset))
                offset += Int(take)
                skip -= take
                guard skip == 0 else { return nil }
                state = .header
            case .header:
                guard let section = try section(limit: CARFormat.headerLimit) else { return nil }
                state = .sections
                return .roots(try Self.roots(section))
            case .sections:
                if left == 0 {
                    state = .done
                    continue
                }
                guard let section = try section(limit: CARFormat.sectionLimit) else { return nil }
                var reader = ByteReader(section.span)
                let cid: CID
                do { cid = try CID.decode(from: &reader) } catch { throw .section }
                return .block(Block(cid: cid, bytes: section.dropFirst(cid.count).compacted()))
            }
        }
    }

    /// Says that no more bytes come.
    package func finish() throws(CARError) {
        switch state {
        case .done: return
        case .sections where left == nil && offset == pending.count: return
        default: throw .endsEarly
        }
    }

    private func number(at index: Int) -> UInt64 {
        (0..<8).reduce(0) { $0 | UInt64(pending[index + $1]) << UInt64(8 * $1) }
    }

    /// The next length-prefixed section, once it is there whole.
    private mutating func section(limit: Int) throws(CARError) -> Bytes? {
        var length: UInt64 = 0
        var index = offset
        var shift: UInt64 = 0
        while true {
            guard index < pending.count else { return nil }
            guard shift <= 28 else { throw .tooLong(limit: limit) }
            let byte = pending[index]
            length |= UInt64(byte & 0x7f) << shift
            index += 1
            if byte < 0x80 { break }
            shift += 7
        }
        guard length <= UInt64(limit) else { throw .tooLong(limit: limit) }
        guard length > 0 else { throw .section }
        if let left, UInt64(index - offset) + length > left { throw .endsEarly }
        guard pending.count - index >= Int(length) else { return nil }
        let end = index + Int(length)
        let bytes = Bytes(Array(pending[index..<end]))
        if let known = left { left = known - UInt64(end - offset) }
        offset = end
        return bytes
    }

    private static func roots(_ header: Bytes) throws(CARError) -> [CID] {
        let value: Value
        do { value = try DagCBOR.decode(header, .relaxed) } catch { throw .header }
        guard let version = value["version"]?.int else { throw .header }
        guard version == 1 else { throw .version(version) }
        guard let list = value["roots"]?.list else { throw .header }
        var roots: [CID] = []
        for item in list {
            guard let cid = item.link else { throw .header }
            roots.append(cid)
        }
        return roots
    }
}
