import Synchronization
import Testing
import WaggleBase
import WaggleCryptography
import WaggleFormats
import WaggleNetwork
import WaggleSimulation

@testable import WaggleContent

private let first = "/ipfs/bafkqaddwgevxmmraojswg33smq"
private let second = "/ipfs/bafkqaaa"

@Suite struct NameSystemTests {
    private func store(_ system: any System, _ path: String = "/names") throws -> any KeyValueStore {
        try system.openStore(path, tables: [NameStore.table], capacity: 1 << 20)
    }

    @Test func publishedNamesAreResolvedAndCached() throws {
        try withHost { system, _ in
            let board = RecordBoard(system)
            let alice = NameSystem(system: system, store: try store(system, "/a"), routing: board)
            let bob = NameSystem(system: system, store: try store(system, "/b"), routing: board)
            let key = try testKey(1)
            let name = IPNSName(PeerID(key.publicKey))
            let path = try ContentPath(parsing: "/ipns/\(name)/dir/file")
            await #expect(throws: NameError.notFound) { _ = try await bob.resolve(path) }
            var options = NameSystem.Publishing()
            options.timeToLive = .seconds(60)
            let record = try await alice.publish(try ContentPath(parsing: first), with: key, options)
            #expect(record.sequence == 0)
            #expect(try await bob.resolve(path).path.description == first + "/dir/file")
            // A newer one is seen when the older one's time is over, or at once without the cache.
            #expect(try await alice.publish(try ContentPath(parsing: second), with: key, options).sequence == 1)
            #expect(try await bob.resolve(path).path.description == first + "/dir/file")
            var fresh = NameSystem.Resolving()
            fresh.usesCache = false
            #expect(try await bob.resolve(path, fresh).path.description == second + "/dir/file")
            try await system.home.sleep(until: system.home.now + .seconds(61))
            let later = try await bob.resolve(path)
            #expect(later.path.description == second + "/dir/file" && later.timeToLive == .seconds(60))
            // The same value again keeps its number; a number of one's own must grow.
            #expect(try await alice.publish(try ContentPath(parsing: second), with: key, options).sequence == 1)
            options.sequence = 1
            await #expect(throws: NameError.sequenceTooLow) { _ = try await alice.publish(try ContentPath(parsing: first), with: key, options) }
            options.sequence = 1000
            #expect(try await alice.publish(try ContentPath(parsing: first), with: key, options).sequence == 1000)
        }
    }

    @Test func theNumberGoesOnOnAnotherMachine() throws {
        try withHost { system, _ in
            let board = RecordBoard(system)
            let key = try testKey(1)
            for (number, value) in [first, second, first].enumerated() {
                let names = NameSystem(system: system, store: try store(system, "/\(number)"), routing: board)
                #expect(try await names.publish(try ContentPath(parsing: value), with: key).sequence == UInt64(number))
            }
            // Zero can never be newer.
            var options = NameSystem.Publishing()
            options.sequence = 0
            let names = NameSystem(system: system, store: try store(system, "/x"), routing: nil)
            await #expect(throws: NameError.sequenceTooLow) { _ = try await names.publish(try ContentPath(parsing: first), with: key, options) }
        }
    }

    @Test func manyThatPublishAtOnceGetNumbersOfTheirOwn() throws {
        try withHost { system, _ in
            let names = NameSystem(system: system, store: try store(system), routing: nil)
            let key = try testKey(1)
            let numbers = try await withThrowingTaskGroup(of: UInt64.self) { group in
                for index in 0..<20 {
                    group.addTask { try await names.publish(try ContentPath(parsing: first + "/\(index)"), with: key).sequence ?? .max }
                }
                return try await group.reduce(into: []) { $0.append($1) }
            }
            #expect(numbers.sorted() == Array(0..<20))
        }
    }

    @Test func onlyTrueRecordsCount() throws {
        try withHost { system, _ in
            let board = RecordBoard(system)
            let names = NameSystem(system: system, store: try store(system), routing: board)
            let key = try testKey(1)
            let name = IPNSName(PeerID(key.publicKey))
            let path = try ContentPath(parsing: "/ipns/\(name)")
            let now = system.wallTime
            func record(_ value: String, _ sequence: UInt64, _ validity: WallTime, _ key: IdentityKeyPair) throws -> Bytes {
                try IPNSRecord(.init(value: value, sequence: sequence, validity: validity), with: key).encoded
            }
            // Forged, expired, garbage, older than the good one, and the good one.
            board.smuggle(try record(second, 9, now + .seconds(99), testKey(2)), for: name.routingKey)
            board.smuggle(try record(second, 8, WallTime(nanoseconds: now.nanoseconds - 1), key), for: name.routingKey)
            board.smuggle("garbage", for: name.routingKey)
            await #expect(throws: NameError.notFound) { _ = try await names.resolve(path) }
            board.smuggle(try record(second, 2, now + .seconds(99), key), for: name.routingKey)
            board.smuggle(try record(first, 3, now + .seconds(99), key), for: name.routingKey)
            board.smuggle(try record(second, 1, now + .seconds(99), key), for: name.routingKey)
            #expect(try await names.resolve(path).path.description == first)
            // Records of others are stored only when they are true, and never in place of a better one.
            let stranger = try IPNSRecord(decoding: record(second, 9, now + .seconds(99), testKey(2)))
            await #expect(throws: IPNSError.forged) { try await names.put(stranger, of: name) }
            try await names.put(try IPNSRecord(decoding: record(first, 3, now + .seconds(99), key)), of: name, sharing: false)
            try await names.put(try IPNSRecord(decoding: record(second, 1, now + .seconds(99), key)), of: name, sharing: false)
            #expect(try names.storedRecord(of: name)?.sequence == 3)
        }
    }

    @Test func namesLeadToNamesButNotForEver() throws {
        try withHost { system, _ in
            let names = NameSystem(system: system, store: try store(system), routing: nil)
            let keys = try (1...40).map { try testKey(UInt8($0)) }
            let all = keys.map { IPNSName(PeerID($0.publicKey)) }
            for (index, key) in keys.enumerated() {
                let value = index + 1 < keys.count ? "/ipns/\(all[index + 1])/\(index)" : first
                try await names.publish(try ContentPath(parsing: value), with: key)
            }
            let path = try ContentPath(parsing: "/ipns/\(all[40 - NamingLimits.depth])")
            #expect(try await names.resolve(path).path.description.hasPrefix(first + "/38/37"))
            await #expect(throws: NameError.tooDeep) { _ = try await names.resolve(try ContentPath(parsing: "/ipns/\(all[39 - NamingLimits.depth])")) }
            #expect(try await names.step(try ContentPath(parsing: "/ipns/\(all[38])")).path.description == "/ipns/\(all[39])/38")
            // A ring.
            try await names.publish(try ContentPath(parsing: "/ipns/\(all[0])"), with: keys[39])
            await #expect(throws: NameError.tooDeep) { _ = try await names.resolve(try ContentPath(parsing: "/ipns/\(all[38])")) }
        }
    }

    @Test func domainsLinkToContent() throws {
        try withHost { system, _ in
            let zones = ["_dnslink.one.example": ["v=spf1 -all", "dnslink=\(first)/a"], "_dnslink.two.example": ["dnslink=\(first)", "dnslink=\(second)"], "_dnslink.name.example": ["dnslink=/ipns/one.example/b"]]
            let asked = Mutex(0)
            let names = NameSystem(system: system, store: try store(system), routing: nil, lookUpTexts: { domain in
                asked.withLock { $0 += 1 }
                return (zones[domain] ?? []).map { (text: $0, timeToLive: .seconds(30)) }
            })
            #expect(try await names.resolve(try ContentPath(parsing: "/ipns/one.example/x")).path.description == first + "/a/x")
            #expect(try await names.resolve(try ContentPath(parsing: "/ipns/name.example")).path.description == first + "/a/b")
            #expect(asked.withLock { $0 } == 2)
            // Of many texts only the first are looked at.
            let many = Array(repeating: "v=spf1", count: NamingLimits.textRecords) + ["dnslink=\(first)"]
            #expect(throws: NameError.noLink(domain: "x.example")) { _ = try DNSLink.path(of: "x.example", in: many) }
            #expect(try DNSLink.path(of: "x.example", in: Array(many.dropFirst())).description == first)
            await #expect(throws: NameError.ambiguousLink(domain: "two.example")) { _ = try await names.resolve(try ContentPath(parsing: "/ipns/two.example")) }
            await #expect(throws: NameError.noLink(domain: "no.example")) { _ = try await names.resolve(try ContentPath(parsing: "/ipns/no.example")) }
            await #expect(throws: NameError.notAName("cannot resolve: \"/ipns/nothing\"")) { _ = try await names.resolve(try ContentPath(parsing: "/ipns/nothing")) }
            try await system.home.sleep(until: system.home.now + .seconds(31))
            _ = try await names.resolve(try ContentPath(parsing: "/ipns/one.example"))
            #expect(asked.withLock { $0 } == 5)
        }
    }

    @Test func publishedNamesAreKeptAlive() throws {
        try withHost(limit: .seconds(1_000_000)) { system, _ in
            let board = RecordBoard(system)
            let names = NameSystem(system: system, store: try store(system), routing: board)
            let key = try testKey(1)
            let name = IPNSName(PeerID(key.publicKey))
            let republisher = NameRepublisher(names) { [try testKey(2), key] }
            #expect(await republisher.republish())
            #expect(board.puts == 0)
            board.isDown = true
            // Nobody is there: the record stays, and is published in the next round.
            await #expect(throws: RoutingError.noRouter) { try await names.publish(try ContentPath(parsing: first), with: key) }
            #expect(await republisher.republish() == false)
            board.isDown = false
            for _ in 0..<4 {
                #expect(await republisher.republish())
                try await system.home.sleep(until: system.home.now + .seconds(40 * 3600))
                let record = try #require(try await names.record(of: name))
                #expect(record.sequence == 0)
                try record.verify(name, at: system.wallTime)
            }
            #expect(board.puts == 4)
        }
    }

    @Test func whatNobodyTookIsTriedAgainSoon() throws {
        try withHost(limit: .seconds(1_000_000)) { system, _ in
            let board = RecordBoard(system)
            let names = NameSystem(system: system, store: try store(system), routing: board)
            let (own, foreign) = (try testKey(1), try testKey(2))
            let republisher = NameRepublisher(names) { [own] }
            board.isDown = true
            await #expect(throws: RoutingError.noRouter) { try await names.publish(try ContentPath(parsing: first), with: own) }
            let record = try IPNSRecord(.init(value: first, sequence: 7, validity: system.wallTime + .seconds(3600)), with: foreign)
            let name = IPNSName(PeerID(foreign.publicKey))
            try await names.put(record, of: name, sharing: false)
            await #expect(throws: RoutingError.noRouter) { try await names.tell(record, of: name) }
            await republisher.retry()
            #expect(names.untold.withLock { $0.count } == 2 && board.puts == 0)
            board.isDown = false
            await republisher.retry()
            // Ours was signed anew, the other one is as it was.
            #expect(!names.hasUntold && board.puts == 2)
            #expect(try await names.record(of: name) == record)
            await republisher.retry()
            #expect(board.puts == 2)
            // What expires meanwhile is given up.
            board.isDown = true
            await #expect(throws: RoutingError.noRouter) { try await names.tell(record, of: name) }
            try await system.home.sleep(until: system.home.now + .seconds(3601))
            await republisher.retry()
            #expect(!names.hasUntold)
        }
    }

    @Test func theCacheIsBounded() {
        var cache = NameCache(capacity: 3)
        let now = WallTime(nanoseconds: 0)
        for index in 0..<10 {
            cache.remember("\(index)", ContentPath(cid(index)), for: .seconds(10), at: now)
            _ = cache.path(of: "0", at: now)
        }
        #expect(cache.count == 3)
        // The one in use stayed.
        #expect(cache.path(of: "0", at: now) != nil && cache.path(of: "1", at: now) == nil)
        #expect(cache.path(of: "9", at: now + .seconds(10)) == nil)
        var none = NameCache(capacity: 0)
        none.remember("a", ContentPath(cid(1)), for: .seconds(10), at: now)
        #expect(none.count == 0)
    }

    private func cid(_ number: Int) -> CID { KeyspaceKey(testHash(number)).cid! }
}
