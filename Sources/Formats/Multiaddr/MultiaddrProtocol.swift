/// The protocols a multiaddr can be made of; the raw value is the code on the wire.
///
/// Spec: multiformats/multicodec `table.csv`, entries tagged `multiaddr`, and multiformats/multiaddr `protocols/`.
public enum MultiaddrProtocol: UInt64, CaseIterable, Sendable {
    case ip4 = 0x04
    case tcp = 0x06
    case dccp = 0x21
    case ip6 = 0x29
    case ip6zone = 0x2a
    case ipcidr = 0x2b
    case dns = 0x35
    case dns4 = 0x36
    case dns6 = 0x37
    case dnsaddr = 0x38
    case sctp = 0x84
    case udp = 0x0111
    case p2pWebRTCStar = 0x0113
    case p2pWebRTCDirect = 0x0114
    case p2pStardust = 0x0115
    case webRTCDirect = 0x0118
    case webRTC = 0x0119
    case p2pCircuit = 0x0122
    case udt = 0x012d
    case utp = 0x012e
    case unix = 0x0190
    case thread = 0x0196
    case p2p = 0x01a5
    case https = 0x01bb
    case onion = 0x01bc
    case onion3 = 0x01bd
    case garlic64 = 0x01be
    case garlic32 = 0x01bf
    case tls = 0x01c0
    case sni = 0x01c1
    case noise = 0x01c6
    case shs = 0x01c8
    case quic = 0x01cc
    case quicV1 = 0x01cd
    case webTransport = 0x01d1
    case certhash = 0x01d2
    case ws = 0x01dd
    case wss = 0x01de
    case p2pWebSocketStar = 0x01df
    case http = 0x01e0
    case httpPath = 0x01e1
    case memory = 0x0309
    case silverpine = 0x3f42
    case plaintextV2 = 0x706c61
    case scion = 0xd02000

    /// The name in a text address.
    public var name: String {
        switch self {
        case .ip4: "ip4"
        case .tcp: "tcp"
        case .dccp: "dccp"
        case .ip6: "ip6"
        case .ip6zone: "ip6zone"
        case .ipcidr: "ipcidr"
        case .dns: "dns"
        case .dns4: "dns4"
        case .dns6: "dns6"
        case .dnsaddr: "dnsaddr"
        case .sctp: "sctp"
        case .udp: "udp"
        case .p2pWebRTCStar: "p2p-webrtc-star"
        case .p2pWebRTCDirect: "p2p-webrtc-direct"
        case .p2pStardust: "p2p-stardust"
        case .webRTCDirect: "webrtc-direct"
        case .webRTC: "webrtc"
        case .p2pCircuit: "p2p-circuit"
        case .udt: "udt"
        case .utp: "utp"
        case .unix: "unix"
        case .thread: "thread"
        case .p2p: "p2p"
        case .https: "https"
        case .onion: "onion"
        case .onion3: "onion3"
        case .garlic64: "garlic64"
        case .garlic32: "garlic32"
        case .tls: "tls"
        case .sni: "sni"
        case .noise: "noise"
        case .shs: "shs"
        case .quic: "quic"
        case .quicV1: "quic-v1"
        case .webTransport: "webtransport"
        case .certhash: "certhash"
        case .ws: "ws"
        case .wss: "wss"
        case .p2pWebSocketStar: "p2p-websocket-star"
        case .http: "http"
        case .httpPath: "http-path"
        case .memory: "memory"
        case .silverpine: "silverpine"
        case .plaintextV2: "plaintextv2"
        case .scion: "scion"
        }
    }

    /// The protocol named `name`; `ipfs` is an old name of `p2p`.
    public init?(name: String) {
        guard let found = MultiaddrProtocol.byName[name] else { return nil }
        self = found
    }

    private static let byName: [String: MultiaddrProtocol] = {
        var names = Dictionary(uniqueKeysWithValues: allCases.map { ($0.name, $0) })
        names["ipfs"] = .p2p
        return names
    }()

    /// What follows the code on the wire.
    enum Size: Equatable {
        /// Nothing.
        case none
        /// This many bytes.
        case fixed(Int)
        /// A varint length and as many bytes.
        case prefixed
    }

    var size: Size {
        switch self {
        case .ip4: .fixed(4)
        case .ip6: .fixed(16)
        case .tcp, .udp, .dccp, .sctp: .fixed(2)
        case .ipcidr: .fixed(1)
        case .onion: .fixed(12)
        case .onion3: .fixed(37)
        case .memory, .scion: .fixed(8)
        case .ip6zone, .dns, .dns4, .dns6, .dnsaddr, .sni, .unix, .p2p, .garlic64, .garlic32, .certhash, .httpPath, .thread, .shs, .silverpine:
            .prefixed
        case .p2pWebRTCStar, .p2pWebRTCDirect, .p2pStardust, .webRTCDirect, .webRTC, .p2pCircuit, .udt, .utp, .https, .tls, .noise, .quic,
            .quicV1, .webTransport, .ws, .wss, .p2pWebSocketStar, .http, .plaintextV2:
            .none
        }
    }

    /// Whether the component carries a value.
    public var hasValue: Bool { size != .none }
}
