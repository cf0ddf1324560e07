import Testing
import WaggleBase
import WaggleCryptography
import WaggleFormats
@testable import WaggleNetwork
import WaggleSimulation
import WaggleStack

/// What a node remembers of the channels that its peers speak.
struct UpgradeMemoryTests {
    @Test func aKnownPeerIsReachedARoundTripSooner() throws {
        let world = World(seed: 21)
        try world.run {
            let left = try world.swarm("left", policy: .prefer)
            let right = try await world.listening("right", policy: .prefer)
            var times: [Duration] = []
            for _ in 0..<3 {
                let start = left.system.home.now
                let connection = try await left.connect(right.dialable)
                times.append(left.system.home.now - start)
                #expect(connection.security.channel == "/noise-mlkem768-hfs/0.2.0" && connection.security.transcriptVerified)
                await left.disconnect(right.localPeer)
                try await world.sleep(for: .seconds(1))
            }
            #expect(times[1] < times[0] && times[2] < times[0])
            await left.close()
            await right.close()
        }
    }

    @Test func aPeerThatChangedIsDialedAgainWithoutAssumptions() throws {
        let world = World(seed: 22)
        try world.run {
            let left = try world.swarm("left", policy: .prefer)
            let key = try IdentityKeyPair(ed25519Seed: SecureBytes([UInt8](repeating: 9, count: 32)))
            let address = Multiaddr(world.host("right").address(port: 4001), over: .tcp)
            let channels: [(SecurityPolicy, ProtocolID)] = [
                (.prefer, "/noise-mlkem768-hfs/0.2.0"), (.classical, "/noise"), (.require, "/noise-mlkem768-hfs/0.2.0"),
            ]
            for (policy, channel) in channels {
                let right = try world.swarm("right", key: key, policy: policy)
                try await right.listen(on: address)
                let connection = try await left.connect(right.dialable)
                #expect(connection.security.channel == channel)
                await left.disconnect(right.localPeer)
                await right.close()
                try await world.sleep(for: .seconds(60))
            }
            await left.close()
        }
    }

    @Test func aRefusalReachesTheDialer() throws {
        let world = World(seed: 23)
        try world.run {
            for (policy, error) in [(SecurityPolicy.classical, UpgradeError.noCommonChannel), (.require, .classicalPeer)] {
                let left = try world.swarm("left \(policy)", policy: policy)
                let right = try await world.listening("right \(policy)", policy: policy == .classical ? .require : .classical)
                let context = TransportContext(
                    system: left.system, upgrader: left.context.upgrader, admit: { _ in true }, accept: { _ in })
                let dial = Dial(
                    address: right.listenAddresses[0], peer: right.localPeer, loop: left.system.home, listening: [], context: context)
                let caught = await failure { try await TCP().dial(dial) } as? TransportError
                #expect(caught == .handshake(error))
                await left.close()
                await right.close()
            }
        }
    }

    @Test func theMemoryIsBounded() throws {
        let memory = ChannelMemory()
        var random = Generator(seed: 3)
        var last: PeerID?
        for _ in 0..<3 * UpgradeLimits.rememberedPeers {
            let peer = try PeerID(Multihash(.sha2_256, digest: Bytes(random.bytes(32))))
            memory.insert(peer)
            last = peer
        }
        #expect(memory.count <= 2 * UpgradeLimits.rememberedPeers)
        let peer = try #require(last)
        #expect(memory.contains(peer))
        memory.remove(peer)
        #expect(!memory.contains(peer))
    }
}
