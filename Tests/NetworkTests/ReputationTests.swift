import Synchronization
import Testing
import WaggleBase
import WaggleCryptography
import WaggleFormats
@testable import WaggleNetwork
import WaggleSimulation

@Suite struct ReputationTests {
    private static func peer(_ number: UInt8) throws -> PeerID {
        var seed = [UInt8](repeating: 7, count: 32)
        seed[0] = number
        return PeerID(try IdentityKeyPair(ed25519Seed: SecureBytes(count: 32) { buffer in buffer.copyBytes(from: seed) }).publicKey)
    }

    private static func time(_ duration: Duration) -> WallTime { WallTime(nanoseconds: 1 << 60) + duration }
    /// A table that expectations may change.
    private final class Book {
        var table: ReputationTable
        init(_ limits: ReputationLimits) { table = ReputationTable(limits) }
        func report(_ peer: PeerID, _ offence: Offence, from addresses: [IPAddress], at now: WallTime) -> ReputationTable.Verdict {
            table.report(peer, offence, from: addresses, at: now)
        }
        func pardon(_ peer: PeerID, at now: WallTime) -> Bool { table.pardon(peer, at: now) }
        func load(_ peer: PeerID, _ row: ReputationTable.Row, at now: WallTime) { table.load(peer, row, at: now) }
        func score(of peer: PeerID, at now: WallTime) -> Double { table.score(of: peer, at: now) }
        func isRefused(_ peer: PeerID, at now: WallTime) -> Bool { table.isRefused(peer, at: now) }
        func isRefused(_ ip: IPAddress, at now: WallTime) -> Bool { table.isRefused(ip, at: now) }
    }

    private static let ten = Offence("ten", weight: 10)
    private static let all = Offence("all", weight: 100)

    @Test func pointsFadeByHalfLives() throws {
        let table = Book(ReputationLimits())
        let peer = try Self.peer(1)
        #expect(table.report(peer, Offence("x", weight: 40), from: [], at: Self.time(.zero)) == .noted)
        for (seconds, points) in [(0, 40.0), (300, 30), (600, 20), (1200, 10), (1800, 5)] {
            #expect(table.score(of: peer, at: Self.time(.seconds(seconds))) == points)
        }
        #expect(table.score(of: peer, at: Self.time(.seconds(600 * 61))) == 0)
        #expect(table.score(of: peer, at: Self.time(.seconds(-600))) == 40, "a clock that was set back makes nothing grow")
        #expect(table.report(peer, Offence("negative", weight: -1000), from: [], at: Self.time(.zero)) == .noted)
        #expect(table.score(of: peer, at: Self.time(.zero)) == 40)
    }

    @Test func slowMisbehaviourNeverBans() throws {
        let table = Book(ReputationLimits())
        let peer = try Self.peer(1)
        // Ten points in five minutes settle below the cool-down.
        for number in 0..<500 { #expect(table.report(peer, Self.ten, from: [], at: Self.time(.seconds(300 * number))) == .noted) }
    }

    @Test func coolsDownThenIsBannedEachTimeForLonger() throws {
        let limits = ReputationLimits()
        let table = Book(limits)
        let peer = try Self.peer(1)
        var now = Self.time(.zero)
        for _ in 0..<4 { #expect(table.report(peer, Self.ten, from: [], at: now) == .noted) }
        #expect(table.report(peer, Self.ten, from: [], at: now) == .cooling(until: now + limits.coolDown))
        #expect(table.isRefused(peer, at: now) && !table.isRefused(peer, at: now + limits.coolDown))
        for _ in 0..<4 { #expect(table.report(peer, Self.ten, from: [], at: now) == .noted) }
        var length = limits.firstBan
        for _ in 0..<12 {
            let verdict = table.report(peer, Self.all, from: [], at: now)
            #expect(verdict == .banned(until: now + min(length, limits.longestBan)))
            #expect(table.report(peer, Self.all, from: [], at: now) == .noted, "a ban is not made longer by what is still under way")
            now = now + min(length, limits.longestBan)
            #expect(!table.isRefused(peer, at: now))
            length *= 2
        }
        now = now + limits.forgiveness + .seconds(1)
        #expect(table.report(peer, Self.all, from: [], at: now) == .banned(until: now + limits.firstBan))
    }

    @Test func anAddressIsRefusedOnlyForManyBannedPeers() throws {
        var limits = ReputationLimits()
        limits.peersPerGroup = 4
        let table = Book(limits)
        let (shared, other) = (IPAddress.v4(0x0102_0304), IPAddress.v4(0x0102_0305))
        let now = Self.time(.zero)
        for number in 0..<3 { _ = table.report(try Self.peer(UInt8(number)), Self.all, from: [shared, shared], at: now) }
        _ = table.report(try Self.peer(100), Self.ten, from: [shared], at: now)
        #expect(!table.isRefused(shared, at: now))
        _ = table.report(try Self.peer(3), Self.all, from: [shared, other], at: now)
        #expect(table.isRefused(shared, at: now) && !table.isRefused(other, at: now))
        #expect(table.table.refusedGroups(at: now).map(\.base) == [shared])
        #expect(table.pardon(try Self.peer(3), at: now))
        #expect(!table.isRefused(shared, at: now))
        _ = table.report(try Self.peer(4), Self.all, from: [shared], at: now)
        #expect(!table.isRefused(shared, at: now + limits.firstBan), "no longer than the bans themselves")
        // One customer has a whole /64.
        for number in 10..<14 { _ = table.report(try Self.peer(UInt8(number)), Self.all, from: [.v6(high: 9, low: UInt64(number), zone: 0)], at: now) }
        #expect(table.isRefused(.v6(high: 9, low: 77, zone: 0), at: now) && !table.isRefused(.v6(high: 8, low: 10, zone: 0), at: now))
    }

    @Test func theTableIsBoundedAndKeepsBans() throws {
        var limits = ReputationLimits()
        limits.peers = 64
        let table = Book(limits)
        let now = Self.time(.zero)
        let banned = try Self.peer(0)
        _ = table.report(banned, Self.all, from: [], at: now)
        for number in 1..<200 { _ = table.report(try Self.peer(UInt8(number)), Self.ten, from: [], at: now) }
        #expect(table.table.rows.count <= 64)
        #expect(table.isRefused(banned, at: now))
    }

    @Test func rowsSurviveTheirEncoding() throws {
        var row = ReputationTable.Row(at: WallTime(nanoseconds: 5))
        row.score = 12.5
        row.offences = 9
        row.lastOffence = "ten"
        row.bans = 3
        row.bannedUntil = WallTime(nanoseconds: 77)
        row.coolsUntil = WallTime(nanoseconds: 88)
        row.groups = [IPRange(.v4(0x0102_0304), prefixLength: 32), IPRange(.v6(high: 9, low: 0, zone: 0), prefixLength: 64)]
        #expect(try ReputationTable.Row(decoding: row.encoded) == row)
        // Whatever stands in the store, no ban is longer than the longest.
        let table = Book(ReputationLimits())
        row.bannedUntil = WallTime(nanoseconds: .max)
        table.load(try Self.peer(1), row, at: Self.time(.zero))
        #expect(!table.isRefused(try Self.peer(1), at: Self.time(table.table.limits.longestBan)))
    }

    @Test func aBanClosesConnectionsAndRefusesNewOnes() throws {
        let world = World(seed: 21)
        try world.run {
            let server = try await world.listening("server")
            let rogue = try await world.listening("rogue")
            let honest = try world.swarm("honest")
            _ = try await rogue.connect(server.dialable)
            _ = try await honest.connect(server.dialable)
            let recorder = Recorder(server)
            server.reputation.report(rogue.localPeer, Self.all)
            try await server.until { !server.isConnected(rogue.localPeer) }
            #expect(recorder.closeReasons == [.gated])
            #expect(server.isConnected(honest.localPeer))
            #expect(await failure { try await server.connect(rogue.dialable) } as? SwarmError == .refused(.banned))
            try await rogue.until { !rogue.isConnected(server.localPeer) }
            do { _ = try await rogue.connect(server.dialable) } catch {}
            try await rogue.until { !rogue.isConnected(server.localPeer) }
            let report = await server.metrics.collect()
            #expect((report.value("p2p_rejects_total", ["reason": "banned"]) ?? 0) >= 1)
            #expect(report.value("p2p_peers", ["state": "banned"]) == 1)
            #expect(report.value("waggle_reputation_offences_total", ["offence": "all"]) == 1)
            // The ban ends by itself.
            try await server.home.sleep(until: server.home.now + server.reputation.limits.firstBan)
            _ = try await server.connect(rogue.dialable)
            #expect(server.reputation.bans.isEmpty && server.reputation.standing(of: rogue.localPeer)?.bans == 1)
            for swarm in [server, rogue, honest] { await swarm.close() }
        }
    }

    @Test func trustedPeersAreNeverBannedAndAPardonHelpsTheOthers() throws {
        let world = World(seed: 22)
        try world.run {
            let server = try await world.listening("server")
            let friend = try world.swarm("friend")
            server.reputation.trust(friend.localPeer)
            _ = try await friend.connect(server.dialable)
            for _ in 0..<100 { server.reputation.report(friend.localPeer, Self.all) }
            try await server.home.sleep(until: server.home.now + .seconds(5))
            #expect(server.isConnected(friend.localPeer) && server.reputation.bans.isEmpty)
            server.reputation.distrust(friend.localPeer)
            server.reputation.report(friend.localPeer, Self.all)
            try await server.until { !server.isConnected(friend.localPeer) }
            #expect(server.reputation.pardon(friend.localPeer))
            _ = try await friend.connect(server.dialable)
            #expect(server.reputation.standing(of: friend.localPeer) == nil)
            for swarm in [server, friend] { await swarm.close() }
        }
    }

    @Test func bansSurviveARestart() throws {
        let world = World(seed: 23)
        try world.run {
            let system = world.host("server").system
            let peer = try Self.peer(1)
            let store = try system.openStore("/data", tables: [Reputation.table], capacity: 1 << 20)
            let first = try Reputation(system: system, store: store)
            first.report(peer, Self.all)
            await first.close()
            let second = try Reputation(system: system, store: store)
            #expect(second.bans.map(\.peer) == [peer] && second.bans.first?.lastOffence == "all")
            #expect(second.refusal(of: peer) == .banned)
            second.pardon(peer)
            await second.close()
            #expect(try Reputation(system: system, store: store).bans.isEmpty)
            await store.close()
        }
    }

    @Test func aMuxerViolationCountsAndABrokenRecordDoesNot() throws {
        let world = World(seed: 24)
        try world.run {
            let server = try await world.listening("server")
            let client = try world.swarm("client")
            let connection = try await client.connect(server.dialable)
            try await server.until { server.isConnected(client.localPeer) }
            // Somebody between the two can do this to anybody.
            await connection.loop.run { _ = connection.socket.map { socket in Self.write(Bytes([0, 32] + [UInt8](repeating: 9, count: 32)), to: socket) } }
            await connection.closed()
            try await server.until { !server.isConnected(client.localPeer) }
            #expect(server.reputation.standing(of: client.localPeer) == nil)
            for number in 1...3 {
                let connection = try await client.connect(server.dialable)
                try await server.until { server.isConnected(client.localPeer) }
                let inbound = try #require(server.connections(to: client.localPeer).first)
                await inbound.loop.run { inbound.session.receive(Bytes([9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9]), at: inbound.loop.now); inbound.settle() }
                await connection.closed()
                try await server.until { !server.isConnected(client.localPeer) }
                #expect(server.reputation.standing(of: client.localPeer)?.offences == UInt64(number))
                if number == 2 { try await server.home.sleep(until: server.home.now + server.reputation.limits.coolDown) }
            }
            guard case .banned = server.reputation.standing(of: client.localPeer)?.state else { throw TestError.unexpected }
            for swarm in [server, client] { await swarm.close() }
        }
    }

    private static func write(_ bytes: Bytes, to socket: any ByteSocket) {
        bytes.withUnsafeBytes { piece in withUnsafePointer(to: piece) { _ = socket.write(UnsafeBufferPointer(start: $0, count: 1)) } }
    }
}
