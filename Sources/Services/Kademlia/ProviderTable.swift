import WaggleBase
import WaggleFormats
import WaggleNetwork

/// Who provides what: the provider records that this node keeps for others, in memory. A value: its owner brings the lock.
///
/// Keyed by place, so that a record takes little and its length is fixed. When the table is full, the records farthest from our own place go:
/// others are closer to them and have them, and an attacker would have to find keys near us to push out others. Of one IP group only so many
/// providers are kept, and where a key has too many, those of the group that has most give way.
package struct ProviderTable {
    struct Record: Equatable {
        let provider: UInt32
        /// Seconds since 1970.
        var expires: UInt32
    }

    private struct Provider {
        let peer: PeerID
        let group: IPGroup?
        var contact: KademliaContact
        /// As it is told to others.
        var encoded: Bytes
        var records = 0
    }

    package enum Refusal: Error {
        case quota
        case full
    }

    /// What changed, for writing it down.
    enum Change: Equatable {
        case record(KademliaKey, PeerID, expires: UInt32)
        case addresses(KademliaContact)
        case removed(KademliaKey, PeerID)
        case forgotten(PeerID)
    }

    private let own: KademliaKey
    private let limit: Int
    private let limitPerProvider: Int
    private let providerLimit: Int
    private let validity: Duration
    private var rows: [KademliaKey: [Record]] = [:]
    private var providers: [Provider?] = []
    private var free: [UInt32] = []
    private var numbers: [PeerID: UInt32] = [:]
    private var groups: [IPGroup: Int] = [:]
    /// The farthest distance that is taken while the table is nearly full.
    private var horizon = UInt64.max
    package private(set) var count = 0
    private(set) var changes: [Change] = []
    /// Whether changes are kept at all.
    var keepsChanges = false

    package init(
        own: KademliaKey, limit: Int = KademliaLimits.providerRecords, limitPerProvider: Int = KademliaLimits.recordsPerProvider,
        providerLimit: Int = KademliaLimits.providers, validity: Duration = KademliaLimits.validity
    ) {
        self.own = own
        self.limit = limit
        self.providerLimit = providerLimit
        self.limitPerProvider = limitPerProvider
        self.validity = validity
    }

    var providerCount: Int { numbers.count }
    var keyCount: Int { rows.count }

    func contains(_ provider: PeerID) -> Bool { numbers[provider] != nil }

    /// Remembers that the peer of `contact`, which is in `group`, provides what lies at `key`.
    package mutating func add(_ contact: KademliaContact, for key: KademliaKey, group: IPGroup? = nil, at now: WallTime) throws(Refusal) {
        try insert(contact.peer, contact.addresses, key, group, expires: ProviderTable.seconds(now + validity))
        if keepsChanges { changes.append(.record(key, contact.peer, expires: ProviderTable.seconds(now + validity))) }
    }

    /// Takes a record back in that was written down. `contact` needs addresses only once for a provider.
    mutating func restore(_ contact: KademliaContact, for key: KademliaKey, expires: UInt32, at now: WallTime) throws(Refusal) {
        guard expires > ProviderTable.seconds(now) else { return }
        try insert(contact.peer, contact.addresses, key, nil, expires: expires)
    }

    private mutating func insert(
        _ peer: PeerID, _ addresses: [Multiaddr], _ key: KademliaKey, _ group: IPGroup?, expires: UInt32
    ) throws(Refusal) {
        if let number = numbers[peer], var records = rows[key], let index = records.firstIndex(where: { $0.provider == number }) {
            records[index].expires = expires
            rows[key] = records
            update(number, addresses)
            return
        }
        if let number = numbers[peer], let provider = providers[Int(number)], provider.records >= limitPerProvider { throw .quota }
        let distance = (key ^ own).first
        if count >= limit || numbers.count >= providerLimit && numbers[peer] == nil { makeRoom() }
        let isNearlyFull = count >= limit / 8 * 7 || numbers.count >= providerLimit / 8 * 7
        guard count < limit, distance <= horizon || !isNearlyFull else { throw .full }
        let number = try number(of: peer, addresses, group)
        update(number, addresses)
        var records = rows[key] ?? []
        if records.count >= KademliaLimits.providersPerKey, let first = superfluous(records) {
            let gone = records.remove(at: first)
            count -= 1
            release(gone.provider, key)
        }
        records.append(Record(provider: number, expires: expires))
        rows[key] = records
        providers[Int(number)]?.records += 1
        count += 1
    }

    /// Of the IP group that has most of these records the one that expires first: one party alone pushes out nobody else.
    private func superfluous(_ records: [Record]) -> Int? {
        let groups = records.map { providers[Int($0.provider)]?.group }
        let counts = Dictionary(groups.map { ($0, 1) }, uniquingKeysWith: +)
        return records.indices.max {
            let (left, right) = (counts[groups[$0]] ?? 0, counts[groups[$1]] ?? 0)
            return left != right ? left < right : records[$0].expires > records[$1].expires
        }
    }

    /// The encoded peers that provide what lies at `key`, the newest first; where they are many, each `turn` begins with another one.
    func forEach(of key: KademliaKey, at now: WallTime, turn: UInt64 = 0, limit: Int = KademliaLimits.providerPeers, _ body: (PeerID, Bytes) -> Void) {
        guard let records = rows[key] else { return }
        let seconds = ProviderTable.seconds(now)
        var left = limit
        // Each server begins elsewhere, and steps on by more than one.
        let start = records.count <= KademliaLimits.providersInTurn ? 0 : Int(((own ^ key).fourth &+ turn &* 31) % UInt64(records.count))
        for index in records.indices where left > 0 {
            let record = records[records.count - 1 - (index + start) % records.count]
            guard record.expires > seconds, let provider = providers[Int(record.provider)] else { continue }
            body(provider.peer, provider.encoded)
            left -= 1
        }
    }

    package func contacts(of key: KademliaKey, at now: WallTime) -> [KademliaContact] {
        guard let records = rows[key] else { return [] }
        let seconds = ProviderTable.seconds(now)
        return records.filter { $0.expires > seconds }.compactMap { providers[Int($0.provider)]?.contact }
    }

    /// Drops what has expired.
    mutating func sweep(at now: WallTime) {
        let seconds = ProviderTable.seconds(now)
        // In order, so that what is written down is the same in every run.
        for key in rows.keys.sorted() {
            guard let records = rows[key], records.contains(where: { $0.expires <= seconds }) else { continue }
            let kept = records.filter { $0.expires > seconds }
            rows[key] = kept.isEmpty ? nil : kept
            count -= records.count - kept.count
            for record in records where record.expires <= seconds { release(record.provider, key) }
        }
        if count < limit / 8 * 7, numbers.count < providerLimit / 8 * 7 { horizon = .max }
    }

    /// What changed since the last call.
    mutating func takeChanges() -> [Change] {
        defer { changes = [] }
        return changes
    }

    // MARK: Inside

    static func seconds(_ time: WallTime) -> UInt32 { UInt32(clamping: time.nanoseconds / 1_000_000_000) }

    private mutating func number(of peer: PeerID, _ addresses: [Multiaddr], _ group: IPGroup?) throws(Refusal) -> UInt32 {
        if let number = numbers[peer] { return number }
        guard numbers.count < providerLimit else { throw .full }
        let group = group ?? IPGroup(addresses)
        if let group {
            guard groups[group, default: 0] < KademliaLimits.providersPerGroup else { throw .quota }
            groups[group, default: 0] += 1
        }
        let contact = KademliaContact(peer: peer, addresses: addresses)
        let provider = Provider(peer: peer, group: group, contact: contact, encoded: KademliaMessage.encode(contact))
        let number: UInt32
        if let slot = free.popLast() {
            number = slot
            providers[Int(slot)] = provider
        } else {
            number = UInt32(providers.count)
            providers.append(provider)
        }
        numbers[peer] = number
        if keepsChanges { changes.append(.addresses(contact)) }
        return number
    }

    private mutating func update(_ number: UInt32, _ addresses: [Multiaddr]) {
        guard !addresses.isEmpty, var provider = providers[Int(number)], provider.contact.addresses != addresses else { return }
        provider.contact.addresses = addresses
        provider.encoded = KademliaMessage.encode(provider.contact)
        providers[Int(number)] = provider
        if keepsChanges { changes.append(.addresses(provider.contact)) }
    }

    private mutating func release(_ number: UInt32, _ key: KademliaKey) {
        guard var provider = providers[Int(number)] else { return }
        provider.records -= 1
        if keepsChanges { changes.append(.removed(key, provider.peer)) }
        if provider.records > 0 {
            providers[Int(number)] = provider
        } else {
            providers[Int(number)] = nil
            numbers[provider.peer] = nil
            free.append(number)
            if let group = provider.group, let count = groups[group] { groups[group] = count > 1 ? count - 1 : nil }
            if keepsChanges { changes.append(.forgotten(provider.peer)) }
        }
    }

    /// Drops the farthest eighth at once, so that looking for them is paid rarely.
    private mutating func makeRoom() {
        let sorted = rows.keys.map { ($0 ^ own).first }.sorted()
        guard !sorted.isEmpty else { return }
        horizon = sorted[sorted.count * 7 / 8 > 0 ? sorted.count * 7 / 8 - 1 : 0]
        for key in rows.keys.sorted() where (key ^ own).first > horizon {
            guard let records = rows.removeValue(forKey: key) else { continue }
            count -= records.count
            for record in records { release(record.provider, key) }
        }
    }
}
