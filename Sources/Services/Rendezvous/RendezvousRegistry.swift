import WaggleBase
import WaggleCryptography
import WaggleFormats
import WaggleNetwork

/// Who is registered under which name, in the order of registration. A value: the service brings the lock and the store.
struct RendezvousRegistry {
    struct Registration: Equatable, Sendable {
        var peer: PeerID
        var namespace: String
        /// The signed envelope; nil where the peer gave its addresses without a signature.
        var envelope: Bytes?
        var addresses: [Multiaddr]
        var expires: WallTime
        var sequence: UInt64

        var size: Int { (envelope?.count ?? 0) + addresses.reduce(64 + namespace.utf8.count) { $0 + $1.bytes.count } }
    }

    struct Key: Hashable, Sendable {
        var namespace: String
        var peer: PeerID
    }

    /// What a store must be told.
    enum Change: Equatable, Sendable {
        case put(Registration)
        case remove(Key)
    }

    /// The order of a namespace, or of all: numbers only rise, and what was replaced or is gone leaves a gap until the list is swept.
    private struct Order {
        var entries: [(sequence: UInt64, key: Key)] = []
        var gaps = 0
    }

    private var registrations: [Key: Registration] = [:]
    private var perPeer: [PeerID: Int] = [:]
    private var unsigned: [PeerID: Int] = [:]
    private var counts: [String: Int] = [:]
    private var orders: [String: Order] = [:]
    private var everything = Order()
    private var nextSequence: UInt64
    private(set) var bytes = 0
    private let secret: Bytes

    /// - Parameters:
    ///   - secret: 32 bytes that authenticate cookies.
    ///   - now: numbers begin with the time of day, so that they rise over restarts too: who comes back with a cookie of an earlier life must not
    ///     miss those who registered since, even if nothing of that life is left.
    init(secret: Bytes, at now: WallTime) {
        self.secret = secret
        nextSequence = UInt64(max(1, now.nanoseconds))
    }

    var count: Int { registrations.count }
    var namespaces: Int { counts.count }

    /// Whether the peer speaks the first version of the protocol, without signed records.
    func isUnsigned(_ peer: PeerID) -> Bool { unsigned[peer] != nil }

    // MARK: Changes

    /// Puts back what the store held, in any order.
    mutating func restore(_ stored: [Registration], at now: WallTime) {
        for registration in stored.sorted(by: { ($0.sequence, $0.namespace, $0.peer) < ($1.sequence, $1.namespace, $1.peer) })
        where registration.expires > now && room(for: registration) == nil {
            insert(registration)
            nextSequence = max(nextSequence, registration.sequence &+ 1)
        }
    }

    /// Takes a registration, in place of an earlier one of this peer under this name.
    mutating func register(
        _ peer: PeerID, _ namespace: String, envelope: Bytes?, addresses: [Multiaddr], time: Duration, at now: WallTime
    ) throws(RendezvousStatus) -> Change {
        let registration = Registration(
            peer: peer, namespace: namespace, envelope: envelope, addresses: addresses, expires: now + time, sequence: nextSequence)
        if let refusal = room(for: registration) { throw refusal }
        nextSequence += 1
        insert(registration)
        return .put(registration)
    }

    mutating func unregister(_ peer: PeerID, _ namespace: String) -> Change? {
        let key = Key(namespace: namespace, peer: peer)
        return remove(key) ? .remove(key) : nil
    }

    /// Takes out what is over.
    mutating func sweep(_ now: WallTime) -> [Change] {
        let over = registrations.filter { $0.value.expires <= now }.map(\.key).sorted { ($0.namespace, $0.peer) < ($1.namespace, $1.peer) }
        for key in over { remove(key) }
        return over.map { .remove($0) }
    }

    private func room(for registration: Registration) -> RendezvousStatus? {
        let old = registrations[Key(namespace: registration.namespace, peer: registration.peer)]
        if bytes - (old?.size ?? 0) + registration.size > RendezvousLimits.recordBytes.bytes { return .unavailable }
        guard old == nil else { return nil }
        if perPeer[registration.peer, default: 0] >= RendezvousLimits.perPeer { return .notAuthorized }
        if counts[registration.namespace, default: 0] >= RendezvousLimits.perNamespace || registrations.count >= RendezvousLimits.registrations {
            return .unavailable
        }
        return nil
    }

    private mutating func insert(_ registration: Registration) {
        let key = Key(namespace: registration.namespace, peer: registration.peer)
        remove(key)
        registrations[key] = registration
        bytes += registration.size
        perPeer[registration.peer, default: 0] += 1
        if registration.envelope == nil { unsigned[registration.peer, default: 0] += 1 }
        counts[registration.namespace, default: 0] += 1
        orders[registration.namespace, default: Order()].entries.append((registration.sequence, key))
        everything.entries.append((registration.sequence, key))
    }

    @discardableResult
    private mutating func remove(_ key: Key) -> Bool {
        guard let old = registrations.removeValue(forKey: key) else { return false }
        bytes -= old.size
        Self.decrease(&perPeer, key.peer)
        if old.envelope == nil { Self.decrease(&unsigned, key.peer) }
        Self.decrease(&counts, key.namespace)
        if counts[key.namespace] == nil { orders[key.namespace] = nil } else { orders[key.namespace]?.gaps += 1 }
        everything.gaps += 1
        close(&everything)
        if var order = orders.removeValue(forKey: key.namespace) {
            close(&order)
            orders[key.namespace] = order
        }
        return true
    }

    private static func decrease<Name: Hashable>(_ counts: inout [Name: Int], _ name: Name) {
        let count = (counts[name] ?? 0) - 1
        counts[name] = count > 0 ? count : nil
    }

    /// Closes the gaps when they are half of it.
    private func close(_ order: inout Order) {
        guard order.gaps > 32, order.gaps * 2 > order.entries.count else { return }
        order.entries.removeAll { registrations[$0.key]?.sequence != $0.sequence }
        order.gaps = 0
    }

    // MARK: Looking

    /// Registrations that are newer than `cookie`, the oldest first, and the cookie with which to go on. An empty name stands for all names. At most
    /// `limit`, and at most `RendezvousLimits.pageBytes` in all. `signedOnly` leaves out those without a signature.
    func discover(
        _ namespace: String, limit: Int, cookie: Bytes?, signedOnly: Bool, at now: WallTime
    ) throws(RendezvousStatus) -> (registrations: [Registration], cookie: Bytes) {
        var last: UInt64 = 0
        if let cookie, !cookie.isEmpty {
            guard let sequence = sequence(in: cookie, namespace) else { throw .invalidCookie }
            last = sequence
        }
        let entries = namespace.isEmpty ? everything.entries : orders[namespace]?.entries ?? []
        var low = 0
        var high = entries.count
        while low < high {
            let middle = (low + high) / 2
            if entries[middle].sequence <= last { low = middle + 1 } else { high = middle }
        }
        var found: [Registration] = []
        var size = 0
        for (sequence, key) in entries[low...] {
            guard let registration = registrations[key], registration.sequence == sequence, registration.expires > now else { continue }
            if signedOnly, registration.envelope == nil { continue }
            guard found.count < limit, size + registration.size <= RendezvousLimits.pageBytes || found.isEmpty else { break }
            found.append(registration)
            size += registration.size
            last = sequence
        }
        return (found, makeCookie(last, namespace))
    }

    // MARK: Cookies

    /// Eight bytes of the number after which to go on, sixteen of a tag that binds it to the name and to this server.
    private func makeCookie(_ sequence: UInt64, _ namespace: String) -> Bytes {
        var writer = ByteWriter(capacity: 24)
        writer.write(integer: sequence)
        writer.write(tag(sequence, namespace).bytes.prefix(16))
        return writer.finish()
    }

    private func sequence(in cookie: Bytes, _ namespace: String) -> UInt64? {
        guard cookie.count == 24 else { return nil }
        let sequence = (0..<8).reduce(UInt64(0)) { $0 << 8 | UInt64(cookie[$1]) }
        let expected = tag(sequence, namespace).bytes
        var difference: UInt8 = 0
        for index in 0..<16 { difference |= cookie[8 + index] ^ expected[index] }
        return difference == 0 ? sequence : nil
    }

    private func tag(_ sequence: UInt64, _ namespace: String) -> Digest256 {
        var writer = ByteWriter(capacity: 64)
        writer.write(utf8: "rendezvous cookie")
        writer.write(integer: sequence)
        writer.write(utf8: namespace)
        return HMACSHA256.authenticate(writer.finish().span, key: secret.span)
    }
}
