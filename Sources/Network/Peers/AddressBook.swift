import Synchronization
import WaggleBase
import WaggleFormats

/// What this node remembers of other peers: where they can be reached, what they speak, which program they run.
///
/// Held in memory within `AddressBookLimits` and written behind to the table "addresses" of a key-value store, so that it survives a restart;
/// a crash loses at most the last changes. Without a store it lives as long as the process. Safe from any thread; nothing waits.
public final class AddressBook: Sendable {
    public static let table = Table("addresses")

    private struct State {
        var rows: [PeerID: AddressBookRow] = [:]
        /// Peers whose row must be written or removed.
        var changed: Set<PeerID> = []
    }

    public let limits: AddressBookLimits
    /// Which pairs of names are one peer: its addresses are found under either.
    public let identities: IdentityBindings
    private let system: any System
    private let state: Mutex<State>
    private let connected = Mutex<@Sendable () -> Set<PeerID>>({ [] })
    private let writer: WriteBehind

    /// Opens the book with what `store` holds. A row that cannot be read is dropped and logged.
    public init(
        system: any System, store: (any KeyValueStore)? = nil, limits: AddressBookLimits = AddressBookLimits(),
        identities: IdentityBindings? = nil
    ) throws {
        self.identities = try identities ?? IdentityBindings(system: system)
        self.system = system
        self.limits = limits
        let log = Log("addresses", to: system.log)
        writer = WriteBehind(AddressBook.table, of: store, on: system.home, after: limits.writeDelay, log: log)
        var initial = State()
        let now = system.wallTime
        try store?.read { reader in
            try Bytes().withUnsafeBytes { start in
                try reader.scan(AddressBook.table, from: start) { key, value in
                    do {
                        let peer = try PeerID(bytes: Bytes(copying: key))
                        var row = try AddressBookRow(decoding: Bytes(copying: value))
                        row.sweep(now)
                        if row.entries.isEmpty { initial.changed.insert(peer) } else { initial.rows[peer] = row }
                    } catch {
                        log(.warning, "unreadable row dropped", [LogField("key", Bytes(copying: key))])
                    }
                    return initial.rows.count < limits.peers
                }
            }
        }
        state = Mutex(initial)
    }

    // MARK: Reading

    /// Peers that are remembered.
    public var count: Int { state.withLock { $0.rows.count } }

    /// Peers with at least one live address.
    public var peers: [PeerID] {
        let now = system.wallTime
        return state.withLock { state in
            state.rows.filter { $0.value.entries.contains { $0.isAlive(at: now) } }.keys.sorted()
        }
    }

    /// The live addresses of `peer`, the most trusted first.
    public func addresses(of peer: PeerID) -> [Multiaddr] {
        let now = system.wallTime
        let partner = identities.partner(of: peer)
        var entries = state.withLock { state in
            (state.rows[peer]?.entries ?? []) + (partner.flatMap { state.rows[$0]?.entries } ?? [])
        }
        if partner != nil {
            var seen: Set<Multiaddr> = []
            entries = entries.filter { seen.insert($0.address).inserted }
        }
        return entries.enumerated().filter { $0.element.isAlive(at: now) }
            .sorted { ($1.element.source, $0.offset) < ($0.element.source, $1.offset) }.map(\.element.address)
    }

    /// Where the address of `peer` came from; nil when it is not known.
    public func source(of address: Multiaddr, of peer: PeerID) -> AddressSource? {
        let now = system.wallTime
        return state.withLock { $0.rows[peer]?.entries.first { $0.address == address && $0.isAlive(at: now) }?.source }
    }

    /// The protocols that `peer` said it serves.
    public func protocols(of peer: PeerID) -> [ProtocolID] { row(of: peer)?.protocols ?? [] }

    /// The program that `peer` said it runs.
    public func agentVersion(of peer: PeerID) -> String? {
        row(of: peer).flatMap { $0.agentVersion.isEmpty ? nil : $0.agentVersion }
    }

    /// The protocol family that `peer` said it belongs to.
    public func protocolVersion(of peer: PeerID) -> String? {
        row(of: peer).flatMap { $0.protocolVersion.isEmpty ? nil : $0.protocolVersion }
    }

    /// The newest envelope in which `peer` certified its addresses.
    public func signedRecord(of peer: PeerID) -> Bytes? { state.withLock { $0.rows[peer]?.signedRecord } }

    // MARK: Writing

    /// Remembers addresses of `peer`. Addresses that are too long, or beyond the limits, are left out.
    public func add(_ addresses: [Multiaddr], of peer: PeerID, source: AddressSource) {
        let usable = addresses.compactMap { self.usable($0, of: peer) }
        guard !usable.isEmpty else { return }
        let now = system.wallTime
        change(peer) { row in
            row.sweep(now)
            for address in usable { row.add(address, source, at: now, limit: self.limits.addressesPerPeer) }
        }
    }

    /// Takes what the peer told through identify, over a connection from `remote` on which it proved its identity.
    public func update(_ information: PeerInformation, from remote: Multiaddr? = nil) {
        let limits = self.limits
        change(information.peer) { row in
            row.protocols = Array(information.protocols.prefix(limits.protocolsPerPeer))
            row.agentVersion = String(information.agentVersion.prefix(limits.versionLength))
            row.protocolVersion = String(information.protocolVersion.prefix(limits.versionLength))
        }
        if information.signedRecord == nil {
            add(AddressBook.reachable(information.listenAddresses, from: remote), of: information.peer, source: .identified)
        }
    }

    /// Takes a certified record whose envelope has been verified, and which came over a connection from `remote`; says false when a newer one is
    /// known already.
    @discardableResult
    public func certify(_ record: PeerRecord, envelope: Bytes, from remote: Multiaddr? = nil) -> Bool {
        let usable = AddressBook.reachable(record.addresses, from: remote).compactMap { self.usable($0, of: record.peer) }
        let now = system.wallTime
        var accepted = false
        change(record.peer) { row in
            guard record.sequence > row.sequence || (record.sequence == row.sequence && row.signedRecord == envelope) else { return }
            accepted = true
            row.sequence = record.sequence
            row.signedRecord = envelope.count <= self.limits.signedRecordLength ? envelope.compacted() : nil
            // The record is the whole truth: what the peer told before, signed or not, is over.
            row.entries.removeAll { $0.source == .certified || $0.source == .identified }
            row.sweep(now)
            for address in usable { row.add(address, .certified, at: now, limit: self.limits.addressesPerPeer) }
        }
        return accepted
    }

    /// Forgets one address.
    public func remove(_ address: Multiaddr, of peer: PeerID) {
        change(peer) { $0.entries.removeAll { $0.address == address } }
    }

    /// Forgets all of a peer.
    public func remove(_ peer: PeerID) {
        state.withLock { state in
            if state.rows.removeValue(forKey: peer) != nil { state.changed.insert(peer) }
        }
        scheduleWrite()
    }

    /// Drops what has expired. What connected peers told goes on to be true.
    public func sweep() {
        let now = system.wallTime
        let spared = connected.withLock { $0 }()
        state.withLock { state in
            for (peer, row) in state.rows {
                var swept = row
                if spared.contains(peer) { swept.confirm(now) }
                swept.sweep(now)
                let isOver = swept.entries.isEmpty && !spared.contains(peer)
                guard swept != row || isOver else { continue }
                state.rows[peer] = isOver ? nil : swept
                state.changed.insert(peer)
            }
        }
        scheduleWrite()
    }

    /// Lets the book ask who is connected: these peers' rows stay, whatever else must go.
    func spare(_ connected: @escaping @Sendable () -> Set<PeerID>) { self.connected.withLock { $0 = connected } }

    /// Writes the rest and ends.
    public func close() async {
        await writer.close { self.takeChanged() }
        await identities.close()
    }

    // MARK: Inside

    /// The row of a peer, or the one under its other name.
    private func row(of peer: PeerID) -> AddressBookRow? {
        if let row = state.withLock({ $0.rows[peer] }) { return row }
        guard let partner = identities.partner(of: peer) else { return nil }
        return state.withLock { $0.rows[partner] }
    }

    /// What can lead from here to a peer that we see at `remote`: its loopback addresses only on this machine, its private ones only in a
    /// private network. Dialing them would reach others, or ourselves.
    private static func reachable(_ addresses: [Multiaddr], from remote: Multiaddr?) -> [Multiaddr] {
        guard let seen = remote?.ip, !seen.isLoopback else { return addresses }
        return addresses.filter { address in
            guard let ip = address.ip else { return true }
            return !ip.unmapped.isLoopback && (seen.isPrivate || !ip.isPrivate)
        }
    }

    /// The address without a trailing `/p2p` of the peer itself; nil when it is too long, or names another peer.
    private func usable(_ address: Multiaddr, of peer: PeerID) -> Multiaddr? {
        guard address.bytes.count <= limits.addressLength, let bare = address.withoutPeer(peer), !bare.bytes.isEmpty else { return nil }
        return bare
    }

    private func change(_ peer: PeerID, _ body: (inout AddressBookRow) -> Void) {
        let now = system.wallTime
        // Asked before the lock is taken: the answer takes another.
        let isFull = state.withLock { $0.rows[peer] == nil && $0.rows.count >= limits.peers }
        let spared = isFull ? connected.withLock { $0 }() : []
        let didChange = state.withLock { state -> Bool in
            let old = state.rows[peer]
            var row = old ?? AddressBookRow()
            body(&row)
            guard row != old else { return false }
            if old == nil, state.rows.count >= limits.peers { evict(&state, sparing: spared, now) }
            state.rows[peer] = row
            state.changed.insert(peer)
            return true
        }
        if didChange { scheduleWrite() }
    }

    /// Makes room for some more rows at once, so that the sorting is paid rarely.
    private func evict(_ state: inout State, sparing spared: Set<PeerID>, _ now: WallTime) {
        let surplus = state.rows.count - limits.peers + max(1, limits.peers / 32)
        let worst = state.rows.map { (peer: $0.key, worth: spared.contains($0.key) ? (Int.max, 0) : $0.value.worth(at: now)) }
            .sorted { ($0.worth.0, $0.worth.1, $0.peer) < ($1.worth.0, $1.worth.1, $1.peer) }
        for (peer, _) in worst.prefix(surplus) {
            state.rows[peer] = nil
            state.changed.insert(peer)
        }
    }

    private func scheduleWrite() {
        guard state.withLock({ !$0.changed.isEmpty }) else { return }
        writer.schedule { [self] in takeChanged() }
    }

    private func takeChanged() -> [WriteBehind.Row] {
        state.withLock { state in
            defer { state.changed = [] }
            return state.changed.sorted().map { (key: $0.bytes, value: state.rows[$0]?.encoded) }
        }
    }
}
