import Testing
import WaggleBase
import WaggleSimulation
import WaggleTestSupport

@Suite struct DatagramWorldTests {
    static let group = SocketAddress(ip: .v4(0xe000_00fb), port: 5353)

    private func open(_ host: Host, interface: UInt32 = 2) async throws -> DatagramPort {
        let system = host.system
        let port = DatagramPort(try await system.datagrams.bind(SocketAddress(ip: .v4(0), port: 5353), DatagramOptions(), on: system.home))
        try port.socket.join(Self.group.ip, interface: interface)
        return port
    }

    @Test func segmentsSeparateMulticast() throws {
        let world = World(seed: 3)
        let hosts = ["a", "b", "c"].map { world.host($0) }
        world.setSegment("attic", on: hosts[2])
        try world.run {
            let ports = [try await open(hosts[0]), try await open(hosts[1]), try await open(hosts[2])]
            #expect(ports[0].send([1], to: Self.group, interface: 2) == .moved(1))
            try await world.sleep(for: .seconds(1))
            #expect(try await ports[0].receive().count == 1)
            let received = try await ports[1].receive()[0]
            #expect(received.entry.source.ip == hosts[0].addresses[0] && received.entry.destination == Self.group.ip)
            #expect(ports[2].socket.receive(into: ports[2].batch) == .wouldBlock)
        }
    }

    @Test func interfacesRefuseMulticastAndGoDown() throws {
        let world = World(seed: 3)
        let host = world.host("a")
        world.refuseMulticast(on: "eth0", of: host)
        world.addInterface("eth1", to: host, addresses: [.v4(0xc0a8_0001)])
        try world.run {
            await #expect(throws: NetworkError.self) { _ = try await open(host) }
            #expect(host.system.datagrams.interfaces().map(\.name) == ["lo", "eth0", "eth1"])
            #expect(host.addresses.contains(.v4(0xc0a8_0001)))
            world.setInterface("eth1", of: host, isUp: false)
            #expect(host.system.datagrams.interfaces().map(\.name) == ["lo", "eth0"])
        }
    }

    @Test func lossIsSeeded() throws {
        func play(_ seed: UInt64) throws -> (Int, Trace) {
            var options = WorldOptions()
            options.link.loss = 0.3
            options.link.duplication = 0.1
            let world = World(seed: seed, options: options)
            let (a, b) = (world.host("a"), world.host("b"))
            return try world.run {
                let near = DatagramPort(try await a.system.datagrams.bind(a.address(port: 1), DatagramOptions(), on: a.system.home))
                let far = DatagramPort(try await b.system.datagrams.bind(b.address(port: 2), DatagramOptions(), on: b.system.home), capacity: 512)
                for index in 0..<200 { _ = near.send([UInt8(index)], to: b.address(port: 2)) }
                try await world.sleep(for: .seconds(1))
                return (try await far.receive().count, world.trace)
            }
        }
        let first = try play(5)
        #expect(first.0 > 100 && first.0 < 200)
        let (again, other) = (try play(5), try play(6))
        #expect(again == first)
        #expect(other.1 != first.1)
    }

    @Test func crashesCloseSockets() throws {
        let world = World(seed: 3)
        let (a, b) = (world.host("a"), world.host("b"))
        try world.run {
            let near = DatagramPort(try await a.system.datagrams.bind(a.address(port: 1), DatagramOptions(), on: a.system.home))
            let far = try await b.system.datagrams.bind(b.address(port: 2), DatagramOptions(), on: b.system.home)
            b.crash()
            b.restart()
            let again = DatagramPort(try await b.system.datagrams.bind(b.address(port: 2), DatagramOptions(), on: b.system.home))
            #expect(near.send([9], to: b.address(port: 2)) == .moved(1))
            #expect(try await again.receive()[0].bytes == [9])
            #expect(far.receive(into: DatagramBatch(capacity: 1, datagramSize: 9)) == .failed(errno: 9))
        }
    }

    @Test func namesAreWhatTheZoneSays() throws {
        let world = World(seed: 3)
        let resolver = world.host("a").system.resolver
        let v6 = IPAddress.v6(high: 1, low: 2, zone: 0)
        world.names.setAddresses("host.test", [.v4(1), v6], timeToLive: .seconds(5))
        world.names.setTexts("text.test", ["one", "two"])
        world.names.fail("bad.test", .serverFailure)
        world.names.delay("slow.test", .seconds(100))
        try world.run {
            let start = world.now
            let answer1 = try await resolver.addresses(of: "host.test", .v6)
            #expect(answer1 == [NameRecord(v6, timeToLive: .seconds(5))])
            #expect(world.now - start == .milliseconds(20))
            let answer2 = try await resolver.addresses(of: "host.test", .any)
            #expect(answer2.count == 2)
            let answer3 = try await resolver.texts(of: "text.test").map(\.value)
            #expect(answer3 == ["one", "two"])
            await #expect(throws: ResolveError.notFound) { _ = try await resolver.texts(of: "host.test") }
            await #expect(throws: ResolveError.notFound) { _ = try await resolver.texts(of: "nobody.test") }
            await #expect(throws: ResolveError.serverFailure) { _ = try await resolver.texts(of: "bad.test") }
            await withTaskGroup(of: ResolveError?.self) { group in
                group.addTask {
                    do { _ = try await resolver.texts(of: "slow.test") } catch { return error as? ResolveError }
                    return nil
                }
                group.cancelAll()
                #expect(await group.next() == .cancelled)
            }
            #expect(world.names.questions("host.test") == 3)
        }
    }
}
