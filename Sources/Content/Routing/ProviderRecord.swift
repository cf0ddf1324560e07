import WaggleBase
import WaggleFormats

/// Bounds and weights of what is learned about providers.
public enum ProviderLimits {
    /// Peers remembered (about 150 bytes each); the one that served us longest ago goes first.
    public static let peers = 4096
    /// After so long an answer counts half.
    static let halfLife = Duration.seconds(24 * 3600)
    /// How much a new measurement changes delay and throughput.
    static let weight = 0.25
    /// What an unknown peer is taken for: seconds until its answer, bytes a second.
    static let usualLatency = 0.3
    static let usualRate = 2_000_000.0
    /// Content whose size is not known, in bytes: one usual block.
    public static let typicalContent = 256 << 10
    /// Content of less, in bytes, says nothing of the throughput.
    static let measuredContent = 32 << 10
    /// Changes are collected for so long before they are written.
    static let writeDelay = Duration.seconds(30)
}

/// What is known of one provider. Counts fade: after `ProviderLimits.halfLife` they are half.
///
/// Stored as protobuf: 1 successes, 2 failures, 3 latency (seconds), 4 rate (bytes a second), 5 bytes, all `double` but the `uint64` bytes;
/// 6 last use (`fixed64`, nanoseconds since 1970).
public struct ProviderRecord: Hashable, Sendable {
    public private(set) var successes = 0.0
    public private(set) var failures = 0.0
    /// From asking to the answer, smoothed, in seconds; nil before the first.
    public private(set) var latency: Double?
    /// Bytes a second while something came, smoothed; nil before the first.
    public private(set) var rate: Double?
    /// Bytes of content that came in all.
    public private(set) var bytes: UInt64 = 0
    public private(set) var lastUse: WallTime

    init(at now: WallTime) { lastUse = now }

    /// The share of answers among all that was asked, cautious with few: 0 … 1.
    public var reliability: Double { (successes + 1) / (successes + failures + 2) }

    /// Seconds until so many bytes are here, as far as one can tell; failures make it longer.
    public func expectedTime(bytes: Int = ProviderLimits.typicalContent) -> Double {
        let time = (latency ?? ProviderLimits.usualLatency) + Double(max(0, bytes)) / max(1, rate ?? ProviderLimits.usualRate)
        // An unknown peer has a reliability of one half and its usual time.
        let trust = 2 * reliability
        return time / (trust * trust)
    }

    mutating func update(success: Bool, latency sample: Duration?, bytes count: Int, over time: Duration?, at now: WallTime) {
        self = aged(to: now)
        if success { successes += 1 } else { failures += 1 }
        guard success else { return }
        if let sample, sample >= .zero { latency = ProviderRecord.blend(latency, Double(sample.wholeNanoseconds) / 1e9) }
        guard count > 0 else { return }
        bytes &+= UInt64(count)
        // Of little content one learns the delay only.
        if let time, time > .zero, count >= ProviderLimits.measuredContent { rate = ProviderRecord.blend(rate, Double(count) * 1e9 / Double(time.wholeNanoseconds)) }
    }

    private static func blend(_ old: Double?, _ sample: Double) -> Double {
        old.map { $0 * (1 - ProviderLimits.weight) + sample * ProviderLimits.weight } ?? sample
    }

    /// The same later: counts have faded. A clock that was set back changes nothing.
    func aged(to now: WallTime) -> ProviderRecord {
        let age = Double(now.nanoseconds) - Double(lastUse.nanoseconds)
        guard age > 0 else { return self }
        var record = self
        let factor = ProviderRecord.half(age / Double(ProviderLimits.halfLife.wholeNanoseconds))
        record.successes *= factor
        record.failures *= factor
        record.lastUse = now
        return record
    }

    /// 2 to the power of -`count`: exact for whole numbers, within a percent between them.
    private static func half(_ count: Double) -> Double {
        guard count < 60 else { return 0 }
        let whole = Int(count)
        let fraction = count - Double(whole)
        return (1 - fraction * (0.6565 - 0.1565 * fraction)) / Double(UInt64(1) << UInt64(whole))
    }

    func encode() -> Bytes {
        var writer = ProtobufWriter(capacity: 64)
        writer.write(1, double: successes)
        writer.write(2, double: failures)
        if let latency { writer.write(3, double: latency) }
        if let rate { writer.write(4, double: rate) }
        writer.write(5, varint: bytes)
        writer.write(6, fixed64: UInt64(bitPattern: lastUse.nanoseconds))
        return writer.finish()
    }

    init(decoding encoded: Bytes) throws(ProtobufError) {
        self.init(at: WallTime(nanoseconds: 0))
        var reader = ProtobufReader(encoded.span)
        while let field = try reader.next() {
            switch field.number {
            case 1: successes = try ProviderRecord.number(field.double())
            case 2: failures = try ProviderRecord.number(field.double())
            case 3: latency = try ProviderRecord.number(field.double())
            case 4: rate = try ProviderRecord.number(field.double())
            case 5: bytes = try field.uint64()
            case 6: lastUse = WallTime(nanoseconds: Int64(bitPattern: try field.fixed64()))
            default: break
            }
        }
    }

    private static func number(_ value: Double) throws(ProtobufError) -> Double {
        guard value.isFinite, value >= 0 else { throw .value(field: 1) }
        return value
    }
}
