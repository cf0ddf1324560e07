import WaggleBase

/// Bounds of the store: what one block, one commit and one read may take.
public enum BlockStoreLimits {
    /// Blocks above this size are refused by commands that make them unless the user insists: other implementations may not take them.
    public static let portableBlock = ByteCount.mebibytes(1)
    /// The largest block that travels through bitswap; the limit of the other implementations.
    public static let exchangedBlock = ByteCount.mebibytes(2)
    /// The largest block that is stored at all; it is read whole into memory.
    public static let block = ByteCount.mebibytes(32)

    /// A writer starts a commit when it holds this much. Large enough that the cost of a commit vanishes.
    static let batch = ByteCount.mebibytes(2)
    /// Blocks in one commit of a writer, so that many tiny ones do not make it long.
    static let batchBlocks = 4096
    /// Commits of one writer under way at once: one is written while the next one fills.
    static let batchesInFlight = 2

    /// Blocks that a source reads ahead, in bytes, so that readers of large files take bounded memory.
    static let readAhead = ByteCount.mebibytes(8)
    /// What a block whose size is not yet known counts as, in bytes: the usual chunk.
    static let typicalBlock = 256 << 10
    /// Blocks read in one offloaded job, in blocks: a job of about a millisecond, against 10 µs for the hop.
    static let readJob = 4

    /// Corrupted blocks remembered so that each is logged once.
    static let rememberedCorruptions = 1024
    /// Keys of one in-progress operation that are protected one by one (16 bytes each); beyond, everything is protected until it ends.
    static let protectedKeys = 2_000_000
    /// Keys looked at in one step of the sweep: a write of a few milliseconds.
    static let sweepStep = 512
    /// Blocks read in one step of a walk over a graph.
    static let walkStep = 64
    /// Bytes of one step of `repo verify`.
    static let verifyStep = ByteCount.mebibytes(8)
}
