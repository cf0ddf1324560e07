import WaggleBase
import WaggleFormats
import WaggleNetwork

/// Keeps a node in touch: connects to the configured peers at the start, and again whenever too few peers are left.
public final class Bootstrap: Service {
    /// Connected peers below which the configured ones are dialed again.
    public static let enough = 4
    /// Between two looks.
    public static let interval = Duration.seconds(30)

    private let addresses: [Multiaddr]

    /// - Parameter addresses: each with `/p2p/…` at its end; others are left out.
    public init(_ addresses: [Multiaddr]) { self.addresses = addresses.filter { $0.peer != nil } }

    public var protocols: [ProtocolID] { [] }

    public func serve(_ stream: Stream, from peer: PeerID) async throws {}

    public func run(on swarm: Swarm) async throws {
        guard !addresses.isEmpty else { return }
        for address in addresses {
            if let peer = address.peer { swarm.addressBook.add([address], of: peer, source: .configured) }
        }
        let log = Log("bootstrap", to: swarm.system.log)
        let home = swarm.system.home
        while !Task.isCancelled {
            if swarm.peers.count < Bootstrap.enough { await connectAll(swarm, log) }
            try await home.sleep(until: home.now + Bootstrap.interval)
        }
    }

    private func connectAll(_ swarm: Swarm, _ log: Log) async {
        await withDiscardingTaskGroup { group in
            for peer in Set(addresses.compactMap(\.peer)).sorted() where !swarm.isConnected(peer) {
                group.addTask {
                    do { _ = try await swarm.connect(to: peer) } catch {
                        log(.info, "peer not reached", [LogField("peer", peer.short), LogField("error", "\(error)")])
                    }
                }
            }
        }
    }
}
