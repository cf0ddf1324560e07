import WaggleBase
import WaggleFormats

/// Why a block cannot be had or kept. What the device says (full, read-only …) is thrown as `StoreError`.
public enum BlockStoreError: Error, Hashable, Sendable {
    /// The block is not in the store.
    case notFound(CID)
    /// The stored bytes do not have the hash that the CID names. They are never handed out.
    case corrupted(CID)
    /// More than `BlockStoreLimits.block`.
    case tooLarge(CID, bytes: Int)
    /// The CID names a hash function that this build cannot compute, so the block cannot be checked.
    case unknownHash(CID)
    /// The block belongs to a pin and cannot be removed.
    case pinned(CID)
}

extension BlockStoreError: CustomStringConvertible {
    public var description: String {
        switch self {
        case .notFound(let cid): "block was not found locally: could not find \(cid)"
        case .corrupted(let cid): "block \(cid) is corrupted on disk; add it again or fetch it from a peer that has it"
        case .tooLarge(let cid, let bytes): "block \(cid) has \(bytes) bytes, more than \(BlockStoreLimits.block.bytes)"
        case .unknownHash(let cid): "block \(cid) uses a hash function that is not supported"
        case .pinned(let cid): "block \(cid) is pinned"
        }
    }
}
