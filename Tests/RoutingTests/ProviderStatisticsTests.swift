import Testing
import WaggleBase
import WaggleFormats
import WaggleNetwork
import WaggleSimulation

@testable import WaggleContent

@Suite struct ProviderStatisticsTests {
    private func provider(_ number: UInt8) -> ContentProvider { ContentProvider(peer: testPeer(number), addresses: []) }

    @Test func thoseWhoServeWellComeFirst() throws {
        try withHost(limit: .seconds(5_000_000)) { system, _ in
            let statistics = try ProviderStatistics(system: system)
            for _ in 0..<10 {
                statistics.update(testPeer(1), success: true, latency: .milliseconds(20), bytes: 1 << 20, over: .milliseconds(100))
                statistics.update(testPeer(2), success: true, latency: .milliseconds(400), bytes: 1 << 20, over: .milliseconds(20))
                statistics.update(testPeer(3), success: false)
            }
            let all = [3, 4, 2, 1].map { provider(UInt8($0)) }
            // The near one for little, the fast one for much; the unknown one before the one that never answers.
            #expect(statistics.ordered(all, bytes: 1000).map(\.peer) == [1, 2, 4, 3].map { testPeer($0) })
            #expect(statistics.ordered(all, bytes: 100 << 20).map(\.peer) == [2, 1, 4, 3].map { testPeer($0) })
            #expect(statistics.ordered(all, bytes: 1000, preferring: [testPeer(3)]).first?.peer == testPeer(3))
            // Failures fade: after a month it is as good as unknown.
            try await system.home.sleep(until: system.home.now + .seconds(20 * 24 * 3600))
            #expect(statistics.record(of: testPeer(3)).map { $0.reliability > 0.49 } == true)
            #expect(statistics.record(of: testPeer(1))?.bytes == 10 << 20)
        }
    }

    @Test func theyOutliveARestart() throws {
        try withHost { system, _ in
            let store = try system.openStore("/data", tables: [ProviderStatistics.table], capacity: 1 << 20)
            let statistics = try ProviderStatistics(system: system, store: store)
            statistics.update(testPeer(1), success: true, latency: .milliseconds(20), bytes: 1000)
            statistics.update(testPeer(2), success: false)
            await statistics.close()
            let again = try ProviderStatistics(system: system, store: store)
            #expect(again.all.map(\.peer) == [testPeer(1), testPeer(2)])
            #expect(again.record(of: testPeer(1)) == statistics.record(of: testPeer(1)))
            #expect(again.expectedTime(testPeer(1)) < again.expectedTime(testPeer(2)))
        }
    }

    @Test func theyAreBounded() throws {
        try withHost { system, _ in
            let statistics = try ProviderStatistics(system: system)
            func peer(_ number: Int) throws -> PeerID { try PeerID(testHash(number)) }
            for number in 0..<ProviderLimits.peers + 10 {
                statistics.update(try peer(number), success: true)
                if number % 100 == 0 { try await system.home.sleep(until: system.home.now + .seconds(1)) }
            }
            #expect(statistics.all.count == ProviderLimits.peers)
            #expect(statistics.record(of: try peer(ProviderLimits.peers + 9)) != nil)
        }
    }

    @Test func recordsAreReadStrictly() throws {
        var record = ProviderRecord(at: newYear)
        record.update(success: true, latency: .seconds(1), bytes: 50_000, over: .seconds(2), at: newYear)
        #expect(try ProviderRecord(decoding: record.encode()) == record)
        var writer = ProtobufWriter()
        writer.write(1, double: .nan)
        let bad = writer.finish()
        #expect(throws: ProtobufError.self) { _ = try ProviderRecord(decoding: bad) }
        // A clock that goes back, and one that jumps far ahead.
        #expect(record.aged(to: WallTime(nanoseconds: .min)) == record)
        #expect(record.aged(to: WallTime(nanoseconds: .max)).successes == 0)
    }

    @Test func discoveryChoosesAmongWhatItFinds() throws {
        try withHost { system, _ in
            let statistics = try ProviderStatistics(system: system)
            let routing = FoundProviders((1...9).map { provider($0) })
            let discovery = ContentDiscovery(routing: routing, statistics: statistics, on: system.home)
            discovery.update(testPeer(7), success: true, latency: .milliseconds(1), bytes: 1 << 20)
            discovery.update(testPeer(1), success: false)
            let cid = KeyspaceKey(testHash(1)).cid!
            #expect(try await discovery.findProviders(of: cid, count: 3).map(\.peer) == [1, 2, 3].map { testPeer($0) })
            let best = try await discovery.optimalProviders(of: cid, preferring: [testPeer(4)], count: 3)
            #expect(best.map(\.peer) == [4, 7, 2].map { testPeer($0) })
        }
    }
}

struct FoundProviders: ContentRouting {
    let providers: [ContentProvider]
    init(_ providers: [ContentProvider]) { self.providers = providers }

    func findProviders(of cid: CID, _ found: @Sendable (ContentProvider) async -> Bool) async throws {
        for provider in providers where await !found(provider) { return }
    }

    func provide(_ cid: CID) async throws { throw RoutingError.unsupported }
}
