import Synchronization
import Testing
import WaggleAssembly
import WaggleBase
import WaggleCryptography
import WaggleFormats
import WaggleNetwork
@testable import WaggleServices
import WaggleSimulation
import WaggleTestSupport

/// Names only its own kind, keeps nothing, and says nothing of providers.
private final class SybilService: Service {
    static let kind = Mutex<[UInt64: [KademliaContact]]>([:])
    private let world: UInt64

    init(world: UInt64) { self.world = world }

    var protocols: [ProtocolID] { ["/ipfs/lan/kad/1.0.0"] }

    func serve(_ stream: WaggleNetwork.Stream, from peer: PeerID) async throws {
        while let request = try await stream.readMessage(limit: KademliaLimits.request) {
            let message = try KademliaMessage(request)
            guard message.kind != .addProvider else { continue }
            var writer = ProtobufWriter(capacity: 2048)
            KademliaMessage.begin(&writer, message.kind, key: message.key)
            for contact in SybilService.kind.withLock({ $0[world] ?? [] }) {
                KademliaMessage.write(peer: KademliaMessage.encode(contact), isConnected: true, field: KademliaMessage.closerField, &writer)
            }
            try await stream.writeMessage(writer.finish())
        }
    }
}

/// Networks in which many are dead, or are not what they seem.
@Suite struct KademliaAttackTests {
    private var small: KademliaConfiguration {
        var configuration = KademliaConfiguration.local()
        configuration.k = 8
        return configuration
    }

    @Test func aFifthIsDeadAndOthersComeAndGo() throws {
        let world = World(seed: 61)
        try world.run {
            let all = try await world.kadNodes(30, small)
            var alive = Array(all.indices)
            func crash(_ index: Int) {
                world.host("node\(index)").crash()
                alive.removeAll { $0 == index }
            }
            for index in stride(from: 1, to: 30, by: 5) { crash(index) }
            var found = 0
            for number in 0..<8 {
                if number % 4 == 3 { crash(alive[number * 2]) }
                let (provider, seeker) = (all[alive[number % alive.count]], all[alive[(number * 7 + 3) % alive.count]])
                let block = cid("block \(number)")
                try await provider.kad.provide(block)
                let isFound = Box(false)
                try await seeker.kad.findProviders(of: block) { candidate in
                    if candidate.peer == provider.peer { isFound.set(true) }
                    return candidate.peer != provider.peer
                }
                if isFound.value { found += 1 }
            }
            #expect(found == 8)
            for node in alive.map({ all[$0] }) { await node.node.close() }
        }
    }

    /// More sybils than a search looks for lie closer to the key than anybody else.
    @Test func sybilsAroundAKeyDoNotHideIt() throws {
        let world = World(seed: 62)
        let block = cid("wanted")
        let target = KademliaKey(block.multihash)
        try world.run {
            let nodes = try await world.kadNodes(50, small)
            try await nodes[7].kad.provide(block)
            var sybils: [Node] = []
            var seed: UInt64 = 0
            while sybils.count < 14 {
                seed += 1
                let key = try IdentityKeyPair(ed25519Seed: SecureBytes(KademliaKey(hashing: Bytes(utf8: "sybil \(seed)")).bytes.array))
                guard KademliaKey(PeerID(key.publicKey)).commonPrefix(with: target) >= 7 else { continue }
                let node = try await world.plainNode("sybil\(sybils.count)") { $0.identity = key }
                node.add(SybilService(world: 62))
                sybils.append(node)
                try await node.start()
            }
            SybilService.kind.withLock { $0[62] = sybils.map { KademliaContact(peer: $0.peer, addresses: $0.listenAddresses) } }
            for (number, sybil) in sybils.enumerated() {
                for step in 0..<8 { _ = try? await sybil.connect(nodes[(number * 5 + step * 6) % 50].node.listenAddresses[0].with(peer: nodes[(number * 5 + step * 6) % 50].peer)) }
            }
            try await world.sleep(for: .seconds(700))
            try await nodes[21].kad.provide(block)
            for seeker in [nodes[2], nodes[13], nodes[34], nodes[45]] {
                let found = Box<Set<PeerID>>([])
                try await seeker.kad.findProviders(of: block) { candidate in
                    found.update { $0.insert(candidate.peer) }
                    return true
                }
                #expect(found.value == [nodes[7].peer, nodes[21].peer])
            }
            for node in nodes { await node.node.close() }
            for sybil in sybils { await sybil.close() }
        }
    }
}
