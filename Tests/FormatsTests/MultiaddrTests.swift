import Testing
import WaggleBase
import WaggleFormats

@Suite struct MultiaddrTests {
    static let garlic = "jT~IyXaoauTni6N4517EG8mrFUKpy0IlgZh-EY9csMAk82Odatmzr~YTZy8Hv7u~wvkg75EFNOyqb~nAPg-khyp2TS~ObUz8WlqYAM2VlEzJ7wJB91P-cUlKF18zSzVoJFmsrcQHZCirSbWoOknS6iNmsGRh5KVZsBEfp1Dg3gwTipTRIx7Vl5Vy~1OSKQVjYiGZS9q8RL0MF~7xFiKxZDLbPxk0AK9TzGGqm~wMTI2HS0Gm4Ycy8LYPVmLvGonIBYndg2bJC7WLuF6tVjVquiokSVDKFwq70BCUU5AU-EvdOD5KEOAM7mPfw-gJUG4tm1TtvcobrObqoRnmhXPTBTN5H7qDD12AvlwFGnfAlBXjuP4xOUAISL5SRLiulrsMSiT4GcugSI80mF6sdB0zWRgL1yyvoVWeTBn1TqjO27alr95DGTluuSqrNAxgpQzCKEWAyzrQkBfo2avGAmmz2NaHaAvYbOg0QSJz1PLjv2jdPW~ofiQmrGWM1cd~1cCqAAAA"
    static let onion3 = "vww6ybal4bd7szmgncyruucpgfkqahzddi37ktceo3ah7ngmcopnpyyd"
    static let peer = "12D3KooWCryG7Mon9orvQxcS1rYZjotPgpwoJNHHKcLLfE4Hf5mV"

    /// Addresses whose text is canonical.
    static let canonical = [
        "/ip4/1.2.3.4", "/ip4/0.0.0.0", "/ip4/255.255.255.255", "/ip4/192.0.2.0/ipcidr/24", "/ip6/::1", "/ip6/::", "/ip6/2001:db8::/ipcidr/32",
        "/ip6/2601:9:4f81:9700:803e:ca65:66e8:c21", "/ip6/2601:9:4f81:9700:803e:ca65:66e8:c21/udp/1234/quic-v1",
        "/ip6/::ffff:127.0.0.1/tcp/111", "/ip6zone/x/ip6/fe80::1", "/ip6zone/x%y/ip6/fe80::1", "/ip6zone/eth0/ip6/fe80::1/udp/1234/quic",
        "/onion/timaq4ygg2iegci7:1234", "/onion/timaq4ygg2iegci7:80/http", "/onion3/\(onion3):1234", "/onion3/\(onion3):80/http",
        "/garlic64/\(garlic)", "/garlic64/\(garlic)/udp/8080", "/garlic32/566niximlxdzpanmn4qouucvua3k7neniwss47li5r6ugoertzuq",
        "/garlic32/566niximlxdzpanmn4qouucvua3k7neniwss47li5r6ugoertzuqzwas",
        "/garlic32/566niximlxdzpanmn4qouucvua3k7neniwss47li5r6ugoertzuq/tcp/8080",
        "/udp/0", "/tcp/0", "/sctp/0", "/dccp/1", "/tcp/65535", "/udp/1234/sctp/1234", "/udp/1234/udt", "/udp/1234/utp", "/tcp/1234/http",
        "/tcp/1234/tls/http", "/tcp/1234/https", "/p2p/QmcgpsyWgH8Y8ajJz1Cu72KnS5uo2Aa2LpzU7kinSupNKC", "/p2p/\(peer)",
        "/ip4/127.0.0.1/tcp/4001/p2p/\(peer)/p2p-circuit/p2p/QmcgpsyWgH8Y8ajJz1Cu72KnS5uo2Aa2LpzU7kinSupNKC",
        "/ip4/127.0.0.1/udp/1234/quic-v1/webtransport/certhash/uEiDDq4_xNyDorZBH3TlGazyJdOWSwvo4PUo5YHFMrvDE8g",
        "/ip4/127.0.0.1/udp/1/webrtc-direct/certhash/uEiDDq4_xNyDorZBH3TlGazyJdOWSwvo4PUo5YHFMrvDE8g/p2p/\(peer)",
        "/unix/a/b/c/d/e", "/unix/stdio", "/ip4/1.2.3.4/tcp/80/unix/a/b/c/d/e/f", "/ip4/127.0.0.1/tcp/9090/http/p2p-webrtc-direct",
        "/ip4/127.0.0.1/tcp/127/ws", "/ip4/127.0.0.1/tcp/127/tls/ws", "/ip4/127.0.0.1/tcp/127/tls/sni/example.com/ws", "/ip4/127.0.0.1/tcp/127/noise",
        "/ip4/127.0.0.1/tcp/127/wss", "/ip4/127.0.0.1/tcp/127/webrtc", "/dns/example.com/tcp/1", "/dns4/a/tcp/1", "/dns6/b/tcp/1",
        "/dnsaddr/bootstrap.libp2p.io", "/dns/münchen.example/tcp/1", "/http-path/tmp%2Fbar", "/http-path/foo", "/http-path/a%20b%2B~%FF",
        "/ip4/127.0.0.1/tcp/443/tls/sni/example.com/http/http-path/foo", "/memory/4", "/memory/18446744073709551615", "/tcp/1/plaintextv2",
        "/p2p-webrtc-star", "/p2p-websocket-star", "/p2p-stardust", "/scion/19-ffaa:1:1079/ip4/127.0.0.1", "/scion/1-64512", "/scion/65535-ffff:ffff:ffff",
        "/silverpine/baebag/udp/1", "/shs/baebag", "/thread/bafkqabiaaebagba",
    ]

    @Test(arguments: canonical) func roundTrip(_ text: String) throws {
        let address = try Multiaddr(parsing: text)
        #expect(address.description == text)
        #expect(try Multiaddr(bytes: address.bytes) == address)
        #expect(try Multiaddr(address.components) == address)
        #expect(try Multiaddr(parsing: text + "//") == address)
        for component in address.components {
            #expect(try Multiaddr.Component(component.kind, value: component.value) == component)
            if component.kind.hasValue { #expect(try Multiaddr.Component(component.kind, text: component.text) == component) }
        }
        for corrupt in corruptions(address.bytes) {
            guard let other = try? Multiaddr(bytes: corrupt) else { continue }
            #expect(Multiaddr(other.description) == other, "\(corrupt)")
        }
        for length in 0..<address.bytes.count {
            guard let shorter = try? Multiaddr(bytes: address.bytes.prefix(length)) else { continue }
            #expect(address.components.starts(with: shorter.components))
        }
    }

    @Test func everyProtocolIsCovered() {
        let used = Set(MultiaddrTests.canonical.flatMap { Array(Multiaddr($0)?.components ?? Multiaddr("/tcp/0")!.components).map(\.kind) })
        #expect(used == Set(MultiaddrProtocol.allCases))
    }

    @Test func registry() throws {
        var missing = Set(MultiaddrProtocol.allCases)
        for row in try rows("multiformats/multicodec/table.csv") where row[1] == "multiaddr" {
            let kind = try #require(MultiaddrProtocol(name: row[0]), "\(row[0])")
            #expect(kind.rawValue == UInt64(row[2].dropFirst(2), radix: 16))
            #expect(kind.name == row[0])
            missing.remove(kind)
        }
        // The memory transport has a code in the implementations only.
        #expect(missing == [.memory])
    }

    @Test(arguments: [
        ("/ip4/127.0.0.1/udp/1234", "047f000001910204d2"), ("/ip4/127.0.0.1/tcp/4321", "047f0000010610e1"),
        ("/ip4/127.0.0.1/udp/1234/ip4/127.0.0.1/tcp/4321", "047f000001910204d2047f0000010610e1"),
        ("/onion/aaimaq4ygg2iegci:80", "bc030010c0439831b48218480050"),
        ("/onion3/\(onion3):1234", "bd03adadec040be047f9658668b11a504f3155001f231a37f54c4476c07fb4cc139ed7e30304d2"),
        ("/garlic32/566niximlxdzpanmn4qouucvua3k7neniwss47li5r6ugoertzuq", "bf0320efbcd45d0c5dc79781ac6f20ea5055a036afb48d45a52e7d68ec7d4338919e69"),
        ("/ip6zone/eth0/ip6/::1", "2a04657468302900000000000000000000000000000001"), ("/memory/258", "89060000000000000102"),
        ("/unix/a/b", "9003042f612f62"), ("/http-path/a%2Fb", "e10303612f62"), ("/scion/19-ffaa:1:1079", "80c0c0060013ffaa00011079"),
        ("/ip6/2001:db8::/ipcidr/32", "2920010db80000000000000000000000002b20"),
    ]) func binary(_ text: String, _ bytes: String) throws {
        #expect(try Multiaddr(parsing: text).bytes == hex(bytes))
        #expect(try Multiaddr(bytes: hex(bytes)).description == text)
    }

    @Test(arguments: [
        ("/ipfs/\(peer)", "/p2p/\(peer)"), ("/p2p/k51qzi5uqu5dhb6l8spkdx7yxafegfkee5by8h7lmjh2ehc2sgg34z7c15vzqs", "/p2p/\(peer)"),
        ("/p2p/bafzaajaiaejcalj543iwv2d7pkjt7ykvefrkfu7qjfi6sduakhso4lay6abn2d5u", "/p2p/\(peer)"),
        ("/p2p/k2k4r8oqamigqdo6o7hsbfwd45y70oyynp98usk7zmyfrzpqxh1pohl7", "/p2p/QmcgpsyWgH8Y8ajJz1Cu72KnS5uo2Aa2LpzU7kinSupNKC"),
        ("/p2p/bafzbeigvf25ytwc3akrijfecaotc74udrhcxzh2cx3we5qqnw5vgrei4bm", "/p2p/QmcgpsyWgH8Y8ajJz1Cu72KnS5uo2Aa2LpzU7kinSupNKC"),
        ("/ip4/1.2.3.4/tcp/080/", "/ip4/1.2.3.4/tcp/80"), ("/ip6/2001:DB8:0:0:1:0:0:1", "/ip6/2001:db8::1:0:0:1"),
        ("/ip6/0:0:0:0:0:ffff:0102:0304", "/ip6/::ffff:1.2.3.4"), ("/http-path/tmp%2fbar", "/http-path/tmp%2Fbar"),
        ("/ONION".lowercased() + "/TIMAQ4YGG2IEGCI7:80", "/onion/timaq4ygg2iegci7:80"),
        ("/udp/1/certhash/b2uaraocy6yrdblb4sfptaddgimjmmpy", "/udp/1/certhash/u1QEQOFj2IjCsPJFfMAxmQxLGPw"),
    ]) func canonicalises(_ text: String, _ expected: String) throws {
        #expect(try Multiaddr(parsing: text).description == expected)
    }

    static let bad = [
        "/ip4", "/ip4/::1", "/ip4/fdpsofodsajfdoisa", "/ip4/::/ipcidr/256", "/ip6/::/ipcidr/1026", "/ip6", "/ip6zone", "/ip6zone/", "/ip6zone//ip6/fe80::1",
        "/udp", "/tcp", "/sctp", "/udp/65536", "/tcp/65536", "/tcp/+1", "/tcp/ 1", "/tcp/", "/tcp//ws", "/quic/65536", "/quic-v1/65536",
        "/onion/9imaq4ygg2iegci7:80", "/onion/aaimaq4ygg2iegci7:80", "/onion/timaq4ygg2iegci7:0", "/onion/timaq4ygg2iegci7:-1", "/onion/timaq4ygg2iegci7",
        "/onion/timaq4ygg2iegci@:666", "/onion3/9ww6ybal4bd7szmgncyruucpgfkqahzddi37ktceo3ah7ngmcopnpyyd:80", "/onion3/\(onion3)7:80", "/onion3/\(onion3):0",
        "/onion3/\(onion3):-1", "/onion3/\(onion3)", "/onion3/vww6ybal4bd7szmgncyruucpgfkqahzddi37ktceo3ah7ngmcopnpyy@:666",
        "/garlic64/\(garlic)7:80", "/garlic64/\(garlic):0", "/garlic64/\(garlic)@:666", "/garlic64/AAAA",
        "/garlic32/566niximlxdzpanmn4qouucvua3k7neniwss47li5r6ugoertzu", "/garlic32/566niximlxdzpanmn4qouucvua3k7neniwss47li5r6ugoertzu77",
        "/garlic32/566niximlxdzpanmn4qouucvua3k7neniwss47li5r6ugoertzu:80", "/garlic32/566niximlxdzpanmn4qouucvua3k7neniwss47li5r6ugoertzuq:-1",
        "/udp/1234/sctp", "/udp/1234/udt/1234", "/udp/1234/utp/1234", "/ip4/127.0.0.1/udp/jfodsajfidosajfoidsa", "/ip4/127.0.0.1/udp",
        "/ip4/127.0.0.1/quic/1234", "/ip4/127.0.0.1/udp/1234/quic-v1/webtransport/certhash",
        "/ip4/127.0.0.1/udp/1234/quic-v1/webtransport/certhash/b2uaraocy6yrdblb4sfptaddgimjmmp", "/ip4/127.0.0.1/ipfs", "/ip4/127.0.0.1/ipfs/tcp",
        "/ip4/127.0.0.1/p2p", "/ip4/127.0.0.1/p2p/tcp", "/unix", "/unix/", "/ip4/1.2.3.4/tcp/80/unix", "/ip4/1.2.3.4/tcp/-1",
        "/ip4/127.0.0.1/tcp/9090/http/p2p-webcrt-direct", "/memory/92233720368547758081", "/memory/", "/", "", "ip4/1.2.3.4", "//ip4/1.2.3.4",
        "/p2p/QmxoHT6iViN5xAjoz1VZ553cL31U9F94ht3QvWR1FrEbZY", "/p2p/k2k4r8oqamigqdo6o7hsbfwd45y70oyynp98usk7zmyfrzpqxh1pohl-",
        "/p2p/?unknownmultibase", "/p2p/k2jmtxwoe2phm1hbqp0e7nufqf6umvuu2e9qd7ana7h411a0haqj6i2z", "/ip4/1.2.3", "/ip4/1.2.3.4.5", "/ip4/1.2.3.256",
        "/ip4/01.2.3.4", "/ip4/1..3.4", "/ip6/1.2.3.4", "/ip6/:1::2", "/ip6/1:2:3:4:5:6:7", "/ip6/1:2:3:4:5:6:7:8:9", "/ip6/1::2::3", "/ip6/1:::2",
        "/ip6/12345::", "/ip6/::1%eth0", "/ip6/1:2:3:4:5:6:7:8::", "/ip6/::1.2.3.4:1", "/ip6/1:", "/ip6/:", "/dns//tcp/1", "/http-path", "/http-path/%",
        "/http-path/%zz", "/scion/1", "/scion/1-2-3", "/scion/65536-1", "/scion/1-4294967296", "/scion/1-1:2:3:4", "/scion/1-12345:0:0", "/scion/1-:0:0",
        "/ip4/1.2.3.4/\u{301}tcp/1", "/dns/\(String(repeating: "a", count: 1100))",
    ]

    @Test(arguments: bad) func refused(_ text: String) {
        #expect(throws: MultiaddrError.self) { try Multiaddr(parsing: text) }
        #expect(Multiaddr(text) == nil)
    }

    @Test(arguments: [
        ("", MultiaddrError.empty), ("04010203", .truncated), ("06", .truncated), ("86", .truncated), ("8600", .truncated), ("07", .unknownProtocol(7)),
        ("3500", .invalidValue(.dns)), ("350161", nil), ("3502612f", .invalidValue(.dns)), ("3501ff", .invalidValue(.dns)), ("35ff7f", .truncated),
        ("35ffffffffffffffff7f", .truncated), ("3505616263", .truncated), ("90030161", .invalidValue(.unix)), ("90032f", .truncated),
        ("9003012f", .invalidValue(.unix)), ("9003022f61", nil), ("9003022f61060001", .afterPath), ("bc03000000000000000000000000", .invalidValue(.onion)),
        ("a503221221c05877cbae039d70a5e600ea02c6f9f2942439285c9e344e26f8d280c850fad6", .invalidValue(.p2p)),
        ("a50304110201 02", .invalidValue(.p2p)), ("d20300", .invalidValue(.certhash)), ("e10300", .invalidValue(.httpPath)),
    ] as [(String, MultiaddrError?)]) func binaryStrictness(_ text: String, _ error: MultiaddrError?) throws {
        if let error {
            #expect(throws: error) { try Multiaddr(bytes: hex(text)) }
        } else {
            #expect(try Multiaddr(bytes: hex(text)).bytes == hex(text))
        }
    }

    @Test func lengthIsBounded() throws {
        let name = [UInt8](repeating: 0x61, count: FormatsLimits.multiaddrBytes - 3)
        let longest = Bytes([0x35, 0xfd, 0x07] + name)
        #expect(longest.count == FormatsLimits.multiaddrBytes)
        let address = try Multiaddr(bytes: longest)
        #expect(Multiaddr(address.description) == address)
        #expect(throws: MultiaddrError.tooLong) { try Multiaddr(bytes: Bytes([0x35, 0xfe, 0x07] + name + [0x61])) }
        #expect(throws: MultiaddrError.tooLong) { try address.encapsulating(address) }
        let wordy = try Multiaddr(Array(repeating: Multiaddr.Component(.p2pWebSocketStar), count: FormatsLimits.multiaddrBytes / 2))
        #expect(Multiaddr(wordy.description) == wordy)
        #expect(throws: MultiaddrError.tooLong) { try Multiaddr(parsing: wordy.description + "/ws" + String(repeating: "/ws", count: 500)) }
    }

    @Test(arguments: [
        ("/ip4/1.2.3.4/tcp/1234", "/ip4/1.2.3.4", nil), ("/ip4/1.2.3.4", "/ip4/1.2.3.4/tcp/1234", "/ip4/1.2.3.4"),
        ("/ip4/1.2.3.5/tcp/1234", "/ip4/5.3.2.1", "/ip4/1.2.3.5/tcp/1234"), ("/ip4/1.2.3.5/udp/1234/quic-v1", "/udp/1234", "/ip4/1.2.3.5"),
        ("/ip4/1.2.3.6/udp/1234/quic-v1", "/udp/1234/quic-v1", "/ip4/1.2.3.6"), ("/ip4/1.2.3.7/tcp/1234", "/ws", "/ip4/1.2.3.7/tcp/1234"),
        ("/dnsaddr/wss.com/tcp/4001", "/ws", "/dnsaddr/wss.com/tcp/4001"), ("/dnsaddr/wss.com/ws", "/dnsaddr/wss.com", nil),
        ("/dnsaddr/wss.com/tcp/4001/wss", "/wss", "/dnsaddr/wss.com/tcp/4001"), ("/tcp/1/ws/tcp/1/ws", "/tcp/1", "/tcp/1/ws"),
    ] as [(String, String, String?)]) func decapsulates(_ outer: String, _ inner: String, _ expected: String?) throws {
        #expect(try Multiaddr(parsing: outer).decapsulating(Multiaddr(parsing: inner))?.description == expected)
    }

    @Test func parts() throws {
        let address = try Multiaddr(parsing: "/ip4/1.2.3.4/tcp/4001/p2p/\(MultiaddrTests.peer)")
        #expect(address.ip == .v4(0x0102_0304))
        #expect(address.port(.tcp) == 4001)
        #expect(address.port(.udp) == nil)
        #expect(address.socketAddress(over: .tcp) == SocketAddress(ip: .v4(0x0102_0304), port: 4001))
        #expect(address.socketAddress(over: .udp) == nil)
        #expect(address.peerID?.base58 == MultiaddrTests.peer)
        #expect(address.withoutPeerID?.description == "/ip4/1.2.3.4/tcp/4001")
        #expect(address.first(.p2p)?.text == MultiaddrTests.peer)
        #expect(address.contains(.tcp) && !address.contains(.ws))
        let other = try Multihash(base58: "QmcgpsyWgH8Y8ajJz1Cu72KnS5uo2Aa2LpzU7kinSupNKC")
        #expect(try address.with(peerID: other).peerID == other)
        #expect(try address.withoutPeerID?.with(peerID: other) == address.with(peerID: other))
        let relayed = try address.encapsulating(Multiaddr(parsing: "/p2p-circuit"))
        #expect(relayed.description == address.description + "/p2p-circuit")
        #expect(relayed.peerID == nil)
        #expect(relayed.withoutPeerID == relayed)
        #expect(try relayed.with(peerID: other).peerID == other)
        #expect(try Multiaddr(parsing: "/p2p/\(MultiaddrTests.peer)").withoutPeerID == nil)
        #expect(throws: MultiaddrError.invalidValue(.p2p)) { try address.with(peerID: Multihash(.sha1, digest: [1])) }
        #expect(throws: MultiaddrError.afterPath) { try Multiaddr(parsing: "/unix/a").encapsulating(address) }
        #expect(try Multiaddr(parsing: "/dns/a/tcp/1").ip == nil)
        #expect(throws: MultiaddrError.empty) { try Multiaddr([]) }
    }

    @Test func sockets() throws {
        let v4 = SocketAddress(ip: .v4(0x7f00_0001), port: 4701)
        #expect(Multiaddr(v4, over: .tcp).description == "/ip4/127.0.0.1/tcp/4701")
        #expect(Multiaddr(v4, over: .udp).description == "/ip4/127.0.0.1/udp/4701")
        for address in [v4, SocketAddress(ip: .v6(high: 0, low: 1, zone: 0), port: 0), SocketAddress(ip: .v6(high: 0xfe80 << 48, low: 9, zone: 3), port: 65535)] {
            #expect(Multiaddr(address, over: .tcp).socketAddress(over: .tcp) == address)
            #expect(try Multiaddr(bytes: Multiaddr(address, over: .udp).bytes).socketAddress(over: .udp) == address)
        }
        #expect(try Multiaddr(parsing: "/ip4/1.2.3.4/ws/tcp/1").socketAddress(over: .tcp) == nil)
        #expect(try Multiaddr(parsing: "/ip6zone/3/ip6/fe80::9/tcp/1").ip == .v6(high: 0xfe80 << 48, low: 9, zone: 3))
    }
}

@Suite struct IPAddressTests {
    /// RFC 5952, section 4, and RFC 4291, section 2.2.
    @Test(arguments: [
        ("2001:db8:0:0:1:0:0:1", "2001:db8::1:0:0:1"), ("2001:0db8::0001", "2001:db8::1"), ("2001:db8::0:1", "2001:db8::1"),
        ("2001:db8:0:1:1:1:1:1", "2001:db8:0:1:1:1:1:1"), ("2001:0:0:1:0:0:0:1", "2001:0:0:1::1"), ("2001:DB8::1", "2001:db8::1"),
        ("0:0:0:0:0:0:0:0", "::"), ("0:0:0:0:0:0:0:1", "::1"), ("1:0:0:0:0:0:0:0", "1::"), ("::ffff:1.2.3.4", "::ffff:1.2.3.4"),
        ("::1.2.3.4", "::102:304"), ("64:ff9b::192.0.2.33", "64:ff9b::c000:221"), ("1:2:3:4:5:6:1.2.3.4", "1:2:3:4:5:6:102:304"),
        ("127.0.0.1", "127.0.0.1"), ("fe80::", "fe80::"), ("1:2:3:4:5:6:7::", "1:2:3:4:5:6:7:0"), ("::2:3:4:5:6:7:8", "0:2:3:4:5:6:7:8"),
    ]) func text(_ text: String, _ expected: String) throws {
        let address = try #require(IPAddress(text: text))
        #expect(address.text == expected)
        #expect(IPAddress(text: expected) == address)
        #expect(IPAddress(bytes: address.bytes) == address)
    }

    @Test func randomRoundTrips() {
        var random = Seeded(3)
        for _ in 0..<2000 {
            // Many zero groups, so that every shape of `::` comes up.
            let groups = (0..<8).map { _ in Bool.random(using: &random) ? 0 : UInt64.random(in: 0...0xffff, using: &random) }
            let address = IPAddress.v6(high: groups[..<4].reduce(0) { $0 << 16 | $1 }, low: groups[4...].reduce(0) { $0 << 16 | $1 }, zone: 0)
            #expect(IPAddress(text: address.text) == address)
            #expect(IPAddress(bytes: address.bytes) == address)
        }
        #expect(IPAddress(bytes: [1, 2, 3]) == nil)
    }
}
