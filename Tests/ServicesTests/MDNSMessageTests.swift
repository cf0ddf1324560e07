import Testing
import WaggleBase
import WaggleFormats
import WaggleNetwork
@testable import WaggleServices

@Suite struct MDNSMessageTests {
    private static let peer = "12D3KooWA6EGcHyLd5zLwJkP8X5sVTQpGqDwgBR3yqkgXJQaMcxR"

    private func decode(_ bytes: [UInt8]) throws -> DNSMessage { try DNSMessage(decoding: bytes.span.bytes) }

    private func address(_ text: String) throws -> Multiaddr { try #require(Multiaddr(text)) }

    @Test func answersSurviveTheWire() throws {
        let names = MDNSNames(label: "abcdefghijklmnopqrstuvwxyz012345")
        let addresses = try [address("/ip4/192.168.1.7/tcp/4701/p2p/\(Self.peer)"), address("/ip6/fd00::1/tcp/4701/p2p/\(Self.peer)")]
        let message = names.answer(addresses)
        let bytes = message.encoded().array
        #expect(bytes.count < 512)
        #expect(try decode(bytes) == message)
        #expect(message.answers[0].data == .pointer(names.instance))
        guard case .texts(let texts) = message.additional[0].data else { return #expect(Bool(false)) }
        let found = texts.compactMap { names.address(in: $0) }
        #expect(found.map(\.1) == addresses.compactMap(\.withoutPeerID))
        #expect(found.map(\.0.description) == [Self.peer, Self.peer])
        #expect(message.additional[1].data == .service(port: 4701, host: DNSName("abcdefghijklmnopqrstuvwxyz012345.local")))
        #expect(message.additional.count == 4)
        #expect(try decode(names.question().encoded().array) == names.question())
    }

    @Test func theLongestAnswerFitsAnyLink() throws {
        let names = MDNSNames(label: String(repeating: "x", count: 63))
        let addresses = try (10..<60).map { try address("/ip6/fd00:1234:5678:9abc:def0:1234:5678:9a\($0)/tcp/47\($0)/p2p/\(Self.peer)") }
        let message = names.answer(addresses)
        #expect(message.encoded().count <= 1280 - 48)
        guard case .texts(let texts) = message.additional[0].data else { return #expect(Bool(false)) }
        #expect(texts.count >= 5 && texts.allSatisfy { $0.count <= 255 })
        #expect(names.goodbye().answers.allSatisfy { $0.seconds == 0 && $0.data == .pointer(names.instance) })
    }

    @Test func wordsOnTheWire() throws {
        // The question that other implementations send.
        let question: [UInt8] =
            [0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 4] + Array("_p2p".utf8) + [4] + Array("_udp".utf8) + [5] + Array("local".utf8) + [0, 0, 12, 0, 1]
        #expect(MDNSNames(label: "x").question().encoded().array == question)
        var unicast = question
        unicast[unicast.count - 2] = 0x80
        #expect(try decode(unicast).questions == [.init(name: DNSName("_p2p._udp.local"), type: 12, wantsUnicast: true)])
    }

    @Test func namesKnowNoCase() throws {
        #expect(DNSName("_P2P._UDP.Local") == DNSName("_p2p._udp.local"))
        #expect(DNSName("a._p2p._udp.local").isChild(of: DNSName("_p2p._udp.local")))
        #expect(!DNSName("a.b._p2p._udp.local").isChild(of: DNSName("_p2p._udp.local")))
    }

    @Test func pointersCannotLoop() {
        let header: [UInt8] = [0, 0, 0x84, 0, 0, 1, 0, 0, 0, 0, 0, 0]
        // To itself, forward, and two that point at each other.
        for name: [UInt8] in [[0xc0, 12], [0xc0, 14, 0], [0xc0, 14, 0xc0, 12], [1, 0x61, 0xc0, 12]] {
            #expect(throws: DNSError.badName) { try decode(header + name + [0, 12, 0, 1]) }
        }
        // Names that grow over the limit through pointers.
        var bytes = header
        bytes[5] = 6
        for index in 0..<6 {
            let place = bytes.count
            bytes += [63] + [UInt8](repeating: 0x61, count: 63)
            bytes += index == 0 ? [0] : [0xc0 | UInt8((place - 70 + (index == 1 ? 1 : 0)) >> 8), UInt8((place - 70 + (index == 1 ? 1 : 0)) & 255)]
            bytes += [0, 12, 0, 1]
        }
        #expect(throws: DNSError.self) { try decode(bytes) }
    }

    /// A long name, and a few hundred records that name it with two bytes each.
    @Test func pointersCannotMultiplyWork() {
        var bytes: [UInt8] = [0, 0, 0x84, 0, 0, 0, 0, 200, 0, 0, 0, 0]
        bytes += (0..<120).flatMap { [1, UInt8($0)] } + [0, 0, 12, 0, 1, 0, 0, 0, 9, 0, 2, 0xc0, 12]
        for _ in 1..<200 { bytes += [0xc0, 12, 0, 12, 0, 1, 0, 0, 0, 9, 0, 2, 0xc0, 12] }
        #expect(bytes.count < DNSLimits.message)
        #expect(throws: DNSError.badName) { try decode(bytes) }
    }

    @Test func brokenMessagesAreRefused() throws {
        let names = MDNSNames(label: "abcdefghijklmnopqrstuvwxyz012345")
        let whole = names.answer([try address("/ip4/192.168.1.7/tcp/4701/p2p/\(Self.peer)")]).encoded().array
        for count in 0..<whole.count { #expect(throws: DNSError.self) { try decode(Array(whole.prefix(count))) } }
        // Every byte changed: refused or read, never a trap.
        for index in whole.indices {
            for value: UInt8 in [0, 1, 0x3f, 0x40, 0x7f, 0xc0, 0xff] {
                var changed = whole
                changed[index] = value
                if let message = try? decode(changed) { _ = message.encoded() }
            }
        }
        var many = whole
        many[6] = 0xff
        #expect(throws: DNSError.tooManyRecords) { try decode(many) }
        #expect(throws: DNSError.truncated) { try decode([UInt8](repeating: 0, count: DNSLimits.message + 1)) }
    }

    @Test func onlyAddressesOfTheNetworkAreTaken() throws {
        let names = MDNSNames(label: "x")
        func take(_ text: String) -> Bool { names.address(in: Array(text.utf8)) != nil }
        #expect(take("dnsaddr=/ip4/10.0.0.1/tcp/1/p2p/\(Self.peer)"))
        #expect(take("dnsaddr2=/ip6/fd00::1/udp/1/quic-v1/p2p/\(Self.peer)"))
        for text in [
            "", "dnsaddr", "dnsaddr=", "dnsaddrx=/ip4/10.0.0.1/tcp/1/p2p/\(Self.peer)", "id=\(Self.peer)", "dnsaddr=/ip4/10.0.0.1/tcp/1",
            "dnsaddr=/dns4/host.local/tcp/1/p2p/\(Self.peer)", "dnsaddr=/p2p/\(Self.peer)",
            "dnsaddr=/ip4/10.0.0.1/tcp/1/p2p/\(Self.peer)/p2p-circuit/p2p/\(Self.peer)", "dnsaddr=garbage",
        ] { #expect(!take(text), "\(text)") }
    }

    @Test func answersFitAPacket() throws {
        let addresses = try (0..<200).map { try address("/ip4/192.168.1.\($0)/tcp/4701/p2p/\(Self.peer)") }
        #expect(MDNSNames(label: String(repeating: "a", count: 40)).answer(addresses).encoded().count < 1432)
    }
}
