import Synchronization

/// Writes the rows of a table that is kept in memory some time after they changed, those that changed meanwhile together.
///
/// For what may lose its last moments in a crash. Without a store nothing happens. Safe from any thread.
public final class WriteBehind: Sendable {
    /// A key and its new value; nil removes the row.
    public typealias Row = (key: Bytes, value: Bytes?)

    private let table: Table
    private let store: (any KeyValueStore)?
    private let loop: any EventLoop
    private let delay: Duration
    private let durable: Bool
    private let log: Log
    private let scope = TaskScope()
    private let isScheduled = Mutex(false)

    /// - Parameters:
    ///   - delay: how long a change may wait.
    ///   - durable: whether a write is synced; the last one always is.
    ///   - log: hears of rows that could not be written, which are forgotten at the next start.
    public init(_ table: Table, of store: (any KeyValueStore)?, on loop: any EventLoop, after delay: Duration, durable: Bool = false, log: Log) {
        self.table = table
        self.store = store
        self.loop = loop
        self.delay = delay
        self.durable = durable
        self.log = log
    }

    /// Something changed: `take` is asked for all changes since the last write, when the time has come.
    public func schedule(_ take: @escaping @Sendable () -> [Row]) {
        guard store != nil else { return }
        let starts = isScheduled.withLock { isScheduled in
            defer { isScheduled = true }
            return !isScheduled
        }
        guard starts else { return }
        scope.spawn(on: loop) { [self] in
            do { try await loop.sleep(until: loop.now + delay) } catch {}
            isScheduled.withLock { $0 = false }
            if !Task.isCancelled { await write(take(), durable: durable) }
        }
    }

    /// Writes what has changed, durably. Nothing is written by itself any more afterwards.
    public func close(_ take: @Sendable () -> [Row]) async {
        await scope.close()
        await write(take(), durable: true)
    }

    private func write(_ rows: [Row], durable: Bool) async {
        guard let store, !rows.isEmpty || durable else { return }
        do {
            try await store.write(durable: durable) { [table] writer in
                for (key, value) in rows {
                    if let value { try writer.put(key, value, in: table) } else { try writer.remove(key, in: table) }
                }
            }
        } catch {
            // These tables are memories: the node lives on without their last changes.
            log(.warning, "not written", [LogField("rows", rows.count), LogField("error", "\(error)")])
        }
    }
}
