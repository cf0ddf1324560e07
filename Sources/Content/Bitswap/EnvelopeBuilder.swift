import WaggleBase
import WaggleFormats

/// Turns an envelope into a message: reads, checks and copies its blocks, once each, from the store's memory into the message.
///
/// Blocking; runs offloaded.
struct EnvelopeBuilder {
    let store: BlockStore

    /// A message ready to be written, without its length.
    struct Built: Sendable {
        var bytes: Bytes
        var blocks = 0
        /// Sum of the blocks' sizes.
        var blockBytes = 0
    }

    /// A corrupted block is reported and answered as missing.
    func build(_ envelope: LedgerMachine.Envelope, _ version: BitswapVersion) throws -> Built {
        var writer = ProtobufWriter(
            capacity: 64 + envelope.bytes + 64 * (envelope.blocks.count + envelope.presences.count))
        var built = Built(bytes: Bytes())
        var presences = envelope.presences
        // The wantlist, empty.
        writer.begin(1, count: 0)
        try store.store.read { reader in
            for item in envelope.blocks {
                let written = try write(item.cid, version, reader, &writer)
                if let written {
                    built.blocks += 1
                    built.blockBytes += written
                } else if item.sendDontHave {
                    presences.append(BitswapMessage.Presence(cid: item.cid, isHere: false))
                }
            }
        }
        if version.hasPresences {
            for presence in presences { BitswapMessage.encode(presence, to: &writer) }
            if envelope.pendingBytes > 0 { writer.write(5, varint: UInt64(min(envelope.pendingBytes, Int(Int32.max)))) }
        }
        built.bytes = writer.finish()
        return built
    }

    /// The block's size, or nil when it is missing or unusable.
    private func write(
        _ cid: CID, _ version: BitswapVersion, _ reader: any StoreReader, _ writer: inout ProtobufWriter
    ) throws -> Int? {
        if let inlined = cid.inlined {
            return inlined.withUnsafeBytes { EnvelopeBuilder.write(cid, $0, version, &writer) }
        }
        return try cid.multihash.bytes.withUnsafeBytes { key in
            try reader.withValue(of: key, in: StoreTables.blocks) { block -> Int? in
                switch BlockHash.matches(cid, block) {
                case true?: return EnvelopeBuilder.write(cid, block, version, &writer)
                case false?:
                    store.reportCorruption(cid)
                    return nil
                case nil: return nil
                }
            }
        } ?? nil
    }

    private static func write(
        _ cid: CID, _ block: UnsafeRawBufferPointer, _ version: BitswapVersion, _ writer: inout ProtobufWriter
    ) -> Int {
        guard version > .v1_0 else {
            writer.write(2, block)
            return block.count
        }
        var prefixWriter = ByteWriter(capacity: 16)
        BlockPrefix(cid).encode(to: &prefixWriter)
        let prefix = prefixWriter.finish()
        writer.begin(3, count: ProtobufWriter.size(1, count: prefix.count) + ProtobufWriter.size(2, count: block.count))
        writer.write(1, prefix)
        writer.write(2, block)
        return block.count
    }
}
