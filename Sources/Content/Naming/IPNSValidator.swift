import WaggleBase
import WaggleNetwork

/// Says which records below `/ipns` are true, and which of several is the newest.
public struct IPNSValidator: RecordValidator {
    public init() {}

    public var namespace: String { "ipns" }

    public func validate(_ value: Bytes, for key: Bytes, at now: WallTime) throws {
        guard let name = IPNSName(routingKey: key) else { throw IPNSError.invalidName }
        try IPNSRecord(decoding: value).verify(name, at: now)
    }

    /// The one with the highest sequence, of those the one that is valid longest. What is no record loses against any that is.
    public func best(of values: [Bytes], for key: Bytes) -> Int {
        var best: (index: Int, record: IPNSRecord)?
        for (index, value) in values.enumerated() {
            let record: IPNSRecord
            do { record = try IPNSRecord(decoding: value) } catch { continue }
            if best.map({ record.isBetter(than: $0.record) }) ?? true { best = (index, record) }
        }
        return best?.index ?? 0
    }
}
