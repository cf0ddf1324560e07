import Testing
import WaggleBase
import WaggleFormats
import WaggleNetwork
@testable import WaggleServices

@Suite struct KademliaMessageTests {
    /// The bytes that go-libp2p's protobuf code writes for a request: type 4, key.
    @Test func requestsHaveTheKnownShape() throws {
        #expect(KademliaMessage.encode(.findNode, key: [1, 2, 3]).array == [0x08, 4, 0x12, 3, 1, 2, 3])
        #expect(KademliaMessage.encode(.ping).array == [0x08, 5])
        let put = KademliaMessage.encode(.putValue, key: "k", value: "v")
        #expect(put.array == [0x08, 0, 0x12, 1, 0x6b, 0x1a, 6, 0x0a, 1, 0x6b, 0x12, 1, 0x76])
        let message = try KademliaMessage(put)
        #expect(message.kind == .putValue)
        #expect(message.record?.key == "k")
        #expect(message.record?.value == "v")
        // The type is left out where it is zero, as version 3 of protobuf does.
        #expect(try KademliaMessage([0x12, 1, 0x6b]).kind == .putValue)
    }

    @Test func peersComeBack() throws {
        let contacts = (0..<20).map { contact($0, ["/ip4/1.2.3.\($0)/tcp/4001", "/ip6/2001:db8::\($0)/udp/4001/quic-v1"]) }
        var writer = ProtobufWriter()
        KademliaMessage.begin(&writer, .getProviders, key: "key")
        for (index, contact) in contacts.enumerated() {
            let field = index < 15 ? KademliaMessage.closerField : KademliaMessage.providerField
            KademliaMessage.write(peer: KademliaMessage.encode(contact), isConnected: index % 2 == 0, field: field, &writer)
        }
        let message = try KademliaMessage(writer.finish())
        #expect(message.key == "key")
        #expect(message.contacts(providers: false) == Array(contacts[..<15]))
        #expect(message.contacts(providers: true) == Array(contacts[15...]))
    }

    @Test func whatIsUselessIsLeftOut() throws {
        let good = contact(1)
        var peer = ProtobufWriter()
        peer.write(1, good.peer.bytes)
        peer.write(2, good.addresses[0].with(peer: good.peer).bytes)
        peer.write(2, good.addresses[0].with(peer: peerID(2)).bytes)
        peer.write(2, [0xff, 0xff, 0xff, 0x01, 0x00] as Bytes)
        peer.write(2, Bytes())
        let encoded = peer.finish()
        var writer = ProtobufWriter()
        KademliaMessage.begin(&writer, .findNode, key: "k")
        writer.write(KademliaMessage.closerField, encoded)
        writer.write(KademliaMessage.closerField, Bytes())
        writer.write(77, "unknown")
        #expect(try KademliaMessage(writer.finish()).contacts(providers: false) == [good])
    }

    @Test func floodsAreCut() throws {
        var writer = ProtobufWriter()
        KademliaMessage.begin(&writer, .findNode, key: "k")
        var peer = ProtobufWriter()
        peer.write(1, peerID(1).bytes)
        for number in 0..<1000 { peer.write(2, contact(UInt64(number)).addresses[0].bytes) }
        let encoded = peer.finish()
        for _ in 0..<500 { writer.write(KademliaMessage.closerField, encoded) }
        for _ in 0..<500 { writer.write(KademliaMessage.providerField, encoded) }
        let message = try KademliaMessage(writer.finish())
        #expect(message.contacts(providers: false).count == KademliaLimits.closerPeers)
        #expect(message.contacts(providers: true).count == KademliaLimits.providerPeers)
        for contact in message.contacts(providers: true) {
            #expect(contact.addresses.count == KademliaLimits.addressesPerPeer)
            // Whoever keeps one of them must not keep all.
            #expect(contact.addresses.allSatisfy { $0.bytes.retained <= KademliaLimits.sharedPeer } && contact.peer.bytes.retained <= KademliaLimits.sharedPeer)
        }
    }

    /// Whatever addresses peers have, an answer fits into what others read.
    @Test func answersFitIntoOnePacket() throws {
        let long = (0..<30).map { "/ip6/2001:db8:1:2:3:4:5:\($0)/udp/4001/quic-v1/webtransport/certhash/uEiAkH5a4DPGKUuOBjYw0CgwjvcJCJMD2K_1aluKR_tpevQ" }
        var writer = ProtobufWriter()
        KademliaMessage.begin(&writer, .findNode, key: Bytes())
        for number in 0..<20 {
            KademliaMessage.write(
                peer: KademliaMessage.encode(contact(UInt64(number), long)), isConnected: true, field: KademliaMessage.closerField, &writer)
        }
        let answer = writer.finish()
        #expect(answer.count <= KademliaLimits.answer.bytes)
        let told = try KademliaMessage(answer).contacts(providers: false)
        #expect(told.count == 20 && told.allSatisfy { $0.addresses.count >= 8 })
        // Those that are told twice count once.
        var peer = ProtobufWriter()
        peer.write(1, peerID(1).bytes)
        for _ in 0..<3 { peer.write(2, contact(1).addresses[0].bytes) }
        var twice = ProtobufWriter()
        twice.write(KademliaMessage.closerField, peer.finish())
        #expect(try KademliaMessage(twice.finish()).contacts(providers: false) == [contact(1)])
    }

    @Test func hugeKeysAndValuesAreRefused() {
        let long = Bytes([UInt8](repeating: 1, count: KademliaLimits.key + 1))
        #expect(throws: ProtobufError.limit(field: 2)) { try KademliaMessage(KademliaMessage.encode(.getValue, key: long)) }
        let value = Bytes([UInt8](repeating: 1, count: KademliaLimits.value.bytes + 1))
        #expect(throws: ProtobufError.limit(field: 3)) { try KademliaMessage(KademliaMessage.encode(.putValue, key: "k", value: value)) }
        #expect(throws: ProtobufError.self) { try KademliaMessage([0x08, 6]) }
        #expect(throws: ProtobufError.self) { try KademliaMessage([0x42, 5, 0x0a]) }
    }

    /// No prefix of a message and no changed byte traps.
    @Test func brokenMessagesNeverTrap() throws {
        var writer = ProtobufWriter()
        KademliaMessage.begin(&writer, .getValue, key: "/pk/x")
        KademliaMessage.write(record: "value", for: "/pk/x", received: WallTime(nanoseconds: 1_767_225_600_500_000_000), &writer)
        for number in 0..<3 {
            KademliaMessage.write(peer: KademliaMessage.encode(contact(UInt64(number))), isConnected: true, field: KademliaMessage.closerField, &writer)
        }
        let whole = writer.finish()
        for count in 0..<whole.count {
            _ = try? KademliaMessage(whole.prefix(count)).contacts(providers: false)
            for change in [1, 0x80, 0xff] as [UInt8] {
                var bytes = whole.array
                bytes[count] ^= change
                guard let message = try? KademliaMessage(Bytes(bytes)) else { continue }
                _ = message.contacts(providers: false)
                _ = message.record
            }
        }
        #expect(try KademliaMessage(whole).record?.value == "value")
    }
}
