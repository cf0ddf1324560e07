import WaggleBase
import WaggleFormats
import WaggleNetwork

/// The names and records of libp2p in multicast DNS. Spec: libp2p specs, discovery/mdns.
struct MDNSNames {
    static let port: UInt16 = 5353
    static let group4 = IPAddress.v4(0xe000_00fb)
    static let group6 = IPAddress.v6(high: 0xff02 << 48, low: 0xfb, zone: 0)
    /// What every browser of services asks for (RFC 6763, section 9).
    static let directory = DNSName("_services._dns-sd._udp.local")
    private static let key = Array("dnsaddr".utf8)

    let service = DNSName("_p2p._udp.local")
    /// The name of this start of the node: says nothing about who it is.
    let instance: DNSName
    private let host: DNSName

    /// - Parameter label: 32 to 63 random letters and digits.
    init(label: String) {
        instance = DNSName("_p2p._udp.local").with(label)
        host = DNSName("local").with(label)
    }

    /// Whether the question is for us.
    func answers(_ question: DNSMessage.Question) -> Bool {
        func asks(_ types: UInt16...) -> Bool { types.contains(question.type) || question.type == DNSMessage.Kind.any }
        if question.name == service || question.name == Self.directory { return asks(DNSMessage.Kind.pointer) }
        if question.name == instance { return asks(DNSMessage.Kind.service, DNSMessage.Kind.text) }
        return question.name == host && asks(DNSMessage.Kind.a, DNSMessage.Kind.aaaa)
    }

    func question() -> DNSMessage {
        var message = DNSMessage()
        message.questions = [DNSMessage.Question(name: service, type: DNSMessage.Kind.pointer)]
        return message
    }

    /// All that we say of ourselves, with these addresses (each ending in our PeerID).
    func answer(_ addresses: [Multiaddr], seconds: UInt32 = MDNSLimits.recordSeconds, isLegacy: Bool = false) -> DNSMessage {
        let isUnique = !isLegacy
        var message = DNSMessage()
        message.isResponse = true
        message.answers = [
            DNSMessage.Record(name: service, seconds: seconds, data: .pointer(instance)),
            DNSMessage.Record(name: Self.directory, seconds: seconds, data: .pointer(service)),
        ]
        // For browsers of services, and for peers that want a host and port with every service.
        let port = addresses.lazy.compactMap { $0.port(.tcp) ?? $0.port(.udp) }.first ?? 0
        let service = DNSMessage.Record(name: instance, seconds: seconds, isUnique: isUnique, data: .service(port: port, host: host))
        var ips: [IPAddress] = []
        for ip in addresses.compactMap(\.ip) where !ips.contains(ip) && ips.count < 8 { ips.append(ip) }
        let hosts = ips.map { DNSMessage.Record(name: host, seconds: seconds, isUnique: isUnique, data: .address($0)) }
        message.additional = [DNSMessage.Record(name: instance, seconds: seconds, isUnique: isUnique, data: .texts([])), service] + hosts
        var texts: [[UInt8]] = []
        var room = MDNSLimits.announcedBytes - message.encoded().count
        for address in addresses {
            let text = Self.key + [UInt8(ascii: "=")] + Array(address.description.utf8)
            guard text.count <= 255, text.count < room else { continue }
            room -= text.count + 1
            texts.append(text)
        }
        message.additional[0].data = .texts(texts)
        return message
    }

    /// Takes back what was said.
    func goodbye() -> DNSMessage {
        var message = DNSMessage()
        message.isResponse = true
        message.answers = [DNSMessage.Record(name: service, seconds: 0, data: .pointer(instance))]
        return message
    }

    /// The peer and the address in an attribute `dnsaddr=…`; nil for anything else. Some write `dnsaddr2`, `dnsaddr3` for further ones, because an
    /// attribute may have its name only once.
    func address(in text: [UInt8]) -> (PeerID, Multiaddr)? {
        guard let equals = text.firstIndex(of: UInt8(ascii: "=")), text.starts(with: Self.key),
            text[Self.key.count..<equals].allSatisfy({ $0 >= 0x30 && $0 <= 0x39 }),
            let value = Bytes(Array(text[(equals + 1)...])).utf8, let address = Multiaddr(value), let peer = address.peer, address.ip != nil,
            !address.contains(.p2pCircuit), let bare = address.withoutPeerID
        else { return nil }
        return (peer, bare)
    }
}
