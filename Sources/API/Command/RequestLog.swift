import Synchronization
import WaggleBase
import WaggleFormats

/// The requests that a daemon answers or has answered, for `diag cmds`.
package final class RequestLog: Sendable {
    /// How long requests that are over stay, unless `diag cmds set-time` says otherwise.
    static let keeping = Duration.seconds(3600)
    /// Requests that are over; the oldest make room.
    static let longest = 1000
    /// Arguments of a request that are kept, and bytes of each.
    static let arguments = 16
    static let argumentBytes = 256

    struct Entry: Sendable {
        let id: UInt64
        let command: String
        let arguments: [String]
        let options: OrderedMap<JSON>
        let started: WallTime
        var ended: WallTime?
    }

    private struct State {
        var running: [UInt64: Entry] = [:]
        var over = Deque<Entry>()
        var nextID: UInt64 = 0
        var keeping = RequestLog.keeping
    }

    private let state = Mutex(State())

    /// Notes that a request begins; the number is for `end`.
    func begin(_ request: Request, at time: WallTime) -> UInt64 {
        let arguments = request.arguments.prefix(Self.arguments).map { $0.utf8.count > Self.argumentBytes ? String(decoding: $0.utf8.prefix(Self.argumentBytes), as: UTF8.self) + "…" : $0 }
        let options = request.options.sorted { $0.key < $1.key }.map { ($0.key, JSON.string(String($0.value.texts.joined(separator: ",").prefix(Self.argumentBytes)))) }
        return state.withLock { state in
            let id = state.nextID
            state.nextID += 1
            state.running[id] = Entry(
                id: id, command: request.path.joined(separator: "/"), arguments: arguments, options: OrderedMap(options), started: time, ended: nil)
            return id
        }
    }

    func end(_ id: UInt64, at time: WallTime) {
        state.withLock { state in
            guard var entry = state.running.removeValue(forKey: id) else { return }
            entry.ended = time
            state.over.append(entry)
            Self.clean(&state, at: time)
        }
    }

    /// Forgets what is over.
    func clear() { state.withLock { $0.over = Deque() } }

    func keep(for time: Duration, at now: WallTime) {
        state.withLock { state in
            state.keeping = time
            Self.clean(&state, at: now)
        }
    }

    /// All, in the order in which they began.
    func entries(at now: WallTime) -> [Entry] {
        state.withLock { state in
            Self.clean(&state, at: now)
            return ((0..<state.over.count).map { state.over[$0] } + state.running.values).sorted { $0.id < $1.id }
        }
    }

    private static func clean(_ state: inout State, at now: WallTime) {
        while let ended = state.over.first?.ended, state.over.count > longest || now.nanoseconds - ended.nanoseconds > state.keeping.wholeNanoseconds {
            state.over.popFirst()
        }
    }
}
