import Testing
import WaggleAssembly
import WaggleBase
import WaggleFormats
import WaggleNetwork
import WaggleServices
import WaggleSimulation
import WaggleTestSupport

extension World {
    /// A node on the host `name` that secures nothing.
    func plainNode(_ name: String, addresses: [IPAddress]? = nil, _ change: (inout NodeConfiguration) -> Void = { _ in }) async throws -> Node {
        let host = host(name, addresses: addresses)
        var configuration = NodeConfiguration.preset(.lan)
        configuration.channels = { [PlainChannel($0)] }
        configuration.listen = [Multiaddr(host.address(port: 4001), over: .tcp)]
        change(&configuration)
        return try await Node(configuration, on: host.system)
    }
}

@Suite struct PlainChannelTests {
    @Test func twoNodesPing() throws {
        let world = World(seed: 1)
        try world.run {
            let (a, b) = (try await world.plainNode("a"), try await world.plainNode("b"))
            try await a.start()
            try await b.start()
            let connection = try await a.connect(b.listenAddresses[0].with(peer: b.peer))
            #expect(connection.security.channel == "/plaintext/simulation")
            #expect(try await #require(a.ping).ping(b.peer) > .zero)
            await a.close()
            await b.close()
        }
    }

    @Test func anotherPeerIsRefused() throws {
        let world = World(seed: 2)
        try world.run {
            let (a, b) = (try await world.plainNode("a"), try await world.plainNode("b"))
            try await b.start()
            await #expect(throws: SwarmError.self) { try await a.connect(b.listenAddresses[0].with(peer: a.peer)) }
            await #expect(throws: SwarmError.self) {
                let stranger = try await world.plainNode("c")
                return try await a.connect(b.listenAddresses[0].with(peer: stranger.peer))
            }
            await b.close()
        }
    }
}
