import WaggleBase
import WaggleFormats

/// The wire format by itself, for benchmarks and fuzz targets.
package enum GossipCodec {
    /// An RPC with one message, without its length.
    package static func encode(from author: Bytes, data: Bytes, sequence: Bytes, topic: Bytes) -> Bytes {
        GossipMessage.make(from: author, data: data, sequence: sequence, topic: topic, key: nil, sign: nil)?.field ?? Bytes()
    }

    /// Reads all messages of an RPC; says how many there are and how much data they hold. Throws for what is no RPC.
    package static func decode(_ rpc: Bytes) throws(ProtobufError) -> (messages: Int, bytes: Int) {
        var reader = ProtobufReader(rpc.span)
        var (messages, bytes) = (0, 0)
        while let field = try reader.next() {
            guard field.number == 2 else { continue }
            let message = try GossipMessage(rpc, try field.range())
            messages += 1
            bytes += Int(max(message.dataPart.count, 0))
        }
        return (messages, bytes)
    }

    /// Cuts bytes into RPCs as a stream's reader does, in pieces of `piece` bytes; says how many there are, nil when they are none.
    package static func cut(_ bytes: Bytes, piece: Int) -> Int? {
        var frames = FrameReader(limit: PubSubLimits.rpc)
        var rest = bytes
        var count = 0
        while !rest.isEmpty {
            frames.feed(rest.prefix(max(1, piece)))
            rest = rest.dropFirst(max(1, piece))
            do throws(FrameError) {
                while try frames.next() != nil { count += 1 }
            } catch { return nil }
        }
        return count
    }
}
