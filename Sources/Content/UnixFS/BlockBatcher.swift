import Synchronization
import WaggleBase

/// Gathers small writes into larger ones, so that a tree of many small files does not wait for the disk with each of them.
///
/// Blocks are as durable as the sink behind promises only after `flush`.
public final class BlockBatcher: BlockSink {
    private struct Gathered {
        var blocks: [Block] = []
        var bytes = 0
    }

    private let sink: any BlockSink
    private let gathered = Mutex(Gathered())

    public init(into sink: any BlockSink) { self.sink = sink }

    /// Keeps the blocks; hands them on, with those before them, when they are many.
    public func write(_ blocks: [Block]) async throws {
        let full: [Block]? = gathered.withLock { gathered in
            gathered.blocks += blocks
            for block in blocks { gathered.bytes += block.bytes.count }
            guard gathered.bytes >= UnixFSLimits.batchBytes || gathered.blocks.count >= UnixFSLimits.batchBlocks else { return nil }
            defer { gathered = Gathered() }
            return gathered.blocks
        }
        if let full { try await sink.write(full) }
    }

    /// Hands on what is left.
    public func flush() async throws {
        let rest = gathered.withLock { gathered in
            defer { gathered = Gathered() }
            return gathered.blocks
        }
        if !rest.isEmpty { try await sink.write(rest) }
    }
}
