import Synchronization
import WaggleBase
import WaggleFormats

/// Blocks that wait for their first announcement, oldest first, in the table `provides`; and how far the sweep is.
///
/// Rows: `01` and a number of eight bytes, big-endian → multihash; `00` → when the cycle began, in nanoseconds since 1970, and the position
/// in the key space, eight bytes big-endian each. A crash loses at most the rows of the last commit, whose blocks the sweep finds.
final class ProvideQueue: Sendable {
    static let table = Table("provides")

    private struct State {
        var next: UInt64 = 0
        var count = 0
        var recent = RecentKeys(capacity: ProvideLimits.recent)
    }

    private let store: any KeyValueStore
    private let limit: Int
    private let state: Mutex<State>

    init(_ store: any KeyValueStore, limit: Int = ProvideLimits.queue) throws {
        self.store = store
        self.limit = limit
        var initial = State()
        try store.read { reader in
            try [UInt8(1)].withUnsafeBytes { start in
                try reader.scan(ProvideQueue.table, from: start) { key, _ in
                    if let number = ProvideQueue.number(key) { initial.next = number + 1 }
                    initial.count += 1
                    return true
                }
            }
        }
        state = Mutex(initial)
    }

    /// Blocks that wait.
    var count: Int { state.withLock { $0.count } }

    private static func key(_ number: UInt64) -> [UInt8] { [1] + withUnsafeBytes(of: number.bigEndian) { Array($0) } }

    private static func number(_ key: UnsafeRawBufferPointer) -> UInt64? {
        guard key.count == 9, key[0] == 1 else { return nil }
        let number = UInt64(bigEndian: key.loadUnaligned(fromByteOffset: 1, as: UInt64.self))
        return number < .max ? number : nil
    }

    /// Adds blocks at the end, without those that were added lately unless `again`; gives how many were taken and how many had no room.
    @discardableResult
    func append(_ hashes: [Multihash], again: Bool = false) async throws -> (taken: Int, dropped: Int) {
        let (rows, dropped) = state.withLock { state -> ([(UInt64, Multihash)], Int) in
            var rows: [(UInt64, Multihash)] = []
            var dropped = 0
            for hash in hashes where again || !state.recent.contains(hash) {
                guard state.count < limit else {
                    dropped += 1
                    continue
                }
                state.recent.insert(hash)
                rows.append((state.next, hash))
                state.next += 1
                state.count += 1
            }
            return (rows, dropped)
        }
        guard !rows.isEmpty else { return (0, dropped) }
        do {
            try await store.write(durable: false) { writer in
                for (number, hash) in rows {
                    try ProvideQueue.key(number).withUnsafeBytes { key in
                        try hash.withUnsafeBytes { hash in try writer.put(key, hash, in: ProvideQueue.table) }
                    }
                }
            }
        } catch {
            state.withLock { $0.count -= rows.count }
            throw error
        }
        return (rows.count, dropped)
    }

    /// The oldest blocks, with their numbers.
    func first(_ limit: Int) throws -> [(number: UInt64, hash: Multihash)] {
        var rows: [(number: UInt64, hash: Multihash)] = []
        try store.read { reader in
            try [UInt8(1)].withUnsafeBytes { start in
                try reader.scan(ProvideQueue.table, from: start) { key, value in
                    guard let number = ProvideQueue.number(key) else { return false }
                    if let hash = ProvideQueue.hash(value) { rows.append((number, hash)) }
                    return rows.count < limit
                }
            }
        }
        return rows
    }

    private static func hash(_ value: UnsafeRawBufferPointer) -> Multihash? {
        do { return try Multihash(bytes: Bytes(copying: value)) } catch { return nil }
    }

    func remove(_ numbers: [UInt64]) async throws {
        let removed = try await store.write(durable: false) { writer in
            try numbers.reduce(0) { sum, number in
                try ProvideQueue.key(number).withUnsafeBytes { try writer.remove($0, in: ProvideQueue.table) } ? sum + 1 : sum
            }
        }
        state.withLock { $0.count -= removed }
    }

    /// Forgets all blocks that wait and gives their number.
    func clear() async throws -> Int {
        var removed = 0
        while true {
            let numbers = try first(ProvideLimits.scanStep).map(\.number)
            guard !numbers.isEmpty else { break }
            try await remove(numbers)
            removed += numbers.count
        }
        state.withLock { $0.recent = RecentKeys(capacity: ProvideLimits.recent) }
        return removed
    }

    // MARK: The sweep

    func saveSweep(start: WallTime, position: UInt64) async throws {
        var writer = ByteWriter(capacity: 16)
        writer.write(integer: start.nanoseconds)
        writer.write(integer: position)
        let row = writer.finish()
        try await store.write(durable: false) { try $0.put([0], row, in: ProvideQueue.table) }
    }

    /// When the cycle began and how far it is; nil when there was none.
    func loadSweep() throws -> (start: WallTime, position: UInt64)? {
        guard let row = try store.read({ try $0.value(of: [0], in: ProvideQueue.table) }) else { return nil }
        var reader = ByteReader(row.span)
        guard let start = reader.integer(Int64.self), let position = reader.integer(UInt64.self) else { return nil }
        return (WallTime(nanoseconds: start), position)
    }
}
