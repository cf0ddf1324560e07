import Synchronization
import Testing
import WaggleAssembly
import WaggleBase
import WaggleContent
import WaggleFormats
import WaggleNetwork
@testable import WaggleServices
import WaggleSimulation
import WaggleTestSupport

/// Nodes with repositories: content of somebody whom one has never heard of.
@Suite struct ContentRoutingTests {
    private func contentNode(_ world: World, _ name: String, addresses: [IPAddress]? = nil) async throws -> ContentNode {
        let host = world.host(name, addresses: addresses)
        try Repository.initialize(at: "/repo", configuration: "{}", on: host.system)
        _ = try IdentityFile.store(try Node.generateKey(host.system), in: "/repo", on: host.system)
        var configuration = NodeConfiguration.preset(.lan)
        configuration.channels = { [PlainChannel($0)] }
        configuration.listen = [Multiaddr(host.address(port: 4001), over: .tcp)]
        return try await ContentNode.open("/repo", network: configuration, on: host.system)
    }

    /// `isPublic`: all addresses are those of the Internet, so that the wide network carries it.
    @Test(arguments: [false, true]) func catOfAStrangersBlock(isPublic: Bool) throws {
        let world = World(seed: isPublic ? 31 : 32)
        try world.run {
            var nodes: [ContentNode] = []
            for number in 0..<8 {
                let node = try await contentNode(world, "node\(number)", addresses: isPublic ? [.v4(0x0800_0001 + UInt32(number) << 16)] : nil)
                try await node.start()
                if let first = nodes.first?.online, let swarm = node.online?.swarm {
                    _ = try await swarm.connect(first.swarm.listenAddresses[0].with(peer: first.swarm.localPeer))
                }
                nodes.append(node)
            }
            try await world.sleep(for: .seconds(60))
            let (provider, reader) = (nodes[2], nodes[6])
            let providerPeer = try #require(provider.online).swarm.localPeer
            let online = try #require(reader.online)
            #expect(online.kademlia?.wide.peerCount == (isPublic ? 7 : 0))
            #expect(online.kademlia?.local.peerCount == (isPublic ? 0 : 7))
            let block = Block(cid: cid("a block of a stranger"), bytes: "a block of a stranger")
            try await provider.repository.blocks.put([block])
            await online.swarm.disconnect(providerPeer)
            online.swarm.addressBook.remove(providerPeer)
            try await #require(provider.online).routing.router.provide(block.cid)
            let fetched = try await online.bitswap.withSession { session in try await session.block(block.cid) }
            #expect(fetched == block.bytes)
            for node in nodes { await node.close() }
        }
    }
}
