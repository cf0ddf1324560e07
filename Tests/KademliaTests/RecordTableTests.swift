import Testing
import WaggleBase
import WaggleFormats
import WaggleNetwork
@testable import WaggleServices

@Suite struct RecordTableTests {
    private let own = KademliaKey(hashing: "own" as Bytes)
    private let now = WallTime(nanoseconds: 1_767_225_600_000_000_000)

    private func place(_ number: Int) -> KademliaKey { KademliaKey(hashing: Bytes(utf8: "key \(number)")) }

    @Test func providersExpireAfterTwoDays() throws {
        var table = ProviderTable(own: own)
        try table.add(contact(1), for: place(1), at: now)
        try table.add(contact(2), for: place(1), at: now + .seconds(3600))
        #expect(table.contacts(of: place(1), at: now + .seconds(47 * 3600)).map(\.peer) == [peerID(1), peerID(2)])
        #expect(table.contacts(of: place(1), at: now + .seconds(48 * 3600 + 1)).map(\.peer) == [peerID(2)])
        // Telling it again makes it last.
        try table.add(contact(1), for: place(1), at: now + .seconds(40 * 3600))
        #expect(table.count == 2)
        table.sweep(at: now + .seconds(60 * 3600))
        #expect(table.contacts(of: place(1), at: now + .seconds(60 * 3600)).map(\.peer) == [peerID(1)])
        #expect(table.count == 1 && table.providerCount == 1)
        table.sweep(at: now + .seconds(100 * 3600))
        #expect(table.count == 0 && table.providerCount == 0 && table.keyCount == 0)
    }

    @Test func oneProviderGetsItsQuota() throws {
        var table = ProviderTable(own: own, limit: 1000, limitPerProvider: 10)
        for number in 0..<10 { try table.add(contact(1), for: place(number), at: now) }
        #expect(throws: ProviderTable.Refusal.quota) { try table.add(contact(1), for: place(10), at: now) }
        // What it has may be renewed, and others are not concerned.
        try table.add(contact(1), for: place(3), at: now)
        try table.add(contact(2), for: place(10), at: now)
        #expect(table.count == 11)
    }

    @Test func aKeyGetsItsProviders() throws {
        var table = ProviderTable(own: own)
        for number in 0..<KademliaLimits.providersPerKey + 50 {
            try table.add(contact(UInt64(number)), for: place(1), at: now + .seconds(number))
        }
        #expect(table.count == KademliaLimits.providersPerKey)
        let providers = table.contacts(of: place(1), at: now).map(\.peer)
        #expect(!providers.contains(peerID(0)) && providers.contains(peerID(UInt64(KademliaLimits.providersPerKey + 49))))
    }

    /// A full table keeps what lies near; who floods it with far keys pushes out nothing that is near.
    @Test func aFullTableKeepsTheNear() throws {
        var table = ProviderTable(own: own, limit: 800, limitPerProvider: 100_000)
        let places = (0..<5000).map(place).sorted { ($0 ^ own) < ($1 ^ own) }
        for place in places[..<400] { try table.add(contact(1), for: place, at: now) }
        var refused = 0
        for (index, place) in places[400...].enumerated() {
            do { try table.add(contact(UInt64(2 + index % 20)), for: place, at: now) } catch { refused += 1 }
        }
        #expect(table.count <= 800)
        #expect(refused > 0)
        for place in places[..<400] { #expect(!table.contacts(of: place, at: now).isEmpty) }
    }

    private func group(_ network: UInt32) -> IPGroup? { IPGroup(.v4(network << 16 | 1)) }

    /// Whoever comes with many ids from one network pushes out only its own.
    @Test func oneNetworkHidesNoProvider() throws {
        var table = ProviderTable(own: own)
        for number in 0..<20 { try table.add(contact(UInt64(number)), for: place(1), group: group(0x0900 + UInt32(number)), at: now) }
        for number in 0..<500 {
            try table.add(contact(UInt64(1000 + number)), for: place(1), group: group(0x0808), at: now + .seconds(60 + number))
        }
        let providers = Set(table.contacts(of: place(1), at: now).map(\.peer))
        #expect(providers.count == KademliaLimits.providersPerKey)
        #expect((0..<20).allSatisfy { providers.contains(peerID($0)) })
        // Nor does it take all places.
        for number in 500..<KademliaLimits.providersPerGroup * 2 {
            do { try table.add(contact(UInt64(1000 + number)), for: place(number), group: group(0x0808), at: now) } catch { #expect(error == .quota) }
        }
        #expect(table.providerCount == KademliaLimits.providersPerGroup + 20)
    }

    /// Ids that are used once do not lock others out: of the keys the farthest go.
    @Test func manyProvidersMakeRoom() throws {
        var table = ProviderTable(own: own, providerLimit: 80)
        let places = (0..<1000).map(place).sorted { ($0 ^ own) < ($1 ^ own) }
        for (index, place) in places.reversed().enumerated() {
            do { try table.add(contact(UInt64(index)), for: place, at: now) } catch {}
        }
        #expect(table.providerCount <= 80)
        for place in places[..<50] { #expect(!table.contacts(of: place, at: now).isEmpty) }
    }

    @Test func changesAreWrittenDown() throws {
        var table = ProviderTable(own: own)
        table.keepsChanges = true
        try table.add(contact(1), for: place(1), at: now)
        #expect(table.takeChanges() == [.addresses(contact(1)), .record(place(1), peerID(1), expires: ProviderTable.seconds(now + KademliaLimits.validity))])
        table.sweep(at: now + .seconds(50 * 3600))
        #expect(table.takeChanges() == [.removed(place(1), peerID(1)), .forgotten(peerID(1))])
    }

    private func row(_ number: Int, bytes: Int = 10, from sender: UInt64? = 1) -> (KademliaKey, ValueTable.Row) {
        let key = Bytes(utf8: "/x/\(number)")
        return (KademliaKey(hashing: key),
            ValueTable.Row(key: key, value: Bytes([UInt8](repeating: 0, count: bytes)), received: now, sender: sender.map(peerID)))
    }

    @Test func valuesHaveQuotas() throws {
        var table = ValueTable(own: own)
        for number in 0..<KademliaLimits.valuesPerPeer {
            let (key, row) = row(number)
            try table.put(row, at: key)
        }
        let (key, more) = row(KademliaLimits.valuesPerPeer)
        #expect(throws: ValueTable.Refusal.quota) { try table.put(more, at: key) }
        // Replacing one's own is no more.
        let (first, same) = row(0, bytes: 20)
        try table.put(same, at: first)
        let (other, theirs) = row(99_999, from: 2)
        try table.put(theirs, at: other)
        #expect(table.count == KademliaLimits.valuesPerPeer + 1)
        table.sweep(at: now + KademliaLimits.validity)
        #expect(table.count == 0)
        try table.put(more, at: key)
    }

    @Test func valuesHaveBytes() throws {
        var table = ValueTable(own: own, limit: 1000, byteLimit: 100_000)
        var refusals: [ValueTable.Refusal] = []
        for number in 0..<200 {
            let (key, row) = row(number, bytes: 1000, from: UInt64(number))
            do throws(ValueTable.Refusal) { try table.put(row, at: key) } catch { refusals.append(error) }
        }
        #expect((80...99).contains(table.count))
        #expect(refusals.allSatisfy { $0 == .full } && !refusals.isEmpty)
        // What lies near is there, whatever came before and after it.
        let nearest = (0..<200).map { row($0, bytes: 1000) }.sorted { ($0.0 ^ own) < ($1.0 ^ own) }.prefix(70)
        #expect(nearest.allSatisfy { table.row(of: $0.0, at: now) != nil })
        var large = ValueTable(own: own)
        var kept = 0
        for number in 0..<40 {
            let (key, row) = row(number, bytes: 60_000)
            do throws(ValueTable.Refusal) {
                try large.put(row, at: key)
                kept += 1
            } catch { #expect(error == .quota) }
        }
        #expect(kept == KademliaLimits.valueBytesPerPeer.bytes / 60_005)
    }
}
