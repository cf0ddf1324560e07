import WaggleAssembly
import WaggleBase
import WaggleContent
import WaggleFormats
import WaggleNetwork
import WaggleServices

/// The part of a daemon that listens on `Addresses.Gateway`.
enum DaemonGateway {
    /// What is served there: delegated routing, unless `Gateway.ExposeRoutingAPI` is false.
    static func front(_ configuration: Configuration, _ node: ContentNode) -> GatewayFront {
        var handlers: [any GatewayHandler] = []
        if configuration["Gateway.ExposeRoutingAPI"]?.bool ?? true, let online = node.online {
            let routing = online.routing
            let swarm = online.swarm
            var backend = DelegatedServer.Backend(content: routing.router, peers: routing.router, names: node.names) {
                ContentProvider(peer: swarm.localPeer, addresses: swarm.announcedAddresses)
            }
            if let tables = routing.tables {
                backend.closest = { key in try await tables.active.closestPeers(to: key).map { ContentProvider(peer: $0.peer, addresses: $0.addresses) } }
            }
            handlers.append(DelegatedServer(backend, on: node.system))
        }
        return GatewayFront(handlers, headers: configuration.gatewayHeaders)
    }

    /// Listens; the caller closes what it gets.
    static func listen(_ configuration: Configuration, _ node: ContentNode, on system: any System) async throws -> [HTTPServer] {
        let front = front(configuration, node)
        var servers: [HTTPServer] = []
        do {
            for text in configuration.gatewayAddresses {
                guard let address = Multiaddr(text)?.socketAddress(over: .tcp) else {
                    throw CommandError("Addresses.Gateway: \(text) is not an address such as /ip4/127.0.0.1/tcp/8101")
                }
                servers.append(try serve(front, on: address, system))
            }
        } catch {
            for server in servers { await server.close() }
            throw error
        }
        return servers
    }

    private static func serve(_ front: GatewayFront, on address: SocketAddress, _ system: any System) throws(CommandError) -> HTTPServer {
        do { return try HTTPServer(on: address, idle: HTTPLimits.gatewayIdle, system: system) { await front.serve($0) } } catch {
            switch error {
            case .addressInUse(let address):
                throw CommandError("serveHTTPGateway: \(HostText.of(address)): address already in use; stop the other program or change Addresses.Gateway with 'config'")
            case .permissionDenied(let address):
                throw CommandError("serveHTTPGateway: \(HostText.of(address)): permission denied; ports below 1024 need privileges")
            case .failed(let address, let errno):
                throw CommandError("serveHTTPGateway: cannot listen on \(HostText.of(address)) (errno \(errno))")
            }
        }
    }
}
