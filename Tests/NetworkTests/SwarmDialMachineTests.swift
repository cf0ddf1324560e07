import Testing
import WaggleBase
import WaggleFormats
@testable import WaggleNetwork

@Suite struct SwarmDialMachineTests {
    private let start = Instant(nanoseconds: 1_000)
    private func address(_ text: String) throws -> Multiaddr { try Multiaddr(parsing: text) }

    private func drain(_ machine: inout DialMachine) -> [DialMachine.Output] {
        var outputs: [DialMachine.Output] = []
        while let output = machine.next() { outputs.append(output) }
        return outputs
    }

    @Test func ranksByPlaceAndFamily() throws {
        let texts = [
            "/ip4/1.2.3.4/tcp/1", "/ip4/1.2.3.4/tcp/1/p2p/12D3KooWGC6TvWhfapngX6wvJHMYvKpDMXPb3ZnCZ6dMoaMtimQ5/p2p-circuit", "/ip6/2001:db8::1/tcp/1",
            "/ip4/10.0.0.1/tcp/1", "/ip4/127.0.0.1/tcp/1", "/ip4/1.2.3.4/tcp/1", "/ip4/5.6.7.8/tcp/1",
        ]
        let ranked = AddressRanking.rank(try texts.map(address))
        #expect(
            ranked.map(\.address.description) == [
                "/ip4/127.0.0.1/tcp/1", "/ip4/10.0.0.1/tcp/1", "/ip6/2001:db8::1/tcp/1", "/ip4/1.2.3.4/tcp/1", "/ip4/5.6.7.8/tcp/1", texts[1],
            ])
        #expect(ranked.map(\.delay) == [0, 30, 60, 310, 560, 1310].map { Duration.milliseconds($0) })
    }

    @Test func staggersAndMovesUpAfterFailure() throws {
        let (a, b, c) = (try address("/ip4/1.1.1.1/tcp/1"), try address("/ip4/1.1.1.2/tcp/1"), try address("/ip4/1.1.1.3/tcp/1"))
        var machine = DialMachine(concurrency: 2, addressLimit: 8, end: start + .seconds(60))
        machine.handle(.add(AddressRanking.rank([a, b, c])), at: start)
        #expect(drain(&machine) == [.dial(a)])
        #expect(machine.deadline == start + .milliseconds(250))
        machine.handle(.failed(a, .timedOut), at: start + .milliseconds(10))
        #expect(drain(&machine) == [.dial(b)])
        machine.handle(.tick, at: start + .milliseconds(600))
        #expect(drain(&machine) == [.dial(c)])
        machine.handle(.failed(b, .timedOut), at: start + .milliseconds(700))
        #expect(drain(&machine).isEmpty)
        machine.handle(.failed(c, .cancelled), at: start + .milliseconds(800))
        #expect(
            drain(&machine) == [
                .exhausted([a, b].map { DialFailure(address: $0, cause: .timedOut) } + [DialFailure(address: c, cause: .cancelled)])
            ])
        #expect(machine.deadline == nil)
    }

    @Test func keepsToItsBounds() throws {
        let addresses = try (1...100).map { try address("/ip4/1.1.1.\($0)/tcp/1") }
        var machine = DialMachine(concurrency: 3, addressLimit: 10, end: start + .seconds(60))
        machine.handle(.add(addresses.map { RankedAddress(address: $0, delay: .zero) }), at: start)
        var outputs = drain(&machine)
        #expect(outputs.count == 3)
        var dialed = 3
        while case .dial(let address)? = outputs.first {
            outputs.removeFirst()
            machine.handle(.failed(address, .timedOut), at: start)
            let more = drain(&machine)
            dialed += more.filter { if case .dial = $0 { true } else { false } }.count
            outputs += more
        }
        #expect(dialed == 10)
        guard case .exhausted(let failures)? = outputs.first else { throw TestError.unexpected }
        #expect(failures.count == 10)
    }

    @Test func endsInTime() throws {
        let a = try address("/ip4/1.1.1.1/tcp/1")
        var machine = DialMachine(concurrency: 3, addressLimit: 10, end: start + .seconds(60))
        machine.handle(.add([RankedAddress(address: a, delay: .zero)]), at: start)
        #expect(drain(&machine) == [.dial(a)])
        #expect(machine.deadline == start + .seconds(60))
        machine.handle(.tick, at: start + .seconds(60))
        #expect(drain(&machine) == [.timedOut([DialFailure(address: a, cause: .timedOut)])])
        // Nothing more comes, whatever goes in.
        machine.handle(.failed(a, .timedOut), at: start + .seconds(61))
        machine.handle(.tick, at: start + .seconds(62))
        #expect(drain(&machine).isEmpty)
    }

    @Test func takesMoreAddressesOnTheWay() throws {
        let (a, b) = (try address("/ip4/1.1.1.1/tcp/1"), try address("/ip4/1.1.1.2/tcp/1"))
        var machine = DialMachine(concurrency: 3, addressLimit: 10, end: start + .seconds(60))
        machine.handle(.add([RankedAddress(address: a, delay: .zero)]), at: start)
        machine.handle(.add([RankedAddress(address: b, delay: .zero), RankedAddress(address: a, delay: .zero)]), at: start)
        #expect(drain(&machine) == [.dial(a), .dial(b)])
    }
}
