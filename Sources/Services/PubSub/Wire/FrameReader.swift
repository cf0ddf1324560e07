import WaggleBase

/// Cuts what arrives on a stream into RPCs: each lies behind its length, an unsigned varint. Whole RPCs are windows onto what arrived; only one
/// that is spread over pieces is put together.
struct FrameReader {
    private var piece = Bytes()
    /// The start of a length that is not complete.
    private var prefix: [UInt8] = []
    /// An RPC that is not complete, and its length.
    private var partial: Partial?
    private let limit: Int

    private final class Partial {
        var storage: ByteStorage
        var filled = 0
        let length: Int

        init(_ length: Int) {
            self.length = length
            storage = ByteStorage(capacity: min(length, FrameReader.firstRoom))
        }

        /// Takes what belongs to it from `source`; memory grows with what has come, not with what was promised.
        func take(_ source: Bytes) -> Int {
            let count = min(source.count, length - filled)
            if filled + count > storage.capacity {
                let larger = ByteStorage(capacity: min(length, max(storage.capacity * 2, filled + count)))
                larger.base.copyMemory(from: storage.base, byteCount: filled)
                storage = larger
            }
            source.withUnsafeBytes { source in
                guard let start = source.baseAddress else { return }
                (storage.base + filled).copyMemory(from: start, byteCount: count)
            }
            filled += count
            return count
        }
    }

    private static let firstRoom = 16 << 10

    init(limit: ByteCount) { self.limit = limit.bytes }

    /// Adds what arrived; take all with `next` before the next piece.
    mutating func feed(_ bytes: Bytes) { piece = bytes }

    /// The next whole RPC; nil when more has to arrive. Throws when a length is above the limit or no varint.
    mutating func next() throws(FrameError) -> Bytes? {
        while true {
            if let open = partial {
                piece = piece.dropFirst(open.take(piece))
                guard open.filled == open.length else { return nil }
                partial = nil
                return Bytes(storage: open.storage, range: 0..<open.length)
            }
            guard !piece.isEmpty else { return nil }
            let length: Int
            if prefix.isEmpty {
                switch Varint.decode(piece.span) {
                case .value(let value, let size):
                    length = try checked(value)
                    piece = piece.dropFirst(size)
                case .malformed: throw .malformed
                case .incomplete:
                    prefix = piece.array
                    piece = Bytes()
                    return nil
                }
            } else {
                let byte = piece[0]
                piece = piece.dropFirst(1)
                prefix.append(byte)
                switch Varint.decode(prefix.span.bytes) {
                case .value(let value, _):
                    length = try checked(value)
                    prefix = []
                case .malformed: throw .malformed
                case .incomplete: continue
                }
            }
            if piece.count >= length {
                let whole = piece.prefix(length)
                piece = piece.dropFirst(length)
                return whole
            }
            partial = Partial(length)
        }
    }

    private func checked(_ value: UInt64) throws(FrameError) -> Int {
        guard value <= UInt64(limit) else { throw .tooLong }
        return Int(value)
    }
}

/// Why a stream holds no RPCs.
enum FrameError: Error {
    case malformed
    case tooLong
}
