import WaggleBase
import WaggleNetwork

/// What happens in a search, for those who want to watch it.
public enum KademliaEvent: Sendable {
    /// A peer is asked; it may have to be dialed first.
    case asking(PeerID)
    /// It answered and told of these.
    case answered(PeerID, closer: [KademliaContact])
    case failed(PeerID, reason: String)
    /// It has this record.
    case value(PeerID, Bytes)
    /// It knows a provider.
    case provider(PeerID, KademliaContact)
    /// The search ended with these peers, the closest first.
    case closest([KademliaContact])
}

/// Watches the searches of a task and of those that it starts:
/// ```swift
/// try await KademliaTrace.watch({ print($0) }) { try await routing.findPeer(peer) }
/// ```
public enum KademliaTrace {
    /// An object, because the optimised build of another module loses the type of a function as the value of a task.
    private final class Watcher: Sendable {
        let tell: @Sendable (KademliaEvent) -> Void

        init(_ tell: @escaping @Sendable (KademliaEvent) -> Void) { self.tell = tell }
    }

    @TaskLocal private static var watcher: Watcher?

    static var observer: (@Sendable (KademliaEvent) -> Void)? { watcher?.tell }

    /// Runs `body`; `observer` hears of every event of its searches, on the home loop, and must not block.
    public static func watch<R>(_ observer: @escaping @Sendable (KademliaEvent) -> Void, _ body: () async throws -> R) async rethrows -> R {
        try await $watcher.withValue(Watcher(observer)) { try await body() }
    }
}
