import Synchronization
import Testing
import WaggleAssembly
import WaggleBase
import WaggleFormats
import WaggleNetwork
import WaggleServices
import WaggleSimulation

extension World {
    /// A node on the host `name`, listening on its IPv4 address, on the classical channel for the sake of speed.
    func node(_ name: String, _ change: (inout NodeConfiguration) -> Void = { _ in }) async throws -> Node {
        let host = host(name)
        var configuration = NodeConfiguration.preset(.lan)
        configuration.policy = .classical
        configuration.listen = [Multiaddr(host.address(port: 4001), over: .tcp)]
        change(&configuration)
        return try await Node(configuration, on: host.system)
    }
}

extension Node {
    var dialable: Multiaddr { listenAddresses[0].with(peer: peer) }

    /// Waits until `condition` holds.
    func until(_ limit: Duration = .seconds(60), _ condition: @Sendable () -> Bool) async throws {
        let home = system.home
        let end = home.now + limit
        while !condition() {
            guard home.now < end else { throw TestError.tooLate }
            try await home.sleep(until: home.now + .milliseconds(10))
        }
    }
}

enum TestError: Error { case tooLate, unexpected }

/// The error that `body` throws.
func failure(of body: () async throws -> some Any) async -> (any Error)? {
    do {
        _ = try await body()
        return nil
    } catch { return error }
}

final class Echo: Service {
    var protocols: [ProtocolID] { ["/echo/1.0.0"] }
    func serve(_ stream: WaggleNetwork.Stream, from peer: PeerID) async throws {
        while let bytes = try await stream.read() { try await stream.write(bytes) }
    }
}

/// What was identified, in order.
final class Identified: Sendable {
    private let found = Mutex<[PeerInformation]>([])

    init(_ node: Node) {
        _ = node.swarm.observe(on: node.system.home) { event in
            if case .identified(_, let information) = event { self.found.withLock { $0.append(information) } }
        }
    }

    var all: [PeerInformation] { found.withLock { $0 } }
}
