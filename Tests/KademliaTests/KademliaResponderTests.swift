import Synchronization
import Testing
import WaggleBase
import WaggleCryptography
import WaggleFormats
import WaggleNetwork
@testable import WaggleServices

/// What a server answers, and what it refuses.
@Suite struct KademliaResponderTests {
    private let now = WallTime(nanoseconds: 1_767_225_600_000_000_000)
    private let asker = peerID(5000)

    private func responder(_ peers: Int = 200, scope: KademliaScope = .any) -> KademliaResponder {
        let configuration = KademliaConfiguration(prefix: "/test", scope: scope, validators: [PublicKeyValidator(), NumberValidator()])
        let responder = KademliaResponder(peer: peerID(4999), configuration: configuration, now: Instant(nanoseconds: 0))
        responder.state.withLock { state in
            for number in 0..<peers { state.table.handle(.confirmed(contact(UInt64(number)), isConnected: number % 2 == 0), at: Instant(nanoseconds: 0)) }
        }
        return responder
    }

    private func ask(_ responder: KademliaResponder, _ request: Bytes, from peer: PeerID? = nil, at time: WallTime? = nil) -> KademliaResponder.Answer {
        responder.answer(request, from: peer ?? asker, at: KademliaKey(peer ?? asker), now: time ?? now)
    }

    private func reply(_ answer: KademliaResponder.Answer) throws -> KademliaMessage {
        switch answer {
        case .reply(let bytes), .stored(reply: let bytes?): return try KademliaMessage(bytes)
        default: throw KademliaError.notFound
        }
    }

    private func refusal(_ answer: KademliaResponder.Answer) -> KademliaResponder.Violation? {
        if case .refused(let violation) = answer { violation } else { nil }
    }

    @Test func findNodeNamesTheClosest() throws {
        let responder = responder()
        let target = peerID(17)
        let answer = try reply(ask(responder, KademliaMessage.encode(.findNode, key: target.bytes)))
        let named = answer.contacts(providers: false)
        #expect(answer.kind == .findNode)
        #expect(named.count == 20)
        #expect(named.first == contact(17))
        // Nobody is told of itself.
        let own = try reply(ask(responder, KademliaMessage.encode(.findNode, key: target.bytes), from: target)).contacts(providers: false)
        #expect(own.count == 20 && !own.contains { $0.peer == target })
        // Who looks for us finds us.
        let us = try reply(ask(responder, KademliaMessage.encode(.findNode, key: peerID(4999).bytes))).contacts(providers: false)
        #expect(us.map(\.peer) == [peerID(4999)])
    }

    @Test func connectedPeersAreNamedToo() throws {
        let responder = responder()
        let client = contact(7777)
        let request = KademliaMessage.encode(.findNode, key: client.peer.bytes)
        let answer = responder.answer(request, from: asker, at: KademliaKey(asker), now: now) { $0 == client.peer ? client : nil }
        #expect(try reply(answer).contacts(providers: false).last == client)
        #expect(try reply(answer).contacts(providers: false).count == 21)
    }

    @Test func onlyTheProviderItselfMaySaySo() throws {
        let responder = responder()
        let key = cid("x").multihash.bytes
        let foreign = KademliaMessage.encode(providerOf: key, KademliaMessage.encode(contact(6)))
        #expect(refusal(ask(responder, foreign)) == .foreignProvider)
        let homeless = KademliaMessage.encode(providerOf: key, KademliaMessage.encode(KademliaContact(peer: asker, addresses: [])))
        #expect(refusal(ask(responder, homeless)) == .foreignProvider)
        let own = KademliaContact(peer: asker, addresses: [Multiaddr("/ip4/9.9.9.9/tcp/1")!])
        guard case .stored(reply: nil) = ask(responder, KademliaMessage.encode(providerOf: key, KademliaMessage.encode(own))) else {
            Issue.record("not stored")
            return
        }
        let answer = try reply(ask(responder, KademliaMessage.encode(.getProviders, key: key), from: peerID(3)))
        #expect(answer.contacts(providers: true) == [own])
        #expect(answer.contacts(providers: false).count == 20)
        #expect(answer.key == key)
        let later = try reply(ask(responder, KademliaMessage.encode(.getProviders, key: key), at: now + .seconds(49 * 3600)))
        #expect(later.contacts(providers: true).isEmpty)
    }

    @Test func thePublicNetworkHearsPublicAddresses() throws {
        let responder = responder(0, scope: .wide)
        let key = cid("x").multihash.bytes
        let own = KademliaContact(peer: asker, addresses: ["/ip4/9.9.9.9/tcp/1", "/ip4/10.0.0.1/tcp/1", "/ip4/127.0.0.1/tcp/1"].map { Multiaddr($0)! })
        _ = ask(responder, KademliaMessage.encode(providerOf: key, KademliaMessage.encode(own)))
        let answer = try reply(ask(responder, KademliaMessage.encode(.getProviders, key: key)))
        #expect(answer.contacts(providers: true).map(\.addresses) == [[own.addresses[0]]])
        #expect(KademliaScope.wide.told(["/dns4/example.org/tcp/1", "/dns/localhost/tcp/1", "/ip6/::1/tcp/1"].map { Multiaddr($0)! }).count == 1)
    }

    @Test func addressesAreBounded() throws {
        let responder = responder(0)
        let key = cid("x").multihash.bytes
        var peer = ProtobufWriter()
        peer.write(1, asker.bytes)
        for port in 1...500 { peer.write(2, Multiaddr("/ip4/9.9.9.9/tcp/\(port)")!.bytes) }
        _ = ask(responder, KademliaMessage.encode(providerOf: key, peer.finish()))
        let answer = try reply(ask(responder, KademliaMessage.encode(.getProviders, key: key)))
        #expect(answer.contacts(providers: true).first?.addresses.count == KademliaLimits.toldAddresses)
    }

    /// A key with more providers than one answer holds: none of them is hidden by others.
    @Test func allProvidersComeToTheirTurn() throws {
        let responder = responder()
        let key = cid("popular").multihash.bytes
        let addresses = (0..<8).map { "/ip6/2001:db8::\($0)/udp/4001/quic-v1/webtransport" }
        for number in 0..<100 {
            let provider = contact(UInt64(1000 + number), addresses)
            let add = KademliaMessage.encode(providerOf: key, KademliaMessage.encode(provider))
            guard case .stored = ask(responder, add, from: provider.peer) else { throw KademliaError.notStored }
        }
        var seen: Set<PeerID> = []
        for _ in 0..<24 {
            guard case .reply(let bytes) = ask(responder, KademliaMessage.encode(.getProviders, key: key)) else { throw KademliaError.notFound }
            #expect(bytes.count <= KademliaLimits.answer.bytes)
            let answer = try KademliaMessage(bytes)
            #expect(answer.contacts(providers: false).count == 20)
            seen.formUnion(answer.contacts(providers: true).map(\.peer))
        }
        #expect(seen.count == 100)
    }

    @Test func valuesAreValidatedAndChosen() throws {
        let responder = responder()
        func put(_ value: Bytes, _ key: Bytes = "/number/a") -> KademliaResponder.Answer { ask(responder, KademliaMessage.encode(.putValue, key: key, value: value)) }
        #expect(refusal(put("nonsense")) == .invalidRecord)
        #expect(refusal(put("v1", "/unknown/a")) == .unknownNamespace)
        #expect(refusal(put("v1", "number")) == .unknownNamespace)
        #expect(try reply(put("v5")).record?.value == "v5")
        #expect(refusal(put("v4")) == .outdatedRecord)
        #expect(try reply(put("v5")).record?.value == "v5")
        #expect(try reply(put("v6")).record?.value == "v6")
        let answer = try reply(ask(responder, KademliaMessage.encode(.getValue, key: "/number/a")))
        #expect(answer.record?.value == "v6" && answer.record?.key == "/number/a")
        #expect(answer.contacts(providers: false).count == 20)
        #expect(try reply(ask(responder, KademliaMessage.encode(.getValue, key: "/number/a"), at: now + .seconds(49 * 3600))).record == nil)
        #expect(try reply(ask(responder, KademliaMessage.encode(.getValue, key: "/number/b"))).record == nil)
        // The record's key must be the message's.
        var writer = ProtobufWriter()
        KademliaMessage.begin(&writer, .putValue, key: "/number/a")
        KademliaMessage.write(record: "v9", for: "/number/other", received: nil, &writer)
        #expect(refusal(ask(responder, writer.finish())) == .invalidRecord)
        #expect(refusal(ask(responder, KademliaMessage.encode(.putValue, key: "/number/a"))) == .invalidRecord)
    }

    @Test func publicKeysAreCheckedAgainstTheirPeer() throws {
        let key = try IdentityKeyPair(ed25519Seed: SecureBytes([UInt8](repeating: 7, count: 32))).publicKey
        let responder = responder()
        let name = PublicKeyValidator.key(of: PeerID(key))
        #expect(try reply(ask(responder, KademliaMessage.encode(.putValue, key: name, value: key.encoded))).record?.value == key.encoded)
        #expect(refusal(ask(responder, KademliaMessage.encode(.putValue, key: PublicKeyValidator.key(of: peerID(1)), value: key.encoded))) == .invalidRecord)
        #expect(refusal(ask(responder, KademliaMessage.encode(.putValue, key: "/pk/", value: key.encoded))) == .invalidRecord)
        // Our own is known without being put, where the PeerID does not carry it.
        let own = KademliaMessage.encode(.getValue, key: PublicKeyValidator.key(of: peerID(4999)))
        #expect(try reply(ask(responder, own)).record == nil)
        responder.state.withLock { $0.ownKey = "our key" }
        #expect(try reply(ask(responder, own)).record?.value == "our key")
    }

    @Test func whatIsNoRequestIsRefused() {
        let responder = responder()
        #expect(refusal(ask(responder, [0xff, 0xff])) == .malformed)
        #expect(refusal(ask(responder, KademliaMessage.encode(.findNode))) == .noKey)
        #expect(refusal(ask(responder, KademliaMessage.encode(.getValue))) == .noKey)
        #expect(refusal(ask(responder, KademliaMessage.encode(.getProviders, key: Bytes([UInt8](repeating: 1, count: 81))))) == .noKey)
        #expect(refusal(ask(responder, KademliaMessage.encode(.getValue, key: Bytes([UInt8](repeating: 1, count: 300))))) == .unsupported)
        // A kind of message that is newer than this build proves nothing against who sends it.
        #expect(refusal(ask(responder, [0x08, 0x06])) == .unsupported)
        #expect(responder.state.withLock { $0.counters.refused } == 6)
        guard case .reply(let pong) = ask(responder, KademliaMessage.encode(.ping)) else { return }
        #expect(pong == KademliaMessage.encode(.ping))
    }
}
