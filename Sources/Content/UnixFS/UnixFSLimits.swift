/// Bounds of the UnixFS writers and readers, and the defaults of Kubo that make CIDs equal.
public enum UnixFSLimits {
    /// Largest block that is written, in bytes: what bitswap peers accept (specs.ipfs.tech/bitswap-protocol, "Block Sizes").
    public static let blockBytes = 2 << 20

    /// Largest chunk of a file, in bytes: `blockBytes` less room for the frame of a dag-pb leaf.
    public static let chunkBytes = blockBytes - 256

    /// Content of one leaf by default, in bytes.
    public static let defaultChunkBytes = 256 << 10

    /// Smallest chunk that the Rabin chunker may be asked for, in bytes: the window of its hash.
    public static let rabinMinimumBytes = 16

    /// Longest content of an identity CID, in bytes: what other implementations accept.
    public static let inlineBytes = 128

    /// Links of a file node by default: about 8 KiB of links.
    public static let defaultFileLinks = 174

    /// Links a file node may be asked to have. With one link no tree would ever end; above, the node outgrows a block.
    public static let fileLinks = 2...32_768

    /// Slots a shard may have; powers of two only.
    public static let shardFanout = 8...1024

    /// Estimated size in bytes above which a directory is written as shards.
    public static let defaultShardThreshold = 256 << 10

    /// Levels of a file's graph below the root that a reader follows. Balanced trees of two links a node reach 2^64 chunks at 64.
    public static let fileDepth = 64

    /// Bytes of content that a reader asks for ahead of what was consumed.
    public static let readAheadBytes = 24 << 20

    /// Blocks that a reader asks for ahead of what was consumed.
    public static let readAheadBlocks = 192

    /// Links that a reader of a file holds expanded before it stops asking for further inner nodes.
    public static let expandedLinks = 8192

    /// Sub-shards asked for ahead while a sharded directory is listed.
    public static let shardsAhead = 32

    /// Components of a path that is resolved, and directories above an entry in a tree that is walked.
    public static let pathDepth = 1024

    /// Longest path text, in UTF-8 bytes.
    public static let pathBytes = 64 << 10

    /// Depth of a graph that a walk over all its links follows, in blocks.
    public static let graphDepth = 100_000

    /// Links that a walk over a graph holds for the blocks above the current one.
    public static let openLinks = 1 << 22

    /// Content that is hashed as one job off the loop, in bytes: about a millisecond of SHA2-256.
    public static let hashJobBytes = 2 << 20

    /// Content below which hashing happens where the caller is: handing it over would take longer.
    public static let hashInPlaceBytes = 64 << 10

    /// Entries of a directory that is encoded where the caller is, for the same reason.
    public static let entriesInPlace = 256

    /// Jobs under way for one file: with the chunks being read, at most four times `hashJobBytes` of content are held.
    public static let hashJobs = 3
}
