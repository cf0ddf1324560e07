import Synchronization
import WaggleBase

/// Looks after the open connections from time to time: closes idle, expired and surplus ones, and trims when there are too many.
///
/// Belongs to the home loop, except for `drain`.
final class Keeper: @unchecked Sendable {
    /// Between two looks when nothing asks for a shorter time.
    private static let longestInterval = Duration.seconds(10)

    private let loop: any EventLoop
    private let interval: Duration
    private let closeTimeout: Duration
    private var alarm: Alarm?
    private var isArmed = false
    private var isOver = false

    init(on loop: any EventLoop, _ configuration: SwarmConfiguration) {
        self.loop = loop
        closeTimeout = configuration.closeTimeout
        var interval = min(Keeper.longestInterval, configuration.duplicateGrace)
        if let idle = configuration.idleTimeout { interval = min(interval, idle / 4) }
        self.interval = max(interval, .milliseconds(10))
    }

    /// A connection was opened: look after it.
    func watch(_ swarm: Swarm) {
        guard !isOver else { return }
        trim(swarm)
        if alarm == nil { alarm = Alarm(on: loop) { [self, weak swarm] in if let swarm { look(swarm) } } }
        arm()
    }

    func close() async {
        await loop.run { [self] in
            isOver = true
            alarm?.stop()
            alarm = nil
        }
    }

    /// Returns when the connections have ended, with `handlers` also the handlers of their streams. Those that take too long are left to
    /// themselves. Goes on when the calling task is cancelled: closing is what such a task does.
    func drain(_ connections: [Connection], handlers: Bool) async {
        guard !connections.isEmpty else { return }
        let scope = TaskScope()
        scope.spawn(on: loop) { [self] in await wait(for: connections, handlers: handlers) }
        await scope.drain()
    }

    private func wait(for connections: [Connection], handlers: Bool) async {
        let count = Countdown(connections.count, on: loop)
        let scope = TaskScope()
        for connection in connections {
            scope.spawn(on: connection.loop) { [loop] in
                if handlers { await connection.drained() } else { await connection.closed() }
                loop.execute { count.step() }
            }
        }
        let timer = loop.schedule(at: loop.now + closeTimeout) { count.end() }
        while count.rest > 0 {
            do { try await count.over.wait() } catch { break }
        }
        loop.cancel(timer)
        scope.cancelAll()
    }

    /// Belongs to the home loop.
    private final class Countdown: @unchecked Sendable {
        private(set) var rest: Int
        let over: Waiter

        init(_ count: Int, on loop: any EventLoop) {
            rest = count
            over = Waiter(on: loop)
        }

        func step() {
            rest -= 1
            if rest <= 0 { over.wake() }
        }

        func end() {
            rest = 0
            over.wake()
        }
    }

    private func arm() {
        guard !isArmed else { return }
        isArmed = true
        alarm?.set(loop.now + interval)
    }

    private func look(_ swarm: Swarm) {
        isArmed = false
        guard !isOver else { return }
        let entries = swarm.table.withLock { $0.all }
        guard !entries.isEmpty else { return }
        let settings = swarm.configuration
        let now = loop.now
        for entry in entries {
            if let lifetime = entry.connection.security.lifetime, now - entry.openedAt >= lifetime { entry.connection.close(.expired) }
        }
        for entry in entries where entry.connection.streamCount == 0 && !entry.connection.isClosed {
            if let since = entry.surplusSince, now - max(since, entry.connection.lastActivity) >= settings.duplicateGrace {
                entry.connection.close(.supplanted)
            } else if let idle = settings.idleTimeout, now - entry.connection.lastActivity >= idle, !swarm.isProtected(entry.peer) {
                entry.connection.close(.trimmed)
            }
        }
        trim(swarm)
        arm()
    }

    private func trim(_ swarm: Swarm) {
        let settings = swarm.configuration.trimming
        guard let highWater = settings.highWater else { return }
        let now = loop.now
        let victims: [Connection] = swarm.table.withLock { table in
            guard table.entries.count > highWater else { return [] }
            if let last = table.lastTrim, now - last < settings.interval { return [] }
            table.lastTrim = now
            let candidates = table.all.map { entry in
                TrimPlan.Candidate(
                    id: entry.id, peer: entry.peer, direction: entry.direction, openedAt: entry.openedAt, value: table.value(of: entry.peer),
                    streams: entry.connection.streamCount, isProtected: table.isProtected(entry.peer))
            }
            return TrimPlan.victims(of: candidates, low: settings.lowWater, grace: settings.grace, at: now)
                .compactMap { table.entries[$0]?.connection }
        }
        for connection in victims { connection.close(.trimmed) }
        if !victims.isEmpty { swarm.log(.info, "trimmed", [LogField("connections", victims.count)]) }
    }
}
