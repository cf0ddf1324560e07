/// Finds the ends of chunks in a stream that arrives in pieces of any size.
struct Chunker: Sendable {
    private enum Method: Sendable {
        case size(Int)
        case rabin(Rabin)
        case buzhash(Buzhash)
    }

    private var method: Method
    /// Bytes of the current chunk so far; only for chunks of equal size.
    private var filled = 0

    init(_ options: ChunkerOptions) {
        switch options {
        case .size(let size): method = .size(size)
        case .rabin(let minimum, let average, let maximum):
            method = .rabin(Rabin(minimum: minimum, average: average, maximum: maximum))
        case .buzhash: method = .buzhash(Buzhash())
        }
    }

    /// Scans the next bytes of the stream. Says how many of them belong to the current chunk, and whether it ends with them; when it does
    /// not, all of them do.
    mutating func scan(_ input: UnsafeRawBufferPointer) -> (count: Int, ends: Bool) {
        switch method {
        case .size(let size):
            let count = min(size - filled, input.count)
            filled += count
            guard filled == size else { return (count, false) }
            filled = 0
            return (count, true)
        case .rabin(var rabin):
            let cut = rabin.scan(input)
            method = .rabin(rabin)
            return cut
        case .buzhash(var buzhash):
            let cut = buzhash.scan(input)
            method = .buzhash(buzhash)
            return cut
        }
    }
}
