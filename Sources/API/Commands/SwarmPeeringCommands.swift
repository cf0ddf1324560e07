import Synchronization
import WaggleBase
import WaggleFormats
import WaggleNetwork

/// `swarm peering add`, `ls`, `rm`: peers that the node stays connected to while it runs.
enum SwarmPeeringCommands {
    static let command: Command = Command(
        "peering", "Modify the peering subsystem.",
        description: """
            The node keeps connections to these peers, and never trims them. Changes last until the daemon ends; peers for every start are in Peering.Peers of
            the configuration.
            """,
        example: "> waggle swarm peering add /ip4/10.0.0.7/tcp/4701/p2p/12D3KooW…", subcommands: [add, list, remove])

    private static let add = Command(
        "add", "Add peers into the peering subsystem.", example: "> waggle swarm peering add /ip4/10.0.0.7/tcp/4701/p2p/12D3KooW…",
        arguments: [.string("address", "Address of a peer, ending in /p2p/<peer id>.", variadic: true, input: true)],
        text: { value, _ in "add \(value["ID"]?.string ?? "") \(value["Status"]?.string ?? "")\n" }
    ) { request, session, emitter in
        let peering = try session.peering
        for text in request.arguments {
            let (peer, address) = try PeerAddress.parse(text)
            try peering.add(peer, address.map { [$0] } ?? [])
            try await emitter.emit(["ID": .string(peer.description), "Status": "success"])
        }
    }

    private static let list = Command(
        "ls", "List peers registered in the peering subsystem.", example: "> waggle swarm peering ls",
        text: { value, _ in
            (value["Peers"]?.array ?? []).map { row in
                "\(row["ID"]?.string ?? "")\n" + (row["Addrs"]?.array ?? []).compactMap(\.string).map { "\t\($0)\n" }.joined()
            }.joined()
        }
    ) { _, session, emitter in
        let rows = try session.peering.peers.sorted { $0.key < $1.key }
        try await emitter.emitOnce(["Peers": .array(rows.map { ["ID": .string($0.key.description), "Addrs": .strings($0.value.map(\.description))] })])
    }

    private static let remove = Command(
        "rm", "Remove a peer from the peering subsystem.", description: "The connection stays until something else closes it.",
        example: "> waggle swarm peering rm 12D3KooW…",
        arguments: [.string("ID", "ID of peer to remove from peering subsystem.", variadic: true, input: true)],
        text: { value, _ in "remove \(value["ID"]?.string ?? "") \(value["Status"]?.string ?? "")\n" }
    ) { request, session, emitter in
        for text in request.arguments {
            guard let peer = PeerText.parse(text) else { throw CommandError("invalid peer id: \(text)") }
            try session.peering.remove(peer)
            try await emitter.emit(["ID": .string(peer.description), "Status": "success"])
        }
    }
}

extension Session {
    fileprivate var peering: Peering {
        get throws {
            _ = try online
            guard let daemon else { throw CommandError("this command must be run in online mode. Try running '\(programName) daemon' first") }
            return daemon.peering
        }
    }
}

/// Keeps connections to chosen peers: each is dialed again when it is lost, with pauses that grow while it stays away.
package final class Peering: Sendable {
    /// Peers, at most; each costs a connection.
    package static let limit = 1024
    /// Peers dialed at once.
    private static let dials = 16
    /// After a lost connection, and after the first failure; each further failure makes it half as long again.
    private static let shortestPause = Duration.seconds(5)
    private static let longestPause = Duration.seconds(600)

    private struct Row {
        var addresses: [Multiaddr]
        var failures = 0
        var next: Instant
        var isRunning = false
    }

    private let swarm: Swarm?
    private let home: any EventLoop
    private let wanted = Mutex<[PeerID: Row]>([:])
    private let changed: Waiter

    package init(_ swarm: Swarm?, on home: any EventLoop) {
        self.swarm = swarm
        self.home = home
        changed = Waiter(on: home)
    }

    package var peers: [PeerID: [Multiaddr]] { wanted.withLock { $0.mapValues(\.addresses) } }

    package func add(_ peer: PeerID, _ addresses: [Multiaddr]) throws(CommandError) {
        let now = home.now
        let (isFull, isNew) = wanted.withLock { wanted in
            if wanted[peer] == nil, wanted.count >= Self.limit { return (true, false) }
            let isNew = wanted[peer] == nil
            let known = wanted[peer]?.addresses ?? []
            wanted[peer] = Row(addresses: known + addresses.filter { !known.contains($0) }, next: now)
            return (false, isNew)
        }
        if isNew { swarm?.reputation.trust(peer) }
        if isFull { throw CommandError("there are \(Self.limit) peers already; remove one first") }
        swarm?.protect(peer, tag: "peering")
        home.execute { [changed] in changed.wake() }
    }

    package func remove(_ peer: PeerID) {
        if wanted.withLock({ $0.removeValue(forKey: peer) }) != nil { swarm?.reputation.distrust(peer) }
        swarm?.unprotect(peer, tag: "peering")
    }

    /// Connects to whoever is missing, again and again, until cancelled. On the home loop.
    package func run() async {
        guard let swarm else { return }
        let observation = swarm.observe(on: home) { [weak self] event in
            if case .peerDisconnected(let peer) = event { self?.lost(peer, swarm) }
        }
        let scope = TaskScope()
        do {
            while true {
                for (peer, addresses) in takeDue(swarm) { scope.spawn(on: home) { await self.connect(peer, addresses, swarm) } }
                let next = wanted.withLock { wanted in
                    wanted.filter { !$0.value.isRunning && !swarm.isConnected($0.key) }.map(\.value.next).min()
                }
                let timer = next.map { next in home.schedule(at: max(next, home.now + .milliseconds(100))) { [changed] in changed.wake() } }
                defer { if let timer { home.cancel(timer) } }
                try await changed.wait()
            }
        } catch {}
        observation.cancel()
        await scope.close()
    }

    private func takeDue(_ swarm: Swarm) -> [(PeerID, [Multiaddr])] {
        let now = home.now
        return wanted.withLock { wanted in
            let room = Self.dials - wanted.values.count { $0.isRunning }
            let due = wanted.filter { !$0.value.isRunning && $0.value.next <= now && !swarm.isConnected($0.key) }
                .sorted { ($0.value.next, $0.key) < ($1.value.next, $1.key) }.prefix(max(0, room))
            for (peer, _) in due { wanted[peer]?.isRunning = true }
            return due.map { ($0.key, $0.value.addresses) }
        }
    }

    private func connect(_ peer: PeerID, _ addresses: [Multiaddr], _ swarm: Swarm) async {
        let isConnected: Bool
        do {
            // The pauses are these, not the swarm's.
            _ = try await swarm.connect(to: peer, addresses: addresses, ignoringBackOff: true)
            isConnected = true
        } catch { isConnected = false }
        let random = swarm.system.random(UInt64.self)
        let now = home.now
        wanted.withLock { wanted in
            let failures = isConnected ? 0 : (wanted[peer]?.failures ?? 0) + 1
            wanted[peer]?.failures = failures
            wanted[peer]?.isRunning = false
            wanted[peer]?.next = now + Self.pause(afterFailures: failures, random: random)
        }
        changed.wake()
    }

    private func lost(_ peer: PeerID, _ swarm: Swarm) {
        let next = home.now + Self.pause(afterFailures: 1, random: swarm.system.random(UInt64.self))
        wanted.withLock { $0[peer]?.next = next }
        changed.wake()
    }

    /// Grows by half with each failure, give or take a quarter.
    static func pause(afterFailures failures: Int, random: UInt64) -> Duration {
        var pause = shortestPause.wholeNanoseconds
        for _ in 1..<max(2, min(failures, 40)) where failures > 1 && pause < longestPause.wholeNanoseconds { pause += pause / 2 }
        pause = min(pause, longestPause.wholeNanoseconds)
        return .nanoseconds(pause - pause / 4 + Int64(random % UInt64(pause / 2 + 1)))
    }
}
