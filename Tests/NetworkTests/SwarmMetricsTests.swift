import Testing
import WaggleBase
import WaggleFormats
@testable import WaggleNetwork
import WaggleSimulation

@Suite struct SwarmMetricsTests {
    @Test func connectionsDialsAndBytesAreCounted() throws {
        let world = World(seed: 11)
        try world.run {
            let server = try await world.listening("server")
            server.register(Echo())
            let client = try world.swarm("client")
            #expect(try await client.echo("hello", to: try await client.connect(server.dialable).peer) == "hello")
            let kind: KeyValuePairs = ["dir": "outbound", "transport": "tcp", "security": "/noise", "muxer": "/yamux/1.0.0"]
            var report = await client.metrics.collect()
            #expect(report.value("libp2p_swarm_connections_opened_total", kind) == 1)
            #expect(report.value("libp2p_swarm_connections_closed_total", kind) == nil)
            #expect(report.value("libp2p_swarm_dial_latency_seconds", ["outcome": "success"]) == 1)
            #expect(report.value("libp2p_rcmgr_connections", ["dir": "outbound", "scope": "system"]) == 1)
            #expect(report.value("p2p_peers", ["state": "connected"]) == 1)
            let live = report.value("p2p_bytes_total", ["dir": "out"]) ?? 0
            #expect(live > 100)
            await client.disconnect(server.localPeer)
            report = await client.metrics.collect()
            #expect(report.value("libp2p_swarm_connections_closed_total", kind) == 1)
            #expect(report.value("libp2p_swarm_connection_duration_seconds") == 1)
            #expect((report.value("p2p_bytes_total", ["dir": "out"]) ?? 0) >= live)
            let seen = await server.metrics.collect()
            #expect(seen.value("libp2p_swarm_handshake_latency_seconds") == 1)
            await client.close()
            await server.close()
        }
    }

    @Test func refusalsAndErrorsAreCountedByReason() throws {
        let world = World(seed: 12)
        try world.run {
            let server = try await world.listening("server")
            let client = try world.swarm("client")
            server.gate.deny(IPRange(try #require(client.system.network.interfaceAddresses().first { !$0.isLoopback }), prefixLength: 32))
            #expect(await failure { try await client.connect(server.dialable) } != nil)
            let refused = await server.metrics.collect()
            #expect(refused.value("p2p_rejects_total", ["reason": "addressDenied"]) == 1)
            #expect(refused.value("libp2p_rcmgr_blocked_resources_total", ["resource": "addressDenied"]) == 1)
            let failed = await client.metrics.collect()
            #expect(failed.value("libp2p_swarm_dial_latency_seconds", ["outcome": "failed"]) == 1)
            #expect(failed.text.contains("libp2p_swarm_dial_errors_total{error="))
            await client.close()
            await server.close()
        }
    }
}
