import Testing
import WaggleAssembly
import WaggleBase
import WaggleFormats
import WaggleNetwork
import WaggleSimulation

@testable import WaggleContent

/// A simulated node with a repository and bitswap.
struct ContentNode: Sendable {
    let host: Host
    let node: Node
    let repository: Repository
    let bitswap: Bitswap

    static func start(
        _ world: World, _ name: String, protocols: [ProtocolID] = BitswapVersion.protocols, routing: (any ContentRouting)? = nil
    ) async throws -> ContentNode {
        let host = world.host(name)
        var configuration = NodeConfiguration.preset(.lan)
        configuration.policy = .classical
        configuration.listen = [Multiaddr(host.address(port: 4001), over: .tcp)]
        let node = try await Node(configuration, on: host.system)
        let repository = try TestRepository.make(on: host.system)
        let bitswap = Bitswap(store: repository.blocks, routing: routing, protocols: protocols)
        node.add(bitswap)
        try await node.start()
        return ContentNode(host: host, node: node, repository: repository, bitswap: bitswap)
    }

    var blocks: BlockStore { repository.blocks }
    var peer: PeerID { node.peer }

    func connect(to other: ContentNode) async throws {
        try await node.connect(other.node.listenAddresses[0].with(peer: other.peer))
    }

    /// Fetches and pins.
    func pin(_ root: CID) async throws {
        try await bitswap.withSession(storing: false) { session in
            try await repository.pins.add(Pin(root, .recursive), from: session)
        }
    }

    /// Reads every block of a tree in order, announcing `ahead` blocks, as a reader of files does.
    func read(_ tree: TestTree, ahead: Int = 16) async throws {
        try await bitswap.withSession { session in
            for (index, block) in tree.blocks.enumerated() {
                session.prefetch(Array(tree.blocks[index..<min(index + ahead, tree.blocks.count)].map(\.cid)))
                let bytes = try await session.block(block.cid)
                #expect(bytes == block.bytes)
            }
        }
    }

    func until(_ limit: Duration = .seconds(60), _ condition: @Sendable () async throws -> Bool) async throws {
        let home = node.system.home
        let end = home.now + limit
        while try await !condition() {
            guard home.now < end else { throw BitswapTestError.tooLate }
            try await home.sleep(until: home.now + .milliseconds(10))
        }
    }
}

enum BitswapTestError: Error { case tooLate }

/// Runs `body` in a world and gives the world for a look at its trace.
func withWorld<R: Sendable>(
    seed: UInt64 = 1, options: WorldOptions = WorldOptions(), _ body: @escaping @Sendable (World) async throws -> R
) throws -> R {
    let world = World(seed: seed, options: options)
    return try world.run(limit: .seconds(600)) { try await body(world) }
}

/// A peer that speaks bitswap's wire format and no manners.
final class RudePeer: Service {
    let protocols: [ProtocolID]
    /// What it does with each message.
    let answer: @Sendable (BitswapMessage, WaggleNetwork.Stream, RudePeer) async throws -> Void
    let node: Node

    init(
        _ world: World, _ name: String, protocols: [ProtocolID] = ["/ipfs/bitswap/1.2.0"],
        _ answer: @escaping @Sendable (BitswapMessage, WaggleNetwork.Stream, RudePeer) async throws -> Void = { _, _, _ in }
    ) async throws {
        self.protocols = protocols
        self.answer = answer
        let host = world.host(name)
        var configuration = NodeConfiguration.preset(.lan)
        configuration.policy = .classical
        configuration.listen = [Multiaddr(host.address(port: 4001), over: .tcp)]
        node = try await Node(configuration, on: host.system)
        node.add(self)
        try await node.start()
    }

    func serve(_ stream: WaggleNetwork.Stream, from peer: PeerID) async throws {
        while let bytes = try await stream.readMessage(limit: .mebibytes(16)) { try await answer(try BitswapMessage(bytes), stream, self) }
    }

    /// Opens a stream to `other` for `body`.
    func talk(to other: ContentNode, _ body: @Sendable (WaggleNetwork.Stream) async throws -> Void) async throws {
        try await node.connect(other.node.listenAddresses[0].with(peer: other.peer))
        try await node.swarm.withStream(to: other.peer, protocols[0], body: body)
    }

    /// Sends one message on a stream of its own.
    func send(_ message: BitswapMessage, to peer: PeerID) async throws {
        try await node.swarm.withStream(to: peer, protocols[0]) { stream in
            try await stream.writeMessage(message.encode(BitswapVersion(stream.protocolID)))
        }
    }
}
