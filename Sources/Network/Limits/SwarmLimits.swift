import WaggleBase

/// The one set of limits of a node's connections and streams.
///
/// What counts as one IP is a prefix: a single address of IPv4, and for IPv6 both the /64 that one customer usually gets and the
/// /48 above it. Connections count from the moment they are admitted, so a handshake that hangs holds a place.
public struct SwarmLimits: Sendable {
    /// Connections at once, in both directions, handshakes included. Each costs about 20 KB and a descriptor.
    public var connections = 1024
    /// Connections that others opened. Less than `connections`, so that a node under siege can still dial.
    public var inboundConnections = 768
    /// Connections that we opened.
    public var outboundConnections = 768
    /// Connections with one peer. Two are normal for a moment after both sides dialed.
    public var connectionsPerPeer = 4
    /// Inbound connections from one IPv4 address. Many users share one behind a carrier's NAT.
    public var connectionsPerIPv4 = 32
    /// Inbound connections from one IPv6 /64.
    public var connectionsPerIPv6Subnet = 32
    /// Inbound connections from one IPv6 /48.
    public var connectionsPerIPv6Site = 128

    /// Inbound handshakes at once: each may cost a few hundred microseconds of cryptography.
    public var pendingInbound = 128
    /// Inbound handshakes at once from one IPv4 address or IPv6 /64.
    public var pendingPerIP = 16
    /// Inbound handshakes at once from one IPv4 /24 or IPv6 /48; private networks are one site and not counted as subnets.
    public var pendingPerSubnet = 64
    /// How often inbound handshakes may begin, all addresses together: at half a millisecond each a quarter of a core.
    public var handshakes = Rate(perSecond: 500, burst: 500)
    /// The same from one IPv4 address or IPv6 /64: one per cent of a core. Behind a carrier's NAT are many users, but few connect in one second.
    public var handshakesPerIP = Rate(perSecond: 20, burst: 32)
    /// The same from one IPv4 /24 or IPv6 /48, private networks excepted.
    public var handshakesPerSubnet = Rate(perSecond: 100, burst: 256)
    /// Addresses and subnets whose rate is kept; a row takes about 60 bytes.
    public var meteredPrefixes = 8192
    /// Dials at once, all peers together.
    public var pendingOutbound = 128
    /// Dials at once to the addresses of one peer.
    public var dialsPerPeer = 8
    /// Addresses of one peer that one attempt tries.
    public var addressesPerDial = 64

    /// Inbound streams at once on one connection.
    public var streamsPerConnection = 512
    /// Inbound streams at once of one peer on all its connections.
    public var streamsPerPeer = 1024
    /// Inbound streams at once of all peers.
    public var streams = 16_384

    /// What all streams' buffers and windows may take together.
    public var memory = ByteCount.mebibytes(256)

    /// IP ranges whose connections are not counted per IP: everything on this machine shares the loopback address.
    public var unlimitedRanges: [IPRange] = IPRange.loopback

    public init() {}

    /// For a program that talks with a handful of peers on a small device.
    public static var embedded: SwarmLimits {
        var limits = SwarmLimits()
        limits.connections = 64
        limits.inboundConnections = 48
        limits.outboundConnections = 48
        limits.pendingInbound = 8
        limits.pendingOutbound = 8
        limits.pendingPerIP = 4
        limits.pendingPerSubnet = 8
        limits.handshakes = Rate(perSecond: 20, burst: 40)
        limits.handshakesPerIP = Rate(perSecond: 2, burst: 16)
        limits.handshakesPerSubnet = Rate(perSecond: 10, burst: 32)
        limits.meteredPrefixes = 256
        limits.connectionsPerIPv4 = 8
        limits.connectionsPerIPv6Subnet = 8
        limits.connectionsPerIPv6Site = 16
        limits.streamsPerConnection = 64
        limits.streamsPerPeer = 64
        limits.streams = 512
        limits.memory = .mebibytes(16)
        return limits
    }
}

extension SwarmLimits {
    /// What follows for one connection.
    var perConnection: ConnectionLimits {
        var limits = ConnectionLimits()
        limits.inboundStreams = streamsPerConnection
        // One peer may not take all of the memory.
        limits.unread = min(limits.unread, .bytes(memory.bytes / 4))
        limits.queued = min(limits.queued, .bytes(memory.bytes / 16))
        limits.queuedPerStream = min(limits.queuedPerStream, limits.queued)
        return limits
    }
}

/// Which limit or rule refused a connection or a stream.
public enum Refusal: String, Error, Hashable, Sendable, CaseIterable {
    case connections
    case inboundConnections
    case outboundConnections
    case connectionsPerPeer
    case connectionsPerIP
    case pendingInbound
    case pendingPerIP
    /// Handshakes begin too often, all addresses together.
    case handshakeRate
    /// Handshakes from the address or its subnet begin too often.
    case handshakeRatePerIP
    case pendingOutbound
    case streamsPerConnection
    case streamsPerPeer
    case streams
    case streamsPerService
    /// The gate denies the peer.
    case peerDenied
    /// The gate denies the address.
    case addressDenied
    /// The peer misbehaved, or many did at its address: see `Reputation`.
    case banned
    /// The dialed peer is this node.
    case ourselves
}
