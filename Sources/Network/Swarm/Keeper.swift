import Synchronization
import WaggleBase

/// Looks after the open connections from time to time: closes idle and surplus ones, and trims when there are too many.
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

    /// Returns when the connections have ended; those that take too long are left to themselves.
    func drain(_ connections: [Connection]) async {
        guard !connections.isEmpty else { return }
        let scope = TaskScope()
        for connection in connections { scope.spawn(on: connection.loop) { await connection.drained() } }
        let end = loop
        let timeout = closeTimeout
        let guardScope = TaskScope()
        guardScope.spawn(on: end) {
            do { try await end.sleep(until: end.now + timeout) } catch {}
            scope.cancelAll()
        }
        await scope.drain()
        await guardScope.close()
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
