import WaggleBase

/// A network address as a path of protocols, for example `/ip4/127.0.0.1/tcp/4701/p2p/12D3Koo…`.
///
/// Wire shape: components, each a varint code and, as the protocol says, nothing, a value of fixed size, or a varint length and a value.
/// Spec: multiformats/multiaddr, README "Specification"; libp2p specs, addressing.
///
/// A `Multiaddr` always has at least one component, all of them are known and valid, and it has exactly one text: everything else
/// is refused when it is made.
public struct Multiaddr: Hashable, Sendable {
    /// The binary form.
    public let bytes: Bytes

    /// The address in `bytes`, which may keep a window onto them.
    public init(bytes: Bytes) throws(MultiaddrError) {
        _ = try Multiaddr.check(bytes)
        self.bytes = bytes.compacted()
    }

    /// The address in `bytes` without the PeerID `peer` at its end, as a window onto them however large their memory is: for the many
    /// addresses that are looked at once. Nil when another peer is at the end, or nothing is in front of it.
    package static func bare(_ bytes: Bytes, of peer: Bytes) throws(MultiaddrError) -> Multiaddr? {
        let last = try check(bytes)
        guard last.kind == .p2p else { return Multiaddr(checked: bytes) }
        return last.start > 0 && bytes[last.value] == peer ? Multiaddr(checked: bytes[0..<last.start]) : nil
    }

    /// The same address in memory of its own where it is a small part of what it keeps alive.
    package func compacted() -> Multiaddr { Multiaddr(checked: bytes.compacted()) }

    /// Where a component lies among the bytes of an address.
    struct Place {
        var kind: MultiaddrProtocol
        var start: Int
        var value: Range<Int>
    }

    /// Checks everything; gives the last component. Allocates nothing for the usual ones.
    private static func check(_ bytes: Bytes) throws(MultiaddrError) -> Place {
        guard !bytes.isEmpty else { throw .empty }
        guard bytes.count <= FormatsLimits.multiaddrBytes else { throw .tooLong }
        var reader = ByteReader(bytes.span)
        while true {
            let place = try Multiaddr.place(&reader, end: bytes.count)
            guard MultiaddrValue.isAlwaysValid(place.kind) || MultiaddrValue.isValid(bytes[place.value], of: place.kind) else {
                throw .invalidValue(place.kind)
            }
            if reader.isAtEnd { return place }
            // In text a path takes all that follows.
            guard place.kind != .unix else { throw .afterPath }
        }
    }

    /// Reads one component of an address that ends at `end`.
    @_lifetime(reader: copy reader)
    static func place(_ reader: inout ByteReader, end: Int) throws(MultiaddrError) -> Place {
        let start = end - reader.remaining
        guard let code = reader.varint() else { throw .truncated }
        guard let kind = MultiaddrProtocol(rawValue: code) else { throw .unknownProtocol(code) }
        let size: UInt64
        switch kind.size {
        case .none: size = 0
        case .fixed(let fixed): size = UInt64(fixed)
        case .prefixed:
            guard let prefix = reader.varint() else { throw .truncated }
            size = prefix
        }
        guard size <= UInt64(reader.remaining) else { throw .truncated }
        let value = end - reader.remaining
        guard reader.take(Int(size)) != nil else { throw .truncated }
        return Place(kind: kind, start: start, value: value..<value + Int(size))
    }

    /// The address made of `components`, which must not be empty.
    public init(_ components: some Sequence<Component>) throws(MultiaddrError) {
        var writer = ByteWriter(capacity: 64)
        for component in components { component.encode(to: &writer) }
        try self.init(bytes: writer.finish())
    }

    /// `/ip4/…/tcp/…` or its like; `transport` is `tcp` or `udp`. The zone of a link-local address becomes an `ip6zone`.
    public init(_ address: SocketAddress, over transport: MultiaddrProtocol) {
        var writer = ByteWriter(capacity: 32)
        switch address.ip {
        case .v4: writer.write(varint: MultiaddrProtocol.ip4.rawValue)
        case .v6(_, _, let zone):
            if zone != 0 { Component(checked: .ip6zone, Bytes(utf8: String(zone))).encode(to: &writer) }
            writer.write(varint: MultiaddrProtocol.ip6.rawValue)
        }
        writer.write(address.ip.bytes)
        writer.write(varint: (transport == .udp ? MultiaddrProtocol.udp : .tcp).rawValue)
        writer.write(integer: address.port)
        bytes = writer.finish()
    }

    private init(checked bytes: Bytes) { self.bytes = bytes }

    /// The components from the outside in.
    public var components: Components { Components(bytes) }

    /// This address with `inner` behind it; throws when the two together are too long or `self` ends in a path.
    public func encapsulating(_ inner: Multiaddr) throws(MultiaddrError) -> Multiaddr {
        try Multiaddr(bytes: Bytes(bytes.array + inner.bytes.array))
    }

    /// This address up to the last place where `inner` begins; nil when nothing is left, `self` when `inner` is not part of it.
    public func decapsulating(_ inner: Multiaddr) -> Multiaddr? {
        let own = Array(components)
        let other = Array(inner.components)
        guard other.count <= own.count else { return self }
        for start in stride(from: own.count - other.count, through: 0, by: -1) where Array(own[start..<start + other.count]) == other {
            return prefix(start)
        }
        return self
    }

    /// The first `count` components; nil for none.
    public func prefix(_ count: Int) -> Multiaddr? {
        guard count > 0 else { return nil }
        var writer = ByteWriter(capacity: bytes.count)
        for component in components.prefix(count) { component.encode(to: &writer) }
        return Multiaddr(checked: writer.finish())
    }
}

extension Multiaddr {
    /// The value of the first component of `kind`.
    public func first(_ kind: MultiaddrProtocol) -> Component? { components.first { $0.kind == kind } }

    /// Whether a component of `kind` occurs.
    public func contains(_ kind: MultiaddrProtocol) -> Bool {
        var reader = ByteReader(bytes.span)
        do {
            while !reader.isAtEnd { if try Multiaddr.place(&reader, end: bytes.count).kind == kind { return true } }
        } catch { return false }
        return false
    }

    /// The IP address that the address begins with (behind a zone, if it has one).
    public var ip: IPAddress? {
        var zone: UInt32 = 0
        for component in components {
            switch component.kind {
            case .ip6zone: zone = UInt32(component.text) ?? 0
            case .ip4: return IPAddress(v4: component.value)
            case .ip6:
                guard case .v6(let high, let low, _)? = IPAddress(v6: component.value) else { return nil }
                return .v6(high: high, low: low, zone: zone)
            default: return nil
            }
        }
        return nil
    }

    /// The port of the first component of `transport`: `tcp`, `udp`, `dccp` or `sctp`.
    public func port(_ transport: MultiaddrProtocol) -> UInt16? {
        guard let value = first(transport)?.value, value.count == 2 else { return nil }
        return UInt16(value[0]) << 8 | UInt16(value[1])
    }

    /// Where to dial: the IP address in front and the port of `transport` directly behind it.
    public func socketAddress(over transport: MultiaddrProtocol) -> SocketAddress? {
        guard let ip else { return nil }
        let steps = components.drop { $0.kind == .ip6zone }.dropFirst()
        guard let step = steps.first(where: { _ in true }), step.kind == transport, step.value.count == 2 else { return nil }
        return SocketAddress(ip: ip, port: UInt16(step.value[0]) << 8 | UInt16(step.value[1]))
    }

    /// The PeerID at the end: the one to be reached. Nil where the address ends otherwise, for example behind a relay.
    public var peerID: Multihash? {
        guard let last = lastComponent, last.kind == .p2p else { return nil }
        return MultiaddrValue.peer(last.value)
    }

    /// The last component.
    public var lastComponent: Component? { components.reduce(nil as Component?) { $1 } }

    /// This address without a PeerID at its end; nil when it is nothing but that.
    public var withoutPeerID: Multiaddr? { lastComponent?.kind == .p2p ? prefix(components.reduce(0) { count, _ in count + 1 } - 1) : self }

    /// This address with `/p2p/peerID` at its end in place of another one.
    public func with(peerID: Multihash) throws(MultiaddrError) -> Multiaddr {
        let component = try Component(.p2p, value: peerID.bytes)
        return try Multiaddr((withoutPeerID.map { Array($0.components) } ?? []) + [component])
    }
}
