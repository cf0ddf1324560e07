import Synchronization
import Testing
import WaggleBase
import WaggleFormats
@testable import WaggleNetwork
import WaggleSimulation
import WaggleStack

@Suite struct NameTests {
    private func resolve(_ world: World, _ text: String) async throws -> [String] {
        let resolver = AddressResolver(system: world.host("asker").system)
        return try await resolver.resolve(#require(Multiaddr(text))).map(\.description)
    }

    private static let peer = "12D3KooWA6EGcHyLd5zLwJkP8X5sVTQpGqDwgBR3yqkgXJQaMcxR"
    private static let other = "QmaCpDMGvV2BGHeYERUEnRQAwe3N8SzbUtfsmvsqQLuvuJ"

    @Test func hostNamesBecomeAddresses() throws {
        let world = World(seed: 1)
        let v6 = IPAddress.v6(high: 0x2001_0db8 << 32, low: 1, zone: 0)
        world.names.setAddresses("host.test", [.v4(0xc000_0201), v6, .v4(0xc000_0202)])
        try world.run {
            let four = try await resolve(world, "/dns4/host.test/tcp/1/p2p/\(Self.other)")
            #expect(four == ["/ip4/192.0.2.1/tcp/1/p2p/\(Self.other)", "/ip4/192.0.2.2/tcp/1/p2p/\(Self.other)"])
            let six = try await resolve(world, "/dns6/HOST.test/udp/1/quic-v1")
            #expect(six == ["/ip6/2001:db8::1/udp/1/quic-v1"])
            let any = try await resolve(world, "/dns/host.test/tcp/1")
            #expect(any.count == 3)
            let relayed = try await resolve(world, "/dns4/host.test/tcp/1/p2p/\(Self.other)/p2p-circuit")
            #expect(relayed.first == "/ip4/192.0.2.1/tcp/1/p2p/\(Self.other)/p2p-circuit")
            let plain = try await resolve(world, "/ip4/192.0.2.1/tcp/1")
            #expect(plain == ["/ip4/192.0.2.1/tcp/1"])
            await #expect(throws: ResolveError.notFound) { _ = try await resolve(world, "/dns4/nobody.test/tcp/1") }
        }
    }

    @Test func dnsaddrIsFollowedAndFiltered() throws {
        let world = World(seed: 1)
        world.names.setTexts("_dnsaddr.boot.test", [
            "dnsaddr=/dnsaddr/a.boot.test/p2p/\(Self.other)", "dnsaddr=/ip4/192.0.2.9/tcp/4001/p2p/\(Self.peer)", "v=spf1 -all",
            "dnsaddr=garbage", "dnsaddr=", "dnsaddr=/ip4/192.0.2.10/tcp/4001",
        ])
        world.names.setTexts("_dnsaddr.a.boot.test", [
            "dnsaddr=/ip4/192.0.2.1/tcp/4001/p2p/\(Self.other)", "dnsaddr=/dns4/host.test/tcp/4002/p2p/\(Self.other)",
            "dnsaddr=/ip4/192.0.2.66/tcp/4001/p2p/\(Self.peer)",
        ])
        world.names.setAddresses("host.test", [.v4(0xc000_0202)])
        try world.run {
            let one = try await resolve(world, "/dnsaddr/boot.test/p2p/\(Self.other)")
            #expect(one == ["/ip4/192.0.2.1/tcp/4001/p2p/\(Self.other)", "/ip4/192.0.2.2/tcp/4002/p2p/\(Self.other)"])
            let all = try await resolve(world, "/dnsaddr/boot.test")
            #expect(all.count == 4)
            await #expect(throws: ResolveError.notFound) { _ = try await resolve(world, "/dnsaddr/boot.test/p2p/12D3KooWGC6TvWhfapngX6wvJHMYvKpDMXPb3ZnCZ6dMoaMtimQ5") }
        }
    }

    @Test func loopsEnd() throws {
        let world = World(seed: 1)
        world.names.setTexts("_dnsaddr.a.test", ["dnsaddr=/dnsaddr/b.test"])
        world.names.setTexts("_dnsaddr.b.test", ["dnsaddr=/dnsaddr/a.test", "dnsaddr=/dnsaddr/b.test"])
        for index in 0..<40 { world.names.setTexts("_dnsaddr.n\(index).test", ["dnsaddr=/dnsaddr/n\(index + 1).test"]) }
        try world.run {
            await #expect(throws: ResolveError.notFound) { _ = try await resolve(world, "/dnsaddr/a.test") }
            #expect(world.names.questions("_dnsaddr.a.test") == 1)
            await #expect(throws: ResolveError.other(detail: "too many steps from name to name")) { _ = try await resolve(world, "/dnsaddr/n0.test") }
            #expect(world.names.questions("_dnsaddr.n\(NameLimits.depth - 1).test") == 1)
            #expect(world.names.questions("_dnsaddr.n\(NameLimits.depth).test") == 0)
        }
    }

    @Test func largeZonesAreBounded() throws {
        let world = World(seed: 1)
        // A tree that doubles its names with each step, and thousands of records.
        world.names.setTexts("_dnsaddr.tree.test", (0..<5000).map { "dnsaddr=/dnsaddr/branch\($0).test" })
        for branch in 0..<100 {
            world.names.setTexts("_dnsaddr.branch\(branch).test", (0..<100).map { "dnsaddr=/ip4/10.0.\(branch).\($0)/tcp/1" })
        }
        world.names.setTexts("_dnsaddr.many.test", (0..<5000).map { "dnsaddr=/ip4/10.1.\($0 / 250).\($0 % 250)/tcp/1" })
        world.names.setTexts("_dnsaddr.far.test", [String](repeating: "noise", count: NameLimits.textsPerName) + ["dnsaddr=/ip4/10.0.0.1/tcp/1"])
        world.names.setTexts("_dnsaddr.long.test", ["dnsaddr=/ip4/10.0.0.1/tcp/1/http-path/" + String(repeating: "a", count: NameLimits.textLength)])
        try world.run {
            let tree = try await resolve(world, "/dnsaddr/tree.test")
            #expect(tree.count == NameLimits.addresses)
            let asked = (0..<100).map { world.names.questions("_dnsaddr.branch\($0).test") }.reduce(0, +)
            #expect(asked == NameLimits.lookups - 1)
            let many = try await resolve(world, "/dnsaddr/many.test")
            #expect(many.count == NameLimits.recordsPerName)
            await #expect(throws: ResolveError.notFound) { _ = try await resolve(world, "/dnsaddr/far.test") }
            await #expect(throws: ResolveError.notFound) { _ = try await resolve(world, "/dnsaddr/long.test") }
        }
    }

    @Test func answersAreRememberedForTheirTime() throws {
        let world = World(seed: 1)
        world.names.setAddresses("host.test", [.v4(1)], timeToLive: .seconds(60))
        world.names.fail("bad.test", .serverFailure)
        try world.run {
            let resolver = AddressResolver(system: world.host("asker").system)
            let (good, bad, missing) = try (
                #require(Multiaddr("/dns4/host.test/tcp/1")), #require(Multiaddr("/dns4/bad.test/tcp/1")), #require(Multiaddr("/dns4/no.test/tcp/1"))
            )
            for port in 1...5 { _ = try await resolver.resolve(#require(Multiaddr("/dns4/host.test/tcp/\(port)"))) }
            #expect(world.names.questions("host.test") == 1)
            try await world.sleep(for: .seconds(61))
            _ = try await resolver.resolve(good)
            #expect(world.names.questions("host.test") == 2)
            for _ in 0..<5 {
                await #expect(throws: ResolveError.serverFailure) { _ = try await resolver.resolve(bad) }
                await #expect(throws: ResolveError.notFound) { _ = try await resolver.resolve(missing) }
            }
            #expect(world.names.questions("bad.test") == 1 && world.names.questions("no.test") == 1)
            world.names.fail("bad.test", nil)
            world.names.setAddresses("bad.test", [.v4(2)])
            try await world.sleep(for: NameLimits.failureTime + .seconds(1))
            #expect(try await resolver.resolve(bad).count == 1)
        }
    }

    @Test func questionsAreSharedAndLimited() throws {
        let world = World(seed: 1)
        world.names.setAddresses("host.test", [.v4(1)])
        for index in 0..<200 { world.names.setAddresses("host\(index).test", [.v4(1)]) }
        try world.run {
            let resolver = AddressResolver(system: world.host("asker").system)
            let right = try await withThrowingTaskGroup(of: Int.self) { group in
                for _ in 0..<50 { group.addTask { try await resolver.resolve(#require(Multiaddr("/dns4/host.test/tcp/1"))).count } }
                return try await group.reduce(0, +)
            }
            #expect(right == 50)
            #expect(world.names.questions("host.test") == 1)
            let refused = await withTaskGroup(of: Bool.self) { group in
                for index in 0..<200 {
                    group.addTask {
                        do { _ = try await resolver.resolve(#require(Multiaddr("/dns4/host\(index).test/tcp/1"))) } catch { return error as? ResolveError == .busy }
                        return false
                    }
                }
                return await group.reduce(0) { $0 + ($1 ? 1 : 0) }
            }
            #expect(refused == 200 - NameLimits.running)
            var report = MetricReport()
            resolver.report(to: &report)
            #expect(report.value("waggle_name_lookups_total", ["outcome": "found"]) == Double(1 + NameLimits.running))
        }
    }

    // MARK: Dialing

    @Test func swarmsDialNames() throws {
        let world = World(seed: 1)
        try world.run {
            let server = try await world.listening("server")
            let client = try world.swarm("client")
            let peer = server.localPeer
            world.names.setAddresses("server.test", world.host("server").addresses)
            world.names.setTexts("_dnsaddr.net.test", ["dnsaddr=/dns4/server.test/tcp/4001/p2p/\(peer)", "dnsaddr=/ip4/10.9.9.9/tcp/1/p2p/\(Self.other)"])
            for text in ["/dns4/server.test/tcp/4001", "/dns/server.test/tcp/4001/p2p/\(peer)", "/dnsaddr/net.test/p2p/\(peer)", "/dnsaddr/net.test"] {
                let connection = try await client.connect(#require(Multiaddr(text)))
                #expect(connection.peer == peer)
                await client.disconnect(peer)
            }
            // By what the address book knows.
            client.addressBook.remove(server.listenAddresses[0], of: peer)
            client.addressBook.add([try #require(Multiaddr("/dnsaddr/net.test"))], of: peer, source: .configured)
            _ = try await client.connect(to: peer)
            await client.close()
            await server.close()
        }
    }

    @Test func deadNamesDoNotDelayAddresses() throws {
        let world = World(seed: 1)
        world.names.delay("slow.test", .seconds(500))
        try world.run {
            let server = try await world.listening("server")
            let client = try world.swarm("client")
            let start = world.now
            _ = try await client.connect(
                to: server.localPeer, addresses: [#require(Multiaddr("/dns4/slow.test/tcp/4001")), #require(Multiaddr("/dns4/none.test/tcp/4001"))] + server.listenAddresses)
            #expect(world.now - start < .seconds(1))
            await client.disconnect(server.localPeer)
            client.addressBook.remove(server.listenAddresses[0], of: server.localPeer)
            let none = try #require(Multiaddr("/dns4/none.test/tcp/4001"))
            let error = await failure { try await client.connect(to: server.localPeer, addresses: [none]) }
            #expect(error as? SwarmError == .dialFailed([DialFailure(address: none, cause: .unresolved(.notFound))]))
            // A name that works while the address next to it is dead.
            world.names.setAddresses("server.test", world.host("server").addresses)
            _ = try await client.connect(
                to: server.localPeer, addresses: [#require(Multiaddr("/ip4/10.77.0.1/tcp/4001")), #require(Multiaddr("/dns4/server.test/tcp/4001"))])
            await client.close()
            await server.close()
        }
    }

    @Test func listeningOnNamesIsRefused() throws {
        let world = World(seed: 1)
        try world.run {
            let swarm = try world.swarm("server")
            let address = try #require(Multiaddr("/dns4/localhost/tcp/4001"))
            await #expect(throws: SwarmError.unsupportedAddress(address)) { try await swarm.listen(on: address) }
            await swarm.close()
        }
    }
}
