import WaggleAssembly
import WaggleBase
import WaggleFormats
import WaggleNetwork
import WaggleRuntime

/// Sends back what it gets.
final class Echo: Service {
    let protocols: [ProtocolID] = ["/echo/1.0.0"]

    func serve(_ stream: Stream, from peer: PeerID) async throws {
        while let bytes = try await stream.read() { try await stream.write(bytes) }
    }
}

@main
struct Main {
    static func main() async throws {
        let system = LinuxSystem()
        var settings = NodeConfiguration.preset(.client)
        settings.policy = .require
        let client = try await Node(settings, on: system)
        settings.listen = [try Multiaddr(parsing: "/ip4/127.0.0.1/tcp/0")]
        let server = try await Node(settings, on: system)
        server.add(Echo())
        try await server.run { server in
            try await client.run { client in
                try await client.connect(server.listenAddresses[0])
                try await client.withStream(to: server.peer, "/echo/1.0.0") { stream in
                    try await stream.write("hello")
                    stream.finish()
                    print(try await stream.readAll(limit: .kibibytes(64)).utf8 ?? "")
                }
            }
        }
    }
}
