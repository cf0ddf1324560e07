import WaggleBase
import WaggleFormats

extension BlockStore {
    /// Removes a block whose bytes do not have its hash, whatever pins it: there is nothing left to keep. Sound blocks stay.
    public func drop(corrupted key: Multihash) async throws {
        try await store.write(durable: true) { writer in
            try key.bytes.withUnsafeBytes { bytes in
                let found = try writer.withValue(of: bytes, in: StoreTables.blocks) { (size: $0.count, isSound: BlockHash.matches(key, $0) == true) }
                guard let found, !found.isSound else { return }
                try writer.remove(bytes, in: StoreTables.blocks)
                try StoreCounter.blockBytes.add(-found.size, writer)
            }
        }
    }
}
