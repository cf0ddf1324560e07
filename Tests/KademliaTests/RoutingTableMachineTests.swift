import Testing
import WaggleBase
import WaggleFormats
import WaggleNetwork
@testable import WaggleServices
import WaggleSimulation

@Suite struct RoutingTableMachineTests {
    private let own = KademliaKey(hashing: "own" as Bytes)
    private let start = Instant(nanoseconds: 1_000_000_000)

    private func drain(_ table: inout RoutingTableMachine) -> [RoutingTableMachine.Output] {
        var outputs: [RoutingTableMachine.Output] = []
        while let output = table.next() { outputs.append(output) }
        return outputs
    }

    /// Peers with exactly `prefix` bits in common with our own place.
    private func peers(prefix: Int, count: Int, from first: UInt64 = 0) -> [KademliaContact] {
        var found: [KademliaContact] = []
        var number = first
        while found.count < count {
            if KademliaKey(peerID(number)).commonPrefix(with: own) == prefix { found.append(contact(number)) }
            number += 1
        }
        return found
    }

    /// The closest peers are the same that sorting the whole table gives.
    @Test func closestIsWhatSortingGives() {
        var table = RoutingTableMachine(own: own, now: start)
        for number in 0..<2000 { table.handle(.confirmed(contact(UInt64(number)), isConnected: false), at: start) }
        #expect(table.count > 100)
        for number in 0..<200 {
            let target = number == 0 ? own : KademliaKey(peerID(UInt64(number * 17)))
            for count in [1, 3, 20, 500] {
                let sorted = table.rows.filter { $0.key != target }.sorted { ($0.key ^ target) < ($1.key ^ target) }.prefix(count).map(\.contact)
                #expect(table.closest(to: target, count: count, excluding: target) == Array(sorted))
            }
        }
        #expect((1000.0...4000.0).contains(table.estimatedNetworkSize))
    }

    @Test func longLivedPeersStay() {
        var table = RoutingTableMachine(own: own, now: start)
        let many = peers(prefix: 0, count: 22)
        for contact in many[..<20] { table.handle(.confirmed(contact, isConnected: true), at: start) }
        #expect(drain(&table).count == 20)
        // All answered lately: nobody has to go.
        table.handle(.confirmed(many[20], isConnected: true), at: start + .seconds(60))
        #expect(drain(&table).isEmpty)
        #expect(table.count == 20)
        // The one that was silent longest is checked, and stays if it answers.
        for contact in many[1..<20] { table.handle(.answered(contact.peer), at: start + .seconds(300)) }
        table.handle(.confirmed(many[20], isConnected: true), at: start + .seconds(700))
        #expect(drain(&table) == [.check(many[0].peer)])
        table.handle(.answered(many[0].peer), at: start + .seconds(701))
        #expect(drain(&table).isEmpty)
        #expect(table.row(of: many[20].peer) == nil)
        // When it does not, the newcomer that was heard of last takes its place.
        table.handle(.confirmed(many[21], isConnected: true), at: start + .seconds(1000))
        #expect(drain(&table) == [.check(many[1].peer)])
        table.handle(.failed(many[1].peer), at: start + .seconds(1001))
        #expect(drain(&table) == [.removed(many[1].peer), .added(many[21].peer)])
        #expect(table.count == 20)
    }

    @Test func oldFriendsMayBeMissingOnce() {
        var table = RoutingTableMachine(own: own, now: start)
        table.handle(.confirmed(contact(1), isConnected: false), at: start)
        table.handle(.failed(contact(1).peer), at: start + .seconds(4000))
        #expect(table.count == 1)
        table.handle(.failed(contact(1).peer), at: start + .seconds(4001))
        #expect(table.count == 0)
        table.handle(.confirmed(contact(2), isConnected: false), at: start)
        table.handle(.failed(contact(2).peer), at: start + .seconds(10))
        #expect(table.count == 0)
    }

    @Test func oneNetworkGetsFewPlaces() {
        var table = RoutingTableMachine(own: own, now: start)
        for number in 0..<100 { table.handle(.confirmed(contact(UInt64(number), ["/ip4/8.8.\(number).1/tcp/1"]), isConnected: false), at: start) }
        #expect(table.count <= KademliaLimits.groupPerTable)
        #expect(table.buckets.allSatisfy { $0.rows.count <= KademliaLimits.groupPerBucket })
        #expect(table.buckets.allSatisfy { $0.waiting.count <= KademliaLimits.waitingPerBucket })
        // Others are not kept out by them.
        for number in 0..<100 { table.handle(.confirmed(contact(UInt64(1000 + number), ["/ip4/9.\(number).1.1/tcp/1"]), isConnected: false), at: start) }
        #expect(table.count > 30)
        // A peer cannot move into a network that has its places.
        let stranger = table.rows.first { $0.contact.addresses[0].description.hasPrefix("/ip4/9.") }!.contact.peer
        table.handle(.confirmed(KademliaContact(peer: stranger, addresses: [Multiaddr("/ip4/8.8.7.7/tcp/1")!]), isConnected: false), at: start)
        #expect(table.row(of: stranger) == nil)
        #expect(table.rows.count { $0.contact.addresses[0].description.hasPrefix("/ip4/8.8.") } <= KademliaLimits.groupPerTable)
    }

    /// What peers say of their addresses does not matter where their connections show where they are.
    @Test func oneNetworkCannotPretendToBeMany() {
        var table = RoutingTableMachine(own: own, now: start)
        let group = IPGroup(.v4(0x0808_0101))
        for number in 0..<60 {
            let addresses = [number % 2 == 0 ? "/ip4/9.\(number).1.1/tcp/1" : "/dns4/host\(number).example.org/tcp/1"]
            table.handle(.confirmed(contact(UInt64(number), addresses), isConnected: true, group: group), at: start)
        }
        #expect(table.count == KademliaLimits.groupPerTable)
        // Nor by coming from somewhere else first.
        for number in 100..<104 { table.handle(.confirmed(contact(UInt64(number)), isConnected: true, group: IPGroup(.v4(0x0900_0101 + UInt32(number) << 16))), at: start) }
        #expect(table.count == KademliaLimits.groupPerTable + 4)
        for number in 100..<104 { table.handle(.confirmed(contact(UInt64(number)), isConnected: true, group: group), at: start) }
        #expect(table.count == KademliaLimits.groupPerTable)
    }

    @Test func bucketsAreRefreshedAndSilentPeersChecked() {
        var table = RoutingTableMachine(own: own, now: start)
        table.handle(.tick, at: start)
        #expect(drain(&table).isEmpty)
        for contact in peers(prefix: 0, count: 3) + peers(prefix: 2, count: 2) { table.handle(.confirmed(contact, isConnected: false), at: start) }
        _ = drain(&table)
        table.handle(.tick, at: start + .seconds(30))
        let first = drain(&table)
        #expect(first == [.refresh(bucket: 0), .refresh(bucket: 1), .refresh(bucket: 2), .refresh(bucket: 3)])
        table.handle(.tick, at: start + .seconds(60))
        #expect(drain(&table).isEmpty)
        for bucket in 0..<4 { table.handle(.refreshed(bucket: bucket), at: start + .seconds(61)) }
        table.handle(.tick, at: start + .seconds(620))
        let checks = drain(&table)
        #expect(checks.count { if case .check = $0 { true } else { false } } == 5)
        table.handle(.tick, at: start + .seconds(700))
        #expect(drain(&table).count { if case .refresh = $0 { true } else { false } } == 4)
    }

    /// What the search for our own place has shown is not searched through again.
    @Test func surveyedBucketsAreLeftAlone() {
        var table = RoutingTableMachine(own: own, now: start)
        for prefix in 0..<6 { for contact in peers(prefix: prefix, count: 3) { table.handle(.confirmed(contact, isConnected: false), at: start) } }
        table.handle(.surveyed(from: 3), at: start + .seconds(1))
        _ = drain(&table)
        table.handle(.tick, at: start + .seconds(30))
        #expect(drain(&table) == [.refresh(bucket: 0), .refresh(bucket: 1), .refresh(bucket: 2)])
        for bucket in 0..<3 { table.handle(.refreshed(bucket: bucket), at: start + .seconds(31)) }
        // When no such search comes again, they are searched as all others.
        table.handle(.tick, at: start + .seconds(800))
        #expect(drain(&table).count { if case .refresh = $0 { true } else { false } } == 7)
    }

    @Test func checksAreBounded() {
        var table = RoutingTableMachine(own: own, now: start)
        for number in 0..<500 { table.handle(.confirmed(contact(UInt64(number)), isConnected: false), at: start) }
        _ = drain(&table)
        table.handle(.tick, at: start + .seconds(1000))
        #expect(drain(&table).count { if case .check = $0 { true } else { false } } == KademliaLimits.checks)
    }

    /// Any course of events keeps the books.
    @Test func theBooksAreKept() {
        var random = SeededRandom(seed: 5)
        var table = RoutingTableMachine(own: own, now: start)
        var now = start
        var members: Set<PeerID> = []
        for _ in 0..<20_000 {
            now = now + .seconds(Int.random(in: 0...20, using: &random))
            let number = UInt64.random(in: 0..<300, using: &random)
            let peer = peerID(number)
            switch Int.random(in: 0..<10, using: &random) {
            case 0..<5:
                let contact = contact(number, ["/ip4/8.\(Int.random(in: 0..<60, using: &random)).1.1/tcp/1"])
                table.handle(.confirmed(contact, isConnected: Bool.random(using: &random)), at: now)
            case 5, 6: table.handle(.failed(peer), at: now)
            case 7: table.handle(.answered(peer), at: now)
            case 8: table.handle(.left(peer), at: now)
            default: table.handle(.tick, at: now)
            }
            while let output = table.next() {
                switch output {
                case .added(let peer): #expect(members.insert(peer).inserted)
                case .removed(let peer): #expect(members.remove(peer) != nil)
                case .refresh(let bucket): table.handle(.refreshed(bucket: bucket), at: now)
                case .check(let peer): if Bool.random(using: &random) { table.handle(.answered(peer), at: now) } else { table.handle(.failed(peer), at: now) }
                }
            }
        }
        #expect(Set(table.rows.map(\.contact.peer)) == members)
        #expect(table.count == members.count)
        let groups = Dictionary(grouping: table.rows.compactMap(\.group)) { $0 }
        #expect(groups.values.allSatisfy { $0.count <= KademliaLimits.groupPerTable })
        #expect(table.buckets.allSatisfy { $0.rows.count <= 20 && $0.keys.count == $0.rows.count })
    }
}
