import Synchronization
import Testing
import WaggleAssembly
import WaggleBase
import WaggleFormats
import WaggleNetwork
@testable import WaggleServices
import WaggleSimulation

@Suite struct RendezvousRegistryTests {
    typealias Registration = RendezvousRegistry.Registration
    static let start = WallTime(nanoseconds: 1_000_000_000_000)

    private func peer(_ number: Int) throws -> PeerID { try PeerID(bytes: Bytes([0, 8] + (0..<8).map { UInt8(truncatingIfNeeded: number >> (8 * $0)) })) }
    private func registry() -> RendezvousRegistry { RendezvousRegistry(secret: Bytes([UInt8](repeating: 7, count: 32)), at: Self.start) }

    @discardableResult
    private func register(_ registry: inout RendezvousRegistry, _ number: Int, _ name: String = "a", signed: Bool = true, size: Int = 10) throws -> RendezvousRegistry.Change {
        try registry.register(
            peer(number), name, envelope: signed ? Bytes([UInt8](repeating: 1, count: size)) : nil, addresses: [], time: .seconds(7200), at: Self.start)
    }

    @Test func pagesFollowEachOther() throws {
        var registry = registry()
        for number in 0..<25 { try register(&registry, number) }
        try register(&registry, 99, "b")
        var seen: [PeerID] = []
        var cookie: Bytes?
        for expected in [10, 10, 5, 0] {
            let page = try registry.discover("a", limit: 10, cookie: cookie, signedOnly: true, at: Self.start)
            #expect(page.registrations.count == expected)
            seen += page.registrations.map(\.peer)
            cookie = page.cookie
        }
        #expect(seen == (try (0..<25).map { try peer($0) }))
        // What comes later, and who comes again.
        try register(&registry, 3)
        try register(&registry, 50)
        let later = try registry.discover("a", limit: 10, cookie: cookie, signedOnly: true, at: Self.start)
        #expect(later.registrations.map(\.peer) == (try [peer(3), peer(50)]))
        #expect(registry.count == 27)
        let all = try registry.discover("", limit: 1000, cookie: nil, signedOnly: true, at: Self.start)
        #expect(all.registrations.count == 27)
    }

    @Test func cookiesAreOursOrNone() throws {
        var registry = registry()
        try register(&registry, 1)
        let cookie = try registry.discover("a", limit: 1, cookie: nil, signedOnly: true, at: Self.start).cookie
        var forged = cookie.array
        forged[7] ^= 1
        for (name, bytes) in [("b", cookie), ("", cookie), ("a", Bytes(forged)), ("a", cookie.prefix(23)), ("a", Bytes([UInt8](repeating: 0, count: 24))), ("a", "x")] {
            #expect(throws: RendezvousStatus.invalidCookie) { try registry.discover(name, limit: 1, cookie: bytes, signedOnly: true, at: Self.start) }
        }
        var other = RendezvousRegistry(secret: Bytes([UInt8](repeating: 8, count: 32)), at: Self.start)
        try register(&other, 1)
        #expect(throws: RendezvousStatus.invalidCookie) { try other.discover("a", limit: 1, cookie: cookie, signedOnly: true, at: Self.start) }
        // None at all is the beginning.
        #expect(try registry.discover("a", limit: 1, cookie: Bytes(), signedOnly: true, at: Self.start).registrations.count == 1)
    }

    @Test func quotasOfPeersAndNamespaces() throws {
        var registry = registry()
        for index in 0..<RendezvousLimits.perPeer { try register(&registry, 1, "name\(index)") }
        #expect(throws: RendezvousStatus.notAuthorized) { try register(&registry, 1, "more") }
        // In place of an earlier one there is room, and after one has gone.
        try register(&registry, 1, "name0")
        #expect(registry.unregister(try peer(1), "name5") == .remove(.init(namespace: "name5", peer: try peer(1))))
        #expect(registry.unregister(try peer(1), "name5") == nil)
        try register(&registry, 1, "more")
        var full = self.registry()
        for number in 0..<RendezvousLimits.perNamespace { try register(&full, number) }
        #expect(throws: RendezvousStatus.unavailable) { try register(&full, 1_000_000) }
        try register(&full, 1_000_000, "b")
        #expect(full.count == RendezvousLimits.perNamespace + 1)
    }

    @Test func bytesAreBounded() throws {
        var registry = registry()
        let size = 1 << 20
        var count = 0
        while count < 1000 {
            do { try register(&registry, count, size: size) } catch RendezvousStatus.unavailable { break }
            count += 1
        }
        #expect(count == RendezvousLimits.recordBytes.bytes / (size + 65))
        // A page ends at its bytes, but tells one at least.
        let page = try registry.discover("a", limit: 1000, cookie: nil, signedOnly: true, at: Self.start)
        #expect(page.registrations.count == 1)
        let next = try registry.discover("a", limit: 1000, cookie: page.cookie, signedOnly: true, at: Self.start)
        #expect(next.registrations.first?.peer == (try peer(1)))
        for number in 0..<count { _ = registry.unregister(try peer(number), "a") }
        #expect(registry.bytes == 0 && registry.count == 0 && registry.namespaces == 0)
    }

    @Test func timesEnd() throws {
        var registry = registry()
        try register(&registry, 1)
        _ = try registry.register(peer(2), "a", envelope: "x", addresses: [], time: .seconds(120), at: Self.start)
        let later = Self.start + .seconds(121)
        #expect(try registry.discover("a", limit: 9, cookie: nil, signedOnly: true, at: later).registrations.map(\.peer) == [peer(1)])
        #expect(registry.sweep(later) == [.remove(.init(namespace: "a", peer: try peer(2)))])
        #expect(registry.count == 1)
        // A stored registry comes back without what is over, and goes on counting.
        var again = self.registry()
        let rows = try registry.discover("", limit: 9, cookie: nil, signedOnly: false, at: later).registrations
        let old = Registration(peer: try peer(9), namespace: "a", envelope: nil, addresses: [], expires: Self.start, sequence: 77)
        again.restore(rows + [old], at: later)
        #expect(again.count == 1)
        guard case .put(let fresh) = try register(&again, 5) else { throw TestError.unexpected }
        #expect(fresh.sequence > rows[0].sequence)
    }

    /// Who asks with a cookie of the server's earlier life misses nobody, even if the newest of that life are gone.
    @Test func cookiesOutliveWhatTheyWereGivenFor() throws {
        var registry = registry()
        for number in 0..<20 { try register(&registry, number) }
        let cookie = try registry.discover("a", limit: 100, cookie: nil, signedOnly: true, at: Self.start).cookie
        let later = Self.start + .seconds(1)
        var again = RendezvousRegistry(secret: Bytes([UInt8](repeating: 7, count: 32)), at: later)
        again.restore([], at: later)
        try register(&again, 50)
        #expect(try again.discover("a", limit: 100, cookie: cookie, signedOnly: true, at: later).registrations.map(\.peer) == [peer(50)])
    }

    @Test func churnKeepsTheOrderSmall() throws {
        var registry = registry()
        for round in 0..<200 { for number in 0..<20 { try register(&registry, number, round % 2 == 0 ? "a" : "b") } }
        #expect(registry.count == 40)
        #expect(try registry.discover("a", limit: 100, cookie: nil, signedOnly: true, at: Self.start).registrations.count == 20)
        #expect(try registry.discover("", limit: 100, cookie: nil, signedOnly: true, at: Self.start).registrations.count == 40)
    }

    @Test func messagesSurviveTheWire() throws {
        let messages: [RendezvousMessage] = [
            .register(.init(namespace: "a", record: "record", seconds: 7200)), .registered(.init(status: .invalidTime, text: "no", seconds: 5)),
            .unregister(.init(namespace: "a")), .unregister(.init(namespace: "a", id: "me")), .discover(.init(namespace: "", limit: 5, cookie: "c")),
            .discovered(.init(registrations: [.init(namespace: "a", record: "r", seconds: 1)], cookie: "c", status: .ok, text: "")),
        ]
        for message in messages { #expect(try RendezvousMessage(decoding: message.encoded) == message) }
        // type, then register { ns = 1, record = 2, ttl = 3 }.
        #expect(messages[0].encoded.array == [8, 0, 18, 14, 10, 1, 0x61, 18, 6] + Array("record".utf8) + [24, 0xa0, 0x38])
        #expect(throws: (any Error).self) { try RendezvousMessage(decoding: [8, 9]) }
        let crowd = RendezvousMessage.Discovered(registrations: [RendezvousMessage.Register](repeating: .init(), count: RendezvousLimits.page + 1))
        #expect(throws: (any Error).self) { try RendezvousMessage(decoding: RendezvousMessage.discovered(crowd).encoded) }
    }
}

/// Nodes that meet at a server in a simulated world.
@Suite struct RendezvousTests {
    private func point(_ world: World, _ name: String = "point", store: (any KeyValueStore)? = nil) async throws -> Node {
        let node = try await world.node(name)
        node.add(Rendezvous(isServer: true, store: store))
        try await node.start()
        return node
    }

    private func client(_ world: World, _ name: String) async throws -> (Node, Rendezvous) {
        let node = try await world.node(name)
        let rendezvous = Rendezvous()
        node.add(rendezvous)
        try await node.start()
        return (node, rendezvous)
    }

    @Test func peersMeet() throws {
        let world = World(seed: 1)
        try world.run {
            let server = try await point(world)
            let (a, one) = try await client(world, "a")
            let (b, two) = try await client(world, "b")
            let time = try await one.register("game", at: server.peer, addresses: server.listenAddresses)
            #expect(time == RendezvousLimits.standardTime)
            try await one.register("other", at: server.peer, time: .seconds(600))
            let page = try await two.discover("game", at: server.peer, addresses: server.listenAddresses)
            #expect(page.peers.map(\.peer) == [a.peer] && page.peers[0].isSigned && page.peers[0].addresses == a.swarm.announcedAddresses)
            // The record is signed: the address book takes it for certain.
            _ = try await b.swarm.connect(to: a.peer)
            #expect(b.swarm.addressBook.signedRecord(of: a.peer) != nil)
            let all = try await two.discover(nil, at: server.peer)
            #expect(Set(all.peers.map(\.namespace)) == ["game", "other"])
            try await one.unregister("game", at: server.peer)
            #expect(try await two.discover("game", at: server.peer).peers.isEmpty)
            for node in [a, b, server] { await node.close() }
        }
    }

    @Test func sequencesReadAllPages() throws {
        let world = World(seed: 2)
        try world.run {
            let server = try await point(world)
            var nodes: [Node] = []
            for index in 0..<7 {
                let (node, rendezvous) = try await client(world, "n\(index)")
                try await rendezvous.register("crowd", at: server.peer, addresses: server.listenAddresses)
                nodes.append(node)
            }
            let (seeker, rendezvous) = try await client(world, "seeker")
            var found: [PeerID] = []
            for try await peer in rendezvous.peers("crowd", at: server.peer, addresses: server.listenAddresses) { found.append(peer.peer) }
            #expect(found == nodes.map(\.peer))
            var some = 0
            for try await _ in rendezvous.peers("crowd", at: server.peer, limit: 3) { some += 1 }
            #expect(some == 3)
            // A page that holds only ourselves is not the end.
            try await rendezvous.register("hall", at: server.peer)
            let (last, other) = try await client(world, "last")
            try await other.register("hall", at: server.peer, addresses: server.listenAddresses)
            var met: [PeerID] = []
            for try await peer in rendezvous.peers("hall", at: server.peer, limit: 1) { met.append(peer.peer) }
            #expect(met == [last.peer])
            // Under any name, too, no more than were asked for.
            some = 0
            for try await _ in rendezvous.peers(nil, at: server.peer, limit: 2) { some += 1 }
            #expect(some == 2)
            await last.close()
            let first = try await rendezvous.discover("crowd", at: server.peer, limit: 4)
            let second = try await rendezvous.discover("crowd", at: server.peer, limit: 4, cookie: first.cookie)
            #expect(first.peers.count == 4 && second.peers.count == 3)
            for node in nodes + [seeker, server] { await node.close() }
        }
    }

    @Test func serversRefuseWhatIsWrong() throws {
        let world = World(seed: 3)
        try world.run {
            let server = try await point(world)
            let (node, rendezvous) = try await client(world, "a")
            let (stranger, _) = try await client(world, "b")
            let where_ = server.listenAddresses
            func refusal(_ body: () async throws -> some Any) async -> RendezvousStatus? {
                guard case .refused(let status, _)? = await failure(of: body) as? RendezvousError else { return nil }
                return status
            }
            #expect(await refusal { try await rendezvous.register("x", at: server.peer, addresses: where_, time: .seconds(60)) } == .invalidTime)
            #expect(await refusal { try await rendezvous.register("x", at: server.peer, time: .seconds(72 * 3600 + 1)) } == .invalidTime)
            #expect(await refusal { try await rendezvous.discover("x", at: server.peer, cookie: "forged") } == .invalidCookie)
            await #expect(throws: RendezvousError.invalidNamespace) { try await rendezvous.register("", at: server.peer) }
            await #expect(throws: RendezvousError.invalidNamespace) { try await rendezvous.register(String(repeating: "n", count: 256), at: server.peer) }
            // Somebody else's record, signed and unsigned, garbage, and a long name, all by hand.
            let foreign = try #require(PeerRecord(peer: stranger.peer, sequence: 1, addresses: []).signed(with: stranger.swarm.identity.key)?.encoded)
            func send(_ register: RendezvousMessage.Register) async throws -> RendezvousStatus {
                try await node.withStream(to: server.peer, Rendezvous.protocolID) { stream in
                    try await stream.writeMessage(RendezvousMessage.register(register).encoded)
                    guard let answer = try await stream.readMessage(limit: .kibibytes(64)),
                        case .registered(let registered) = try RendezvousMessage(decoding: answer)
                    else { throw TestError.unexpected }
                    return registered.status
                }
            }
            let unsigned = UnsignedPeer(stranger.peer, stranger.listenAddresses).encoded
            #expect(try await send(.init(namespace: "x", record: unsigned)) == .notAuthorized)
            #expect(try await send(.init(namespace: "x", record: "garbage")) == .invalidRecord)
            #expect(try await send(.init(namespace: String(repeating: "n", count: 256), record: unsigned)) == .invalidNamespace)
            let empty = try await rendezvous.discover(nil, at: server.peer)
            #expect(empty.peers.isEmpty)
            // A flood is turned away for a while.
            var refused = 0
            for index in 0..<30 { if await refusal({ try await rendezvous.register("n\(index)", at: server.peer) }) == .unavailable { refused += 1 } }
            #expect(refused > 10)
            try await world.sleep(for: .seconds(5))
            try await rendezvous.register("again", at: server.peer)
            // To forge is counted, and ends the connection.
            #expect(server.swarm.reputation.standing(of: node.peer) == nil)
            let outcome = await failure { try await send(.init(namespace: "x", record: foreign)) }
            #expect(outcome == nil || !node.swarm.isConnected(server.peer))
            #expect(server.swarm.reputation.standing(of: node.peer) != nil)
            for node in [node, stranger, server] { await node.close() }
        }
    }

    @Test func olderPeersAreAnsweredInTheirForm() throws {
        let world = World(seed: 4)
        try world.run {
            let server = try await point(world)
            let (a, _) = try await client(world, "a")
            let (b, two) = try await client(world, "b")
            _ = try await a.connect(server.dialable)
            try await two.register("game", at: server.peer, addresses: server.listenAddresses)
            func ask(_ message: RendezvousMessage) async throws -> RendezvousMessage {
                try await a.withStream(to: server.peer, Rendezvous.protocolID) { stream in
                    try await stream.writeMessage(message.encoded)
                    guard let answer = try await stream.readMessage(limit: .kibibytes(64)) else { throw TestError.unexpected }
                    return try RendezvousMessage(decoding: answer)
                }
            }
            let own = UnsignedPeer(a.peer, a.listenAddresses)
            #expect(try await ask(.register(.init(namespace: "game", record: own.encoded, seconds: 7200))) == .registered(.init(seconds: 7200)))
            guard case .discovered(let page) = try await ask(.discover(.init(namespace: "game"))) else { throw TestError.unexpected }
            #expect(page.registrations.compactMap { UnsignedPeer(decoding: $0.record)?.peer } == [b.peer, a.peer])
            // Who asks for signatures hears of those who sign only.
            let (c, three) = try await client(world, "c")
            #expect(try await three.discover("game", at: server.peer, addresses: server.listenAddresses).peers.map(\.peer) == [b.peer])
            for node in [a, b, c, server] { await node.close() }
        }
    }

    @Test func registrationsSurviveRestartsOfTheServer() throws {
        let world = World(seed: 5)
        try world.run {
            let host = world.host("point")
            let store = try host.system.openStore("/data", tables: [Rendezvous.table], capacity: 1 << 30)
            let server = try await point(world, store: store)
            let (a, one) = try await client(world, "a")
            try await one.register("game", at: server.peer, addresses: server.listenAddresses)
            try await one.register("short", at: server.peer, time: .seconds(200))
            let cookie = try await one.discover("game", at: server.peer).cookie
            await server.close()
            await store.close()
            try await world.sleep(for: .seconds(400))
            let again = try host.system.openStore("/data", tables: [Rendezvous.table], capacity: 1 << 30)
            let second = try await point(world, store: again)
            let (b, two) = try await client(world, "b")
            #expect(try await two.discover("game", at: second.peer, addresses: second.listenAddresses).peers.map(\.peer) == [a.peer])
            #expect(try await two.discover("short", at: second.peer).peers.isEmpty)
            // Cookies of the time before go on.
            #expect(try await two.discover("game", at: second.peer, cookie: cookie).peers.isEmpty)
            for node in [a, b, second] { await node.close() }
            await again.close()
        }
    }

    @Test func nodesWithOneNameComeTogether() throws {
        let world = World(seed: 7)
        try world.run {
            let server = try await point(world)
            var nodes: [Node] = []
            for name in ["a", "b", "c"] {
                let node = try await world.node(name) {
                    $0.rendezvous.points = [server.dialable]
                    $0.rendezvous.namespaces = ["club"]
                }
                try await node.start()
                nodes.append(node)
            }
            let all = nodes
            for node in all { try await node.until(.seconds(180)) { all.allSatisfy { $0 === node || node.swarm.isConnected($0.peer) } } }
            for node in all + [server] { await node.close() }
        }
    }

    @Test func registrationsAreKeptUp() throws {
        let world = World(seed: 6)
        try world.run(limit: .seconds(48 * 3600)) {
            let server = try await point(world)
            let (a, one) = try await client(world, "a")
            let (b, two) = try await client(world, "b")
            try one.keep("game", at: server.dialable)
            for _ in 0..<6 {
                try await world.sleep(for: .seconds(3600))
                #expect(try await two.discover("game", at: server.peer, addresses: server.listenAddresses).peers.map(\.peer) == [a.peer])
            }
            #expect(one.kept.map(\.isRegistered) == [true])
            // A new address is told at once.
            let extra = try await a.swarm.listen(on: Multiaddr(world.host("a").address(port: 4777), over: .tcp))
            try await world.sleep(for: .seconds(5))
            #expect(try await two.discover("game", at: server.peer).peers.first?.addresses.contains(extra[0]) == true)
            one.release("game", at: server.peer)
            try await world.sleep(for: .seconds(5))
            #expect(try await two.discover("game", at: server.peer).peers.isEmpty)
            #expect(one.kept.isEmpty)
            // A server that is not there is tried again, with pauses.
            let gone = server.dialable
            await server.close()
            try one.keep("later", at: gone)
            try await world.sleep(for: .seconds(1800))
            #expect(one.kept.map(\.isRegistered) == [false])
            for index in 0..<RendezvousLimits.kept - 1 { try one.keep("n\(index)", at: gone) }
            #expect(throws: RendezvousError.tooMany) { try one.keep("one more", at: gone) }
            for node in [a, b] { await node.close() }
        }
    }
}
