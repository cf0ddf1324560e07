import WaggleBase

/// Small signed records that others keep for us: names, public keys.
public protocol ValueRouting: Sendable {
    /// Has others keep `value` under `key` (`/namespace/…`); returns when they have it. Throws when the namespace's validator refuses it, or when
    /// nobody took it.
    func putValue(_ value: Bytes, for key: Bytes) async throws

    /// Looks for the value of `key`. `found` hears of the first valid one, and of every better one after it, and says whether to go on looking;
    /// returns when the search is over. Cancelling the task ends it early.
    func values(for key: Bytes, _ found: @Sendable (Bytes) async -> Bool) async throws
}

/// The rules of one namespace of records: which are valid, and which of two valid ones is the better.
public protocol RecordValidator: Sendable {
    /// The first part of the keys without slashes: `pk`, `ipns`.
    var namespace: String { get }

    /// Throws unless `value` may stand under `key` at the time `now`.
    func validate(_ value: Bytes, for key: Bytes, at now: WallTime) throws

    /// The index of the best of some valid values; there is at least one.
    func best(of values: [Bytes], for key: Bytes) -> Int
}

/// Keys of records: `/namespace/…`.
public enum RecordKey {
    /// The namespace of `key`; nil when it has none.
    public static func namespace(of key: Bytes) -> String? {
        guard key.first == UInt8(ascii: "/") else { return nil }
        let rest = key.dropFirst(1)
        guard let end = rest.firstIndex(of: UInt8(ascii: "/")), end > 0 else { return nil }
        return rest.prefix(end).utf8
    }
}
