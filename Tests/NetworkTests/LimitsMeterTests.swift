import Testing
import WaggleBase
import WaggleFormats

@testable import WaggleNetwork

@Suite struct LimitsMeterTests {
    private let start = Instant(nanoseconds: 1_000_000_000)
    private let one = IPAddress.v4(0x0808_0801)

    private func limits(_ change: (inout SwarmLimits) -> Void) -> SwarmLimits {
        var limits = SwarmLimits()
        limits.handshakes = .unlimited
        limits.handshakesPerIP = .unlimited
        limits.handshakesPerSubnet = .unlimited
        change(&limits)
        return limits
    }

    /// How many of `count` attempts at `now` are let in.
    private func admitted(_ meter: inout HandshakeMeter, _ count: Int, from ip: IPAddress, at now: Instant) -> Int {
        (0..<count).reduce(0) { sum, _ in
            do throws(Refusal) {
                try meter.count(from: ip, at: now)
                return sum + 1
            } catch {
                return sum
            }
        }
    }

    @Test func anAddressHasABurstAndARate() {
        var meter = HandshakeMeter(limits { $0.handshakesPerIP = Rate(perSecond: 10, burst: 5) })
        #expect(admitted(&meter, 100, from: one, at: start) == 5)
        #expect(meter.refusal(from: one, at: start) == .handshakeRatePerIP)
        #expect(admitted(&meter, 100, from: one, at: start + .milliseconds(99)) == 0)
        #expect(admitted(&meter, 100, from: one, at: start + .milliseconds(100)) == 1)
        #expect(admitted(&meter, 100, from: one, at: start + .milliseconds(1100)) == 5)
        // Another address has its own; the address inside IPv6 is the same.
        #expect(admitted(&meter, 1, from: .v4(0x0808_0802), at: start) == 1)
        #expect(meter.refusal(from: .v6(high: 0, low: 0xffff_0808_0801, zone: 0), at: start + .milliseconds(1100)) == .handshakeRatePerIP)
        // Loopback is not counted.
        #expect(admitted(&meter, 100, from: .loopback, at: start) == 100)
    }

    @Test func subnetsShareARateButPrivateNetworksDoNot() {
        let limits = limits { $0.handshakesPerSubnet = Rate(perSecond: 1, burst: 8) }
        var meter = HandshakeMeter(limits)
        #expect((0..<100).reduce(0) { $0 + admitted(&meter, 1, from: .v4(0x0808_0800 + UInt32($1)), at: start) } == 8)
        #expect(admitted(&meter, 1, from: .v4(0x0808_0901), at: start) == 1)
        #expect((0..<100).reduce(0) { $0 + admitted(&meter, 1, from: .v4(0x0a00_0000 + UInt32($1)), at: start) } == 100)
        // IPv6: a /64 is one user, a /48 one site.
        let site: UInt64 = 0x2a00_0001_0002_0000
        #expect((0..<100).reduce(0) { $0 + admitted(&meter, 1, from: .v6(high: site + UInt64($1), low: 1, zone: 0), at: start) } == 8)
        var perUser = HandshakeMeter(self.limits { $0.handshakesPerIP = Rate(perSecond: 1, burst: 3) })
        #expect((0..<100).reduce(0) { $0 + admitted(&perUser, 1, from: .v6(high: site, low: UInt64($1), zone: 0), at: start) } == 3)
    }

    @Test func aFloodFromOneAddressTakesNothingFromTheRest() {
        var meter = HandshakeMeter(
            limits {
                $0.handshakes = Rate(perSecond: 100, burst: 50)
                $0.handshakesPerIP = Rate(perSecond: 10, burst: 10)
            })
        #expect(admitted(&meter, 10_000, from: one, at: start) == 10)
        #expect((0..<100).reduce(0) { $0 + admitted(&meter, 1, from: .v4(0x0b00_0000 + UInt32($1)), at: start) } == 40)
        #expect(meter.refusal(from: .v4(0x0c00_0000), at: start) == .handshakeRate)
    }

    @Test func rowsAreBounded() {
        var meter = HandshakeMeter(
            limits {
                $0.meteredPrefixes = 100
                $0.handshakesPerIP = Rate(perSecond: 1, burst: 3)
            })
        for number in 0..<100_000 as Range<UInt32> { _ = admitted(&meter, 1, from: .v4(0x1000_0000 + number), at: start) }
        #expect(meter.rows <= 100)
    }

    @Test func extremeRatesAreHarmless() {
        for rate in [Rate(perSecond: 0, burst: 0), Rate(perSecond: 1e-9, burst: .max), Rate(perSecond: 1e30, burst: 1), .unlimited] {
            var meter = HandshakeMeter(limits { $0.handshakesPerIP = rate; $0.handshakes = rate })
            _ = admitted(&meter, 10, from: one, at: start)
            _ = admitted(&meter, 10, from: one, at: .distantFuture)
        }
        var slow = SwarmLimits()
        slow.slowHandshakes(by: 40)
        #expect(slow.handshakesPerIP == Rate(perSecond: 0.5, burst: 16) && slow.handshakes == Rate(perSecond: 12.5, burst: 16))
    }

    @Test func handshakesOfASubnetAreCountedTogether() throws {
        var limits = SwarmLimits()
        limits.pendingPerSubnet = 5
        var ledger = ResourceLedger(limits)
        for number in 0..<5 as Range<UInt32> { try ledger.begin(.inbound, from: .v4(0x0808_0800 + number)) }
        #expect(ledger.refusal(.inbound, from: .v4(0x0808_0880)) == .pendingPerIP)
        #expect(ledger.refusal(.inbound, from: .v4(0x0808_0980)) == nil)
        for number in 0..<5 as Range<UInt32> { ledger.abandon(.inbound, from: .v4(0x0808_0800 + number)) }
        #expect(ledger.rows == 0)
    }
}
