import CZlib
import WaggleBase

/// Compresses a stream as gzip (RFC 1952), with zlib.
final class Gzip {
    /// Bytes of output that are made at a time.
    private static let pieceSize = 256 << 10
    private let stream: UnsafeMutablePointer<z_stream>
    private var isOpen: Bool

    /// `level` from 1 (fast) to 9 (small); nil for zlib's default. Must be ended with `close`.
    init(level: Int?) throws(CommandError) {
        stream = .allocate(capacity: 1)
        stream.initialize(to: z_stream())
        isOpen = waggle_gzip_begin(stream, Int32(level ?? -1)) == Z_OK
        guard isOpen else {
            stream.deallocate()
            throw CommandError("the compression cannot be started: out of memory")
        }
    }

    /// Compresses `bytes` and hands on what comes out; with `isLast` everything that is left.
    func write(_ bytes: Bytes, isLast: Bool = false, to sink: (Bytes) async throws -> Void) async throws {
        var rest = bytes
        var isDone = false
        while !isDone {
            var taken = 0
            let output = Bytes(count: Self.pieceSize) { buffer in
                rest.withUnsafeBytes { input in
                    stream.pointee.next_in = UnsafeMutablePointer(mutating: input.bindMemory(to: UInt8.self).baseAddress)
                    stream.pointee.avail_in = UInt32(input.count)
                    stream.pointee.next_out = buffer.bindMemory(to: UInt8.self).baseAddress
                    stream.pointee.avail_out = UInt32(buffer.count)
                    let code = deflate(stream, isLast ? Z_FINISH : Z_NO_FLUSH)
                    taken = input.count - Int(stream.pointee.avail_in)
                    isDone = isLast ? code == Z_STREAM_END : stream.pointee.avail_in == 0
                    return buffer.count - Int(stream.pointee.avail_out)
                }
            }
            rest = rest.dropFirst(taken)
            if !output.isEmpty { try await sink(output) }
        }
    }

    func close() {
        guard isOpen else { return }
        isOpen = false
        deflateEnd(stream)
        stream.deallocate()
    }
}
