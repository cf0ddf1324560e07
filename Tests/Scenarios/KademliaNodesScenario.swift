import Synchronization
import WaggleAssembly
import WaggleBase
import WaggleCryptography
import WaggleFormats
import WaggleNetwork
import WaggleServices
import WaggleSimulation

/// Whole nodes with hash tables: TCP, negotiation, yamux, identify, swarm limits and the address book are all there; only the channel is plain.
enum KademliaNodesScenario {
    static let scenario = Scenario(
        name: "kad-nodes", summary: "searches among whole nodes find what is there, with 20 % dead and churn (standard: 60; --nodes 1000)", run: run)

    private struct Member: Sendable {
        let name: String
        let node: Node
        let kademlia: Kademlia

        var contact: Multiaddr { node.listenAddresses[0].with(peer: node.peer) }
    }

    private static func member(_ world: World, _ number: Int, _ ip: UInt32) async throws -> Member {
        let name = "kad\(number)"
        let node = try await world.plainNode(name, addresses: [.v4(ip)]) { configuration in
            configuration.idleTimeout = .seconds(30)
            configuration.trimming.highWater = 64
            configuration.trimming.lowWater = 48
        }
        let kademlia = Kademlia(.wide())
        node.add(kademlia)
        return Member(name: name, node: node, kademlia: kademlia)
    }

    /// Whether `seeker` finds what `provider` has, and ends its search for `target` there.
    private static func search(_ number: Int, provider: Member, seeker: Member, target: Member) async -> (isFound: Bool, isExact: Bool) {
        let isFound = Mutex(false)
        do {
            let cid = try SHA256.hash(Bytes(utf8: "content \(number)")).withUnsafeBytes { try CID(codec: .raw, sha256: $0) }
            try await provider.kademlia.provide(cid)
            try await seeker.kademlia.findProviders(of: cid) { candidate in
                if candidate.peer == provider.node.peer { isFound.withLock { $0 = true } }
                return candidate.peer != provider.node.peer
            }
            // Nobody finds itself.
            guard target.node.peer != seeker.node.peer else { return (isFound.withLock { $0 }, true) }
            let closest = try await seeker.kademlia.closestPeers(to: target.node.peer.bytes)
            return (isFound.withLock { $0 }, closest.first?.peer == target.node.peer)
        } catch {
            print("  search \(number): \(error)")
            return (isFound.withLock { $0 }, false)
        }
    }

    private static func run(_ options: ScenarioOptions) throws {
        let count = options.nodes ?? 60
        let searches = min(200, count)
        var settings = WorldOptions()
        settings.tinySegmentEvery = 0
        settings.segmentSize = 16_384...16_384
        settings.link = LinkOptions(latency: .milliseconds(40), jitter: .milliseconds(30))
        let world = World(seed: options.seed, options: settings)
        let (found, exact, peers, steps) = try world.run { () async throws -> (Int, Int, Double, Double) in
            var random = SeededRandom(seed: options.seed)
            var members: [Member] = []
            var next = 0
            func join() async throws {
                // Spread over the whole address space, so that neighbours in one /16 are as rare as in the Internet.
                var ip: UInt32 = 0
                repeat { ip = UInt32.random(in: 0x0100_0000..<0xdf00_0000, using: &random) } while IPAddress.v4(ip).isPrivate
                let newcomer = try await member(world, next, ip)
                next += 1
                try await newcomer.node.start()
                if let other = members.randomElement(using: &random) { _ = try? await newcomer.node.connect(other.contact) }
                members.append(newcomer)
            }
            for _ in 0..<count { try await join() }
            try await world.sleep(for: .seconds(60))
            // A fifth loses its power.
            members.shuffle(using: &random)
            for member in members.prefix(count / 5) { world.host(member.name).crash() }
            members.removeFirst(count / 5)
            var found = 0
            var exact = 0
            for first in stride(from: 0, to: searches, by: 10) {
                let gone = members.remove(at: Int.random(in: 0..<members.count, using: &random))
                world.host(gone.name).crash()
                try await join()
                // Time for the newcomer to look around before it is looked for.
                try await world.sleep(for: .seconds(2))
                // Ten at once: the network's own work goes on meanwhile, and costs most.
                let outcomes = await withTaskGroup(of: (isFound: Bool, isExact: Bool).self) { group in
                    for number in first..<min(first + 10, searches) {
                        let three = (0..<3).map { _ in members[Int.random(in: 0..<members.count, using: &random)] }
                        group.addTask { await search(number, provider: three[0], seeker: three[1], target: three[2]) }
                    }
                    return await group.reduce(into: []) { $0.append($1) }
                }
                found += outcomes.count { $0.isFound }
                exact += outcomes.count { $0.isExact }
            }
            var peers = 0.0
            var report = MetricReport()
            for member in members.prefix(100) {
                peers += Double(await member.kademlia.snapshot().peers)
                member.kademlia.report(to: &report)
            }
            func sum(_ name: String) -> Double { report.value(name, ["network": "/ipfs"]) ?? 0 }
            return (found, exact, peers / Double(min(members.count, 100)), sum("libp2p_kad_lookup_hops_total") / sum("libp2p_kad_lookups_total"))
        }
        figure("nodes", "\(count), of which \(count / 5) die without a word")
        figure("virtual time", "\(world.elapsed)")
        figure("peers in a table, on average", decimals(peers))
        figure("steps of a search, on average", decimals(steps))
        figure("providers found", "\(found) of \(searches)")
        figure("the very closest node found", "\(exact) of \(searches)")
        try claim(found * 1000 >= searches * 999, "\(found) of \(searches) providers were found: less than 99.9 %")
        try claim(exact * 1000 >= searches * 999, "\(exact) of \(searches) searches ended at the closest node: less than 99.9 %")
    }
}
