import WaggleBase
import WaggleFormats

/// The content of a file, in order, with a bounded number of blocks fetched ahead.
///
/// ```swift
/// var reader = try await FileReader(cid, from: store)
/// try await reader.forEach { piece in try await response.write(piece) }
/// ```
/// Pieces are windows onto blocks: nothing is copied. Memory does not grow with the file.
public struct FileReader: Sendable {
    private let source: any BlockSource
    private var machine: FileReadMachine
    private let limits: (bytes: Int, blocks: Int)

    /// The root of the file.
    public let node: UnixFSNode

    /// Bytes of the whole file.
    public var size: UInt64 { node.content }

    /// Bytes between `offset` and the end of what is read.
    public let length: UInt64

    /// Fetches the root. Reads from `offset`, at most `length` bytes; both may lie beyond the end.
    public init(
        _ cid: CID, from source: any BlockSource, offset: UInt64 = 0, length: UInt64? = nil,
        aheadBytes: Int = UnixFSLimits.readAheadBytes, aheadBlocks: Int = UnixFSLimits.readAheadBlocks
    ) async throws {
        try self.init(
            try await UnixFSNode.load(cid, from: source), from: source, offset: offset, length: length, aheadBytes: aheadBytes,
            aheadBlocks: aheadBlocks)
    }

    /// Reads the file whose root is `node`; throws when that is no file.
    public init(
        _ node: UnixFSNode, from source: any BlockSource, offset: UInt64 = 0, length: UInt64? = nil,
        aheadBytes: Int = UnixFSLimits.readAheadBytes, aheadBlocks: Int = UnixFSLimits.readAheadBlocks
    ) throws(UnixFSError) {
        let (end, overflow) = offset.addingReportingOverflow(length ?? .max)
        let range = (offset..<(overflow ? .max : end)).clamped(to: 0..<node.content)
        machine = try FileReadMachine(node, range: range, aheadBytes: aheadBytes, aheadBlocks: aheadBlocks)
        self.node = node
        self.source = source
        self.length = UInt64(range.count)
        limits = (aheadBytes, aheadBlocks)
    }

    /// The next piece of content; nil at the end. Blocks ahead are only announced to the source, so this is as parallel as the source is.
    public mutating func next() async throws -> Bytes? {
        while true {
            let ahead = machine.wants()
            if !ahead.isEmpty { source.prefetch(ahead.map(\.cid)) }
            switch machine.next() {
            case .bytes(let bytes): return bytes
            case .end: return nil
            case .wait(let want): try machine.supply(want.ticket, try await want.cid.content(from: source))
            }
        }
    }

    /// Calls `body` with every piece that is left, in order. Fetches several blocks at once whatever the source does; this is the fast way.
    public mutating func forEach(_ body: (Bytes) async throws -> Void) async throws {
        var machine = machine
        machine.forget()
        let source = source
        defer { self.machine = machine }
        try await withThrowingTaskGroup(of: (ticket: Int, block: Bytes).self) { group in
            while true {
                let wants = machine.wants()
                if wants.count > 1 { source.prefetch(wants.map(\.cid)) }
                for want in wants { group.addTask { (want.ticket, try await want.cid.content(from: source)) } }
                switch machine.next() {
                case .bytes(let bytes): try await body(bytes)
                case .end: return
                case .wait:
                    guard let supplied = try await group.next() else { throw CancellationError() }
                    try machine.supply(supplied.ticket, supplied.block)
                }
            }
        }
    }
}
