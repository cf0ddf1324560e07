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

/// Keeps connections to chosen peers.
package final class Peering: Sendable {
    /// Peers, at most; each costs a connection.
    package static let limit = 1024
    /// Between two looks at who is missing.
    private static let interval = Duration.seconds(15)

    private let swarm: Swarm?
    private let home: any EventLoop
    private let wanted = Mutex<[PeerID: [Multiaddr]]>([:])
    private let changed: Waiter

    package init(_ swarm: Swarm?, on home: any EventLoop) {
        self.swarm = swarm
        self.home = home
        changed = Waiter(on: home)
    }

    package var peers: [PeerID: [Multiaddr]] { wanted.withLock { $0 } }

    package func add(_ peer: PeerID, _ addresses: [Multiaddr]) throws(CommandError) {
        let (isFull, isNew) = wanted.withLock { wanted in
            if wanted[peer] == nil, wanted.count >= Self.limit { return (true, false) }
            let isNew = wanted[peer] == nil
            let known = wanted[peer] ?? []
            wanted[peer] = known + addresses.filter { !known.contains($0) }
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
    func run() async {
        guard let swarm else { return }
        do {
            while true {
                for (peer, addresses) in peers.sorted(by: { $0.key < $1.key }) where !swarm.isConnected(peer) {
                    // A peer that is away is tried again in the next round.
                    do { _ = try await swarm.connect(to: peer, addresses: addresses) } catch .cancelled { return } catch {}
                }
                let timer = home.schedule(at: home.now + Self.interval) { [changed] in changed.wake() }
                defer { home.cancel(timer) }
                try await changed.wait()
            }
        } catch {}
    }
}
