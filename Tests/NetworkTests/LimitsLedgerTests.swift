import Testing
import WaggleBase
import WaggleCryptography
import WaggleFormats
@testable import WaggleNetwork

@Suite struct LimitsLedgerTests {
    private func peer(_ number: UInt8) throws -> PeerID {
        PeerID(try IdentityKeyPair(ed25519Seed: SecureBytes([UInt8](repeating: number, count: 32))).publicKey)
    }

    private func limits(_ change: (inout SwarmLimits) -> Void) -> SwarmLimits {
        var limits = SwarmLimits()
        change(&limits)
        return limits
    }

    @Test func countsConnections() throws {
        var ledger = ResourceLedger(limits { $0.connections = 3; $0.inboundConnections = 2; $0.outboundConnections = 2 })
        let ip = IPAddress.v4(0x0101_0101)
        try ledger.begin(.inbound, from: ip)
        try ledger.begin(.inbound, from: ip)
        #expect(ledger.refusal(.inbound, from: ip) == .inboundConnections)
        try ledger.begin(.outbound, from: ip)
        #expect(ledger.refusal(.outbound, from: ip) == .connections)
        ledger.abandon(.inbound, from: ip)
        try ledger.begin(.outbound, from: ip)
        #expect(ledger.refusal(.outbound, from: ip) == .connections)
        ledger.abandon(.inbound, from: ip)
        #expect(ledger.refusal(.outbound, from: ip) == .outboundConnections)
        ledger.abandon(.outbound, from: ip)
        try ledger.establish(.outbound, from: ip, peer: peer(1))
        ledger.release(.outbound, from: ip, peer: try peer(1))
        #expect(ledger.connections == 0)
        #expect(ledger.rows == 0)
    }

    @Test func countsHandshakesPerAddress() throws {
        var ledger = ResourceLedger(limits { $0.pendingPerIP = 2; $0.pendingInbound = 3 })
        let (one, two) = (IPAddress.v4(0x0101_0101), IPAddress.v4(0x0101_0102))
        try ledger.begin(.inbound, from: one)
        try ledger.begin(.inbound, from: one)
        #expect(ledger.refusal(.inbound, from: one) == .pendingPerIP)
        // The IPv4 address inside IPv6 is the same address.
        #expect(ledger.refusal(.inbound, from: .v6(high: 0, low: 0xffff_0101_0101, zone: 0)) == .pendingPerIP)
        try ledger.begin(.inbound, from: two)
        #expect(ledger.refusal(.inbound, from: two) == .pendingInbound)
        // Loopback is not counted per address.
        var local = ResourceLedger(limits { $0.pendingPerIP = 1 })
        for _ in 0..<10 { try local.begin(.inbound, from: .loopback) }
    }

    @Test func countsConnectionsPerAddressAndSubnet() throws {
        var ledger = ResourceLedger(limits { $0.connectionsPerIPv4 = 2; $0.connectionsPerIPv6Subnet = 2; $0.connectionsPerIPv6Site = 3; $0.connectionsPerPeer = 99 })
        func open(_ ip: IPAddress) throws {
            try ledger.begin(.inbound, from: ip)
            try ledger.establish(.inbound, from: ip, peer: peer(1))
        }
        try open(.v4(1 << 24))
        try open(.v4(1 << 24))
        #expect(ledger.refusal(.inbound, from: .v4(1 << 24)) == .connectionsPerIP)
        #expect(ledger.refusal(.inbound, from: .v4(1 << 24 + 1)) == nil)
        #expect(ledger.refusal(.outbound, from: .v4(1 << 24)) == nil)
        let site: UInt64 = 0x2001_0db8_0001_0000
        try open(.v6(high: site, low: 1, zone: 0))
        try open(.v6(high: site, low: 2, zone: 0))
        #expect(ledger.refusal(.inbound, from: .v6(high: site, low: 3, zone: 0)) == .connectionsPerIP)
        try open(.v6(high: site + 1, low: 1, zone: 0))
        #expect(ledger.refusal(.inbound, from: .v6(high: site + 2, low: 1, zone: 0)) == .connectionsPerIP)
        #expect(ledger.refusal(.inbound, from: .v6(high: site + 0x10000, low: 1, zone: 0)) == nil)
        ledger.release(.inbound, from: .v6(high: site, low: 1, zone: 0), peer: try peer(1))
        #expect(ledger.refusal(.inbound, from: .v6(high: site + 2, low: 1, zone: 0)) == nil)
    }

    @Test func countsPerPeer() throws {
        var ledger = ResourceLedger(limits { $0.connectionsPerPeer = 1; $0.streamsPerPeer = 2; $0.streams = 3 })
        let (one, two) = (try peer(1), try peer(2))
        try ledger.begin(.outbound, from: nil)
        try ledger.establish(.outbound, from: nil, peer: one)
        try ledger.begin(.inbound, from: nil)
        #expect(throws: Refusal.connectionsPerPeer) { try ledger.establish(.inbound, from: nil, peer: one) }
        // The handshake is still counted after the refusal.
        #expect(ledger.pendingInbound == 1)
        try ledger.establish(.inbound, from: nil, peer: two)
        try ledger.openStream(of: one)
        try ledger.openStream(of: one)
        #expect(throws: Refusal.streamsPerPeer) { try ledger.openStream(of: one) }
        try ledger.openStream(of: two)
        #expect(throws: Refusal.streams) { try ledger.openStream(of: two) }
        ledger.closeStream(of: one)
        try ledger.openStream(of: two)
        for _ in 0..<2 { ledger.closeStream(of: two) }
        ledger.closeStream(of: one)
        #expect(ledger.inboundStreams == 0)
    }

    @Test func rangesContainWhatTheyShould() throws {
        let range = IPRange(.v4(0x0a01_0203), prefixLength: 8)
        #expect(range.base == .v4(0x0a00_0000))
        #expect(range.contains(.v4(0x0aff_ffff)))
        #expect(!range.contains(.v4(0x0b00_0000)))
        #expect(range.contains(.v6(high: 0, low: 0xffff_0a00_0001, zone: 0)))
        #expect(IPRange(.v4(5), prefixLength: 0).contains(.v4(.max)))
        #expect(!IPRange(.v4(5), prefixLength: 0).contains(.v6(high: 1, low: 0, zone: 0)))
        #expect(IPRange(.v6(high: 0, low: 0, zone: 0), prefixLength: 0).contains(.v6(high: .max, low: 0, zone: 3)))
        let subnet = IPRange(.v6(high: 1, low: 0xff00, zone: 0), prefixLength: 120)
        #expect(subnet.contains(.v6(high: 1, low: 0xffff, zone: 0)))
        #expect(!subnet.contains(.v6(high: 1, low: 0x1_0000, zone: 0)))
        #expect(IPRange(.v4(7), prefixLength: 99).prefixLength == 32)
    }

    @Test func memoryBudgetIsExact() {
        let budget = MemoryBudget(limit: .bytes(100))
        #expect(budget.reserve(60))
        #expect(!budget.reserve(41))
        #expect(budget.reserve(40))
        budget.release(60)
        #expect(budget.used == .bytes(40))
        #expect(!budget.reserve(.max))
        #expect(budget.used == .bytes(40))
    }

    @Test func rulesOfTheGate() throws {
        let gate = ConnectionGate()
        let (one, two) = (try peer(1), try peer(2))
        #expect(gate.refusal(of: one) == nil)
        gate.deny(one)
        #expect(gate.refusal(of: one) == .peerDenied)
        gate.allow(one)
        // Deny wins, and with an allow list everybody else is out.
        #expect(gate.refusal(of: one) == .peerDenied)
        #expect(gate.refusal(of: two) == .peerDenied)
        gate.forget(one)
        #expect(gate.refusal(of: two) == nil)
        gate.deny(IPRange(.v4(0x0a00_0000), prefixLength: 8))
        #expect(gate.refusal(of: .v4(0x0a00_0001)) == .addressDenied)
        #expect(gate.refusal(of: .v6(high: 0, low: 0xffff_0a00_0001, zone: 0)) == .addressDenied)
        #expect(gate.refusal(of: .v4(0x0b00_0001)) == nil)
        gate.allow(IPRange(.v4(0x0c00_0000), prefixLength: 8))
        #expect(gate.refusal(of: .v4(0x0b00_0001)) == .addressDenied)
        #expect(gate.refusal(of: nil as IPAddress?) == .addressDenied)
    }

    @Test func trimsTheLeastValuable() throws {
        let peers = try (1...6).map { try peer(UInt8($0)) }
        func candidate(_ id: UInt64, value: Int = 0, streams: Int = 0, at second: Int64 = 0, _ direction: Direction = .inbound, kept: Bool = false)
            -> TrimPlan.Candidate
        {
            TrimPlan.Candidate(
                id: id, peer: peers[Int(id) - 1], direction: direction, openedAt: Instant(nanoseconds: UInt64(second) * 1_000_000_000), value: value,
                streams: streams, isProtected: kept)
        }
        let now = Instant(nanoseconds: 100_000_000_000)
        let all = [
            candidate(1, value: 5), candidate(2, streams: 1), candidate(3, .outbound), candidate(4, at: 10), candidate(5, kept: true),
            candidate(6, at: 95),
        ]
        #expect(TrimPlan.victims(of: all, low: 6, grace: .seconds(20), at: now).isEmpty)
        #expect(TrimPlan.victims(of: all, low: 5, grace: .seconds(20), at: now) == [4])
        #expect(TrimPlan.victims(of: all, low: 3, grace: .seconds(20), at: now) == [4, 3, 2])
        // Protected and young ones stay, even when too many are left.
        #expect(TrimPlan.victims(of: all, low: 0, grace: .seconds(20), at: now) == [4, 3, 2, 1])
    }

    @Test func backOffDoublesAndIsBounded() {
        var table = DialBackOff<Int>(base: .seconds(5), longest: .seconds(60), capacity: 3)
        let start = Instant(nanoseconds: 0)
        table.failed(1, at: start)
        #expect(table.pause(of: 1, at: start + .seconds(4)) == start + .seconds(5))
        #expect(table.pause(of: 1, at: start + .seconds(5)) == nil)
        table.failed(1, at: start + .seconds(5))
        #expect(table.pause(of: 1, at: start + .seconds(5)) == start + .seconds(15))
        for _ in 0..<40 { table.failed(1, at: start + .seconds(20)) }
        #expect(table.pause(of: 1, at: start + .seconds(20)) == start + .seconds(80))
        table.succeeded(1)
        #expect(table.pause(of: 1, at: start) == nil)
        for key in 1...10 { table.failed(key, at: start + .milliseconds(Int64(key))) }
        #expect(table.count == 3)
        #expect(table.pause(of: 10, at: start + .seconds(1)) != nil)
    }
}
