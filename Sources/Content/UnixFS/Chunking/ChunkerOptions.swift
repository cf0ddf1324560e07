/// How a file is cut into chunks, as `--chunker` names it.
public enum ChunkerOptions: Hashable, Sendable {
    /// Chunks of this many bytes.
    case size(Int)
    /// Cuts where a Rabin fingerprint of 16 bytes has as many trailing zero bits as log2(average).
    case rabin(minimum: Int, average: Int, maximum: Int)
    /// Cuts where a buzhash of 32 bytes has 17 trailing zero bits, between 128 and 512 KiB.
    case buzhash

    /// Kubo's default.
    public static let standard = ChunkerOptions.size(UnixFSLimits.defaultChunkBytes)

    /// Reads `size-N`, `rabin`, `rabin-AVG`, `rabin-MIN-AVG-MAX` (each number may carry the label `min:`, `avg:`, `max:`), `buzhash`,
    /// `default` or nothing. Numbers are bytes.
    public init(parsing text: String) throws(ImportOptionError) {
        if text.isEmpty || text == "default" {
            self = .standard
            return
        }
        let parts = text.split(separator: "-", omittingEmptySubsequences: false)
        switch parts[0] {
        case "size":
            guard parts.count == 2 else { throw .chunker("incorrect chunker string format (expected size-{size})") }
            let size = try ChunkerOptions.number(parts[1])
            guard size > 0 else { throw .chunker("chunker size must be greater than 0") }
            try ChunkerOptions.checkMaximum(size)
            self = .size(size)
        case "buzhash": self = .buzhash
        case "rabin": self = try ChunkerOptions.rabin(parts)
        default: throw .chunker("unrecognized chunker option: \(text)")
        }
    }

    private static func rabin(_ parts: [Substring]) throws(ImportOptionError) -> ChunkerOptions {
        let numbers: (minimum: Int, average: Int, maximum: Int)
        switch parts.count {
        case 1, 2:
            let average = parts.count == 1 ? UnixFSLimits.defaultChunkBytes : try number(parts[1])
            guard average <= UnixFSLimits.chunkBytes else { throw .chunker(tooLarge) }
            numbers = (average / 3, average, average + average / 2)
        case 4:
            numbers = (
                try number(parts[1], label: "min", "first label must be min"),
                try number(parts[2], label: "avg", "second label must be avg"),
                try number(parts[3], label: "max", "final label must be max")
            )
            guard numbers.minimum < numbers.average else {
                throw .chunker("incorrect format: rabin-min must be smaller than rabin-avg")
            }
            guard numbers.average < numbers.maximum else {
                throw .chunker("incorrect format: rabin-avg must be smaller than rabin-max")
            }
        default: throw .chunker("incorrect format (expected 'rabin' 'rabin-[avg]' or 'rabin-[min]-[avg]-[max]'")
        }
        guard numbers.minimum >= UnixFSLimits.rabinMinimumBytes else { throw .chunker("rabin min must be greater than 16") }
        try checkMaximum(numbers.maximum)
        return .rabin(minimum: numbers.minimum, average: numbers.average, maximum: numbers.maximum)
    }

    private static let tooLarge = "chunker parameters may not exceed the maximum chunk size of \(UnixFSLimits.chunkBytes)"

    private static func checkMaximum(_ size: Int) throws(ImportOptionError) {
        guard size <= UnixFSLimits.chunkBytes else { throw .chunker(tooLarge) }
    }

    private static func number(_ text: Substring) throws(ImportOptionError) -> Int {
        guard let value = Int(text) else { throw .chunker("parsing \"\(text)\": invalid syntax") }
        return value
    }

    private static func number(_ text: Substring, label: String, _ complaint: String) throws(ImportOptionError) -> Int {
        let parts = text.split(separator: ":", omittingEmptySubsequences: false)
        guard parts.count == 1 || parts[0] == label else { throw .chunker(complaint) }
        return try number(parts[parts.count - 1])
    }

    /// Whether the cuts depend on the content.
    var readsContent: Bool { if case .size = self { false } else { true } }

    /// Largest chunk in bytes.
    var maximum: Int {
        switch self {
        case .size(let size): size
        case .rabin(_, _, let maximum): maximum
        case .buzhash: Buzhash.maximum
        }
    }
}

extension ChunkerOptions: CustomStringConvertible {
    /// The text that `init(parsing:)` reads.
    public var description: String {
        switch self {
        case .size(let size): "size-\(size)"
        case .rabin(let minimum, let average, let maximum): "rabin-\(minimum)-\(average)-\(maximum)"
        case .buzhash: "buzhash"
        }
    }
}
