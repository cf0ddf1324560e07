import Testing
import WaggleBase
import WaggleFormats
import WaggleNetwork
@testable import WaggleServices
import WaggleSimulation

/// Searches through networks that are tables in memory.
@Suite struct LookupMachineTests {
    private let start = Instant(nanoseconds: 1_000_000_000)
    private let target = KademliaKey(hashing: "target" as Bytes)

    private func candidate(_ number: UInt64, _ address: String? = nil) -> LookupMachine.Candidate {
        LookupMachine.Candidate(contact(number, address.map { [$0] }))
    }

    private func settings(_ change: (inout LookupMachine.Settings) -> Void = { _ in }) -> LookupMachine.Settings {
        var settings = LookupMachine.Settings(end: start + .seconds(60))
        change(&settings)
        return settings
    }

    private func asks(_ machine: inout LookupMachine) -> [(Int, PeerID)] {
        var asked: [(Int, PeerID)] = []
        while let output = machine.next() { if case .ask(let number, let contact) = output { asked.append((number, contact.peer)) } }
        return asked
    }

    /// Everybody knows the 20 closest of everybody: two steps find the very closest.
    @Test func findsTheClosest() {
        let all = (0..<300).map { candidate(UInt64($0)) }
        let sorted = all.sorted { ($0.key ^ target) < ($1.key ^ target) }
        var machine = LookupMachine(target: target, own: KademliaKey(peerID(999)), settings: settings())
        machine.handle(.begin(Array(all[..<20])), at: start)
        var asked = 0
        while !machine.isOver {
            let questions = asks(&machine)
            #expect(!questions.isEmpty || machine.isOver)
            for (number, _) in questions {
                asked += 1
                machine.handle(.answered(number, closer: Array(sorted[..<20])), at: start)
            }
        }
        #expect(machine.closest.map(\.key) == sorted[..<20].map(\.key))
        #expect(asked <= 40)
        #expect(machine.hops <= 2)
    }

    @Test func neverMoreThanAlphaAtOnceAndNobodyTwice() {
        let all = (0..<300).map { candidate(UInt64($0)) }
        var machine = LookupMachine(target: target, own: KademliaKey(peerID(999)), settings: settings())
        var random = SeededRandom(seed: 3)
        machine.handle(.begin(Array(all[..<40])), at: start)
        var open: [Int] = []
        var seen: Set<PeerID> = []
        var most = 0
        while !machine.isOver {
            for (number, peer) in asks(&machine) {
                open.append(number)
                #expect(seen.insert(peer).inserted)
            }
            most = max(most, open.count)
            guard !open.isEmpty else { break }
            let number = open.remove(at: Int.random(in: 0..<open.count, using: &random))
            if Int.random(in: 0..<4, using: &random) == 0 {
                machine.handle(.failed(number), at: start)
            } else {
                machine.handle(.answered(number, closer: (0..<20).map { _ in all[Int.random(in: 0..<300, using: &random)] }), at: start)
            }
        }
        #expect(machine.isOver)
        #expect(most <= 10)
    }

    @Test func slowPeersHoldNobodyUp() {
        let all = (0..<3).map { candidate(UInt64($0)) }.sorted { ($0.key ^ target) < ($1.key ^ target) }
        var machine = LookupMachine(
            target: target, own: KademliaKey(peerID(999)), settings: settings { ($0.alpha, $0.beta, $0.paths, $0.patience) = (3, 1, 1, .seconds(1)) })
        machine.handle(.begin(all), at: start)
        let questions = asks(&machine)
        #expect(questions.count == 3)
        #expect(machine.deadline == start + .seconds(1))
        machine.handle(.answered(questions[1].0, closer: []), at: start + .milliseconds(100))
        machine.handle(.answered(questions[2].0, closer: []), at: start + .milliseconds(100))
        #expect(!machine.isOver)
        machine.handle(.tick, at: start + .seconds(1))
        #expect(machine.isOver)
        #expect(machine.closest.count == 2)
    }

    /// When nobody else answers, even a slow answer is worth waiting for.
    @Test func slowPeersAreBetterThanNone() {
        var machine = LookupMachine(target: target, own: KademliaKey(peerID(999)), settings: settings { $0.patience = .seconds(1) })
        machine.handle(.begin([candidate(1)]), at: start)
        let questions = asks(&machine)
        machine.handle(.tick, at: start + .seconds(2))
        #expect(!machine.isOver)
        machine.handle(.answered(questions[0].0, closer: []), at: start + .seconds(5))
        #expect(machine.isOver)
        #expect(machine.closest.count == 1)
    }

    @Test func endsInTime() {
        var machine = LookupMachine(target: target, own: KademliaKey(peerID(999)), settings: settings())
        machine.handle(.begin((0..<20).map { candidate(UInt64($0)) }), at: start)
        machine.handle(.tick, at: start + .seconds(60))
        #expect(machine.isOver)
        #expect(machine.deadline == nil)
        // What comes later changes nothing.
        machine.handle(.answered(0, closer: [candidate(50)]), at: start + .seconds(61))
        #expect(machine.closest.isEmpty)
        var empty = LookupMachine(target: target, own: KademliaKey(peerID(999)), settings: settings())
        empty.handle(.begin([]), at: start)
        #expect(empty.isOver)
    }

    /// Peers that name others without end are bounded, and ourselves are never asked.
    @Test func namingWithoutEndIsBounded() {
        var machine = LookupMachine(target: target, own: KademliaKey(peerID(7)), settings: settings())
        machine.handle(.begin([candidate(1), candidate(7)]), at: start)
        var next: UInt64 = 1000
        var count = 0
        while !machine.isOver {
            for (number, peer) in asks(&machine) {
                #expect(peer != peerID(7))
                count += 1
                machine.handle(.answered(number, closer: (0..<32).map { candidate(next + UInt64($0)) }), at: start)
                next += 32
            }
        }
        #expect(count <= KademliaLimits.requestsPerLookup)
    }

    /// A crowd from one network around the target: only a few of it count, so the honest peers behind are found.
    @Test func aCrowdFromOneNetworkIsPassedBy() {
        let honest = (0..<100).map { candidate(UInt64($0), "/ip4/9.\($0).1.1/tcp/1") }
        let crowd = (0..<4000).map { candidate(UInt64(10_000 + $0), "/ip4/8.8.\($0 % 200).1/tcp/1") }.sorted { ($0.key ^ target) < ($1.key ^ target) }
        let near = honest.sorted { ($0.key ^ target) < ($1.key ^ target) }
        var machine = LookupMachine(target: target, own: KademliaKey(peerID(999_999)), settings: settings())
        machine.handle(.begin(Array(honest[..<20])), at: start)
        while !machine.isOver {
            for (number, peer) in asks(&machine) {
                let isHonest = honest.contains { $0.contact.peer == peer }
                machine.handle(.answered(number, closer: isHonest ? Array(crowd[..<10]) + Array(near[..<20]) : Array(crowd[..<20])), at: start)
            }
        }
        let found = machine.closest
        #expect(found.count { $0.contact.addresses[0].description.hasPrefix("/ip4/8.8.") } <= KademliaLimits.groupPerLookup)
        #expect(found.count { candidate in near[..<15].contains { $0.key == candidate.key } } == 15)
    }

    /// Addresses that are made up do not help a crowd either: where its connections lead counts.
    @Test func aCrowdCannotPretendToBeElsewhere() {
        let honest = (0..<100).map { candidate(UInt64($0), "/ip4/9.\($0).1.1/tcp/1") }
        let crowd = (0..<400).map { candidate(UInt64(10_000 + $0), "/ip4/\(11 + $0 / 200).\($0 % 200).1.1/tcp/1") }
            .sorted { ($0.key ^ target) < ($1.key ^ target) }
        let near = honest.sorted { ($0.key ^ target) < ($1.key ^ target) }
        var machine = LookupMachine(target: target, own: KademliaKey(peerID(999_999)), settings: settings())
        machine.handle(.begin(Array(honest[..<20])), at: start)
        while !machine.isOver {
            for (number, peer) in asks(&machine) {
                let isHonest = honest.contains { $0.contact.peer == peer }
                let group = isHonest ? nil : IPGroup(.v4(0x0808_0808))
                machine.handle(.answered(number, closer: Array(crowd[..<10]) + Array(near[..<10]), group: group), at: start)
            }
        }
        #expect(machine.closest.count { candidate in crowd.contains { $0.key == candidate.key } } <= KademliaLimits.groupPerLookup)
        #expect(machine.closest.count { candidate in near[..<10].contains { $0.key == candidate.key } } == 10)
    }

    /// One path that is led astray does not lead the others astray.
    @Test func pathsAreDisjoint() {
        let all = (0..<200).map { candidate(UInt64($0)) }.sorted { ($0.key ^ target) < ($1.key ^ target) }
        let seeds = Array(all[100..<103])
        let liar = seeds[0].key
        let lies = (0..<20).map { candidate(UInt64(5000 + $0)) }
        var machine = LookupMachine(
            target: target, own: KademliaKey(peerID(999)), settings: settings { ($0.alpha, $0.paths, $0.beta) = (3, 3, 3) })
        machine.handle(.begin(seeds), at: start)
        while !machine.isOver {
            for (number, peer) in asks(&machine) {
                let key = KademliaKey(peer)
                if key == liar || lies.contains(where: { $0.key == key }) {
                    machine.handle(.answered(number, closer: lies), at: start)
                } else {
                    machine.handle(.answered(number, closer: Array(all[..<20])), at: start)
                }
            }
        }
        #expect(Set(machine.closest.map(\.key)).intersection(all[..<15].map(\.key)).count == 15)
    }

    @Test func networkSizeIsEstimated() {
        var random = SeededRandom(seed: 4)
        func place() -> KademliaKey { KademliaKey(random.next(), random.next(), random.next(), random.next()) }
        let peers = (0..<5000).map { _ in place() }
        var size = NetworkSize()
        for _ in 0..<9 {
            let target = place()
            size.record(Array(peers.sorted { ($0 ^ target) < ($1 ^ target) }[..<20]), around: target)
        }
        let estimate = size.estimate ?? 0
        #expect((3500.0...7000.0).contains(estimate))
        // Quiet surroundings are not suspicious; a crowd is.
        var alarms = 0
        for _ in 0..<200 {
            let target = place()
            let closest = Array(peers.sorted { ($0 ^ target) < ($1 ^ target) }[..<20])
            if !NetworkSize.neighbours(of: target, found: closest, k: 20, size: estimate).isEmpty { alarms += 1 }
        }
        #expect(alarms <= 2)
        let target = place()
        let crowd = (0..<20).map { _ in target.sibling(at: 14, rest: place()) }.sorted { ($0 ^ target) < ($1 ^ target) }
        let turns = NetworkSize.neighbours(of: target, found: crowd, k: 20, size: estimate)
        #expect(turns.first == 6 || turns.first == 7)
        #expect(turns.count <= KademliaLimits.extraLookups)
    }
}
