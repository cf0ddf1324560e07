import WaggleBase
import WaggleFormats

/// A block and the CID that names it.
///
/// Whoever makes one from bytes of a remote has checked that the bytes have the CID's hash.
public struct Block: Hashable, Sendable {
    /// The hash of `bytes` and how they are encoded.
    public let cid: CID
    /// The encoded block.
    public let bytes: Bytes

    public init(cid: CID, bytes: Bytes) {
        self.cid = cid
        self.bytes = bytes
    }
}

/// Where readers of graphs get their blocks: the local store, or the store and a bitswap session behind it.
public protocol BlockSource: Sendable {
    /// The bytes of the block, verified against `cid`; throws when it cannot be had. May be called many times at once.
    func block(_ cid: CID) async throws -> Bytes

    /// Says that `block` will be called for `cids` soon, in this order; returns at once. A source may start to fetch them, or do nothing.
    func prefetch(_ cids: [CID])
}

extension BlockSource {
    public func prefetch(_ cids: [CID]) {}
}

/// Where writers of graphs put their blocks.
public protocol BlockSink: Sendable {
    /// Takes some blocks, children before parents within one writer; suspends while the sink is full. When it returns, the blocks are as
    /// durable as the sink promises. May be called many times at once.
    func write(_ blocks: [Block]) async throws
}
