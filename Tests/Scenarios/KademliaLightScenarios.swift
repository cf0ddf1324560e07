import Synchronization
import WaggleBase
import WaggleCryptography
import WaggleFormats
import WaggleNetwork
import WaggleServices
import WaggleSimulation

/// Thousands of hash tables over the shell of `LightKademlia`.
enum KademliaLightScenarios {
    private static let lookups = "searches find what is there, with 20 % dead and churn; steps grow with log n"
    private static let crowd = "sybils, a tenth of all nodes and closer to a key than anybody else, do not hide its providers"

    static let thousand = Scenario(name: "kad-1000-light", summary: lookups) { try runLookups($0, nodes: 1000) }
    static let sybils = Scenario(name: "kad-sybils", summary: crowd) { try runSybils($0, nodes: 1000) }
    // Minutes of processor time each, so not in the standard list.
    static let tenThousand = Scenario(name: "kad-10000-light", summary: lookups, isStandard: false) { try runLookups($0, nodes: 10_000) }
    static let manySybils = Scenario(name: "kad-sybils-10000", summary: crowd, isStandard: false) { try runSybils($0, nodes: 10_000) }

    /// A network whose nodes came one after the other, each through a random one that was there, and then looked around a little: fewer
    /// searches than a real node makes for its buckets every ten minutes.
    private static func network(_ count: Int, _ options: ScenarioOptions) -> LightKademlia {
        let network = LightKademlia(seed: options.seed)
        for number in 0..<count {
            let node = network.add()
            guard number > 0 else { continue }
            network.join(node, through: network.nodes[Int.random(in: 0..<number, using: &network.random)])
        }
        for node in network.nodes { for _ in 0..<3 { _ = network.refresh(node) } }
        return network
    }

    private static func alive(_ network: LightKademlia) -> LightKademlia.Node {
        while true {
            let node = network.nodes[Int.random(in: 0..<network.nodes.count, using: &network.random)]
            if node.isAlive, !node.isSybil { return node }
        }
    }

    private static func hash(_ number: Int) -> Multihash {
        let digest = SHA256.hash(Bytes(utf8: "content \(number)"))
        guard let hash = digest.withUnsafeBytes({ try? Multihash(.sha2_256, digest: $0) }) else { preconditionFailure("32 bytes are a digest") }
        return hash
    }

    // MARK: Searches

    private static func runLookups(_ options: ScenarioOptions, nodes: Int) throws {
        let full = options.nodes ?? nodes
        var hops: [(nodes: Int, mean: Double)] = []
        for count in [full / 100, full / 10] where count >= 50 {
            let network = network(count, options)
            hops.append((count, meanHops(network, 300)))
        }
        let network = network(full, options)
        figure("nodes", "\(full)")
        figure("messages to build the network, each node", decimals(Double(network.messages) / Double(full)))
        let table = network.nodes.reduce(0) { $0 + $1.responder.state.withLock { $0.table.count } }
        figure("peers in a table, on average", decimals(Double(table) / Double(full)))
        hops.append((full, meanHops(network, 300)))
        for (count, mean) in hops { figure("steps to the closest of \(count)", decimals(mean)) }
        if let first = hops.first, let last = hops.last, hops.count > 1 {
            // With log n: for a hundred times the nodes at most so many times the steps, and each tenfold adds no more than log2(10).
            let tenfolds = Double(hops.count - 1)
            try claim(
                last.mean - first.mean <= 3.33 * tenfolds / 2, "steps grew from \(decimals(first.mean)) to \(decimals(last.mean)): faster than log n")
        }

        // A fifth dies without a word; then the rest goes on while more die and new ones come.
        for node in network.nodes.shuffled(using: &network.random).prefix(full / 5) { node.isAlive = false }
        var found = 0
        var exact = 0
        var requests = 0
        let searches = 1000
        for number in 0..<searches {
            if number % 10 == 0 {
                alive(network).isAlive = false
                // Chosen first: nobody joins through itself.
                let gate = alive(network)
                network.join(network.add(), through: gate)
            }
            let provider = alive(network)
            let hash = hash(number)
            let (kept, _) = network.provide(provider, hash)
            let (isFound, outcome) = network.findProvider(alive(network), hash, provider.contact.peer)
            if isFound, kept > 0 { found += 1 }
            requests += outcome.requests
            let target = LightKademlia.peer(&network.random).bytes
            let place = KademliaKey(hashing: target)
            let searcher = alive(network)
            let result = network.find(searcher, place, target)
            // Nobody finds itself.
            let closest = network.closest(to: place, count: 2).first { $0 !== searcher }
            if let first = result.closest.first, first.peer == closest?.contact.peer { exact += 1 }
        }
        figure("providers found, 20 % dead and churn", "\(found) of \(searches)")
        figure("the very closest node found", "\(exact) of \(searches)")
        figure("requests to find a provider", decimals(Double(requests) / Double(searches)))
        try claim(found * 1000 >= searches * 999, "\(found) of \(searches) providers were found: less than 99.9 %")
        try claim(exact * 1000 >= searches * 999, "\(exact) of \(searches) searches ended at the closest node: less than 99.9 %")
    }

    private static func meanHops(_ network: LightKademlia, _ searches: Int) -> Double {
        var sum = 0
        for _ in 0..<searches { sum += network.refresh(alive(network)).hops }
        return Double(sum) / Double(searches)
    }

    // MARK: Sybils

    private static func runSybils(_ options: ScenarioOptions, nodes: Int) throws {
        let count = options.nodes ?? nodes
        let attackers = count / 10
        // So many bits of prefix that no honest node lies closer: a few bits more than log2 n.
        var bits = 2
        while 1 << bits < count { bits += 1 }
        for groups in [8, attackers] {
            let network = network(count - attackers, options)
            let hash = hash(4711)
            let target = KademliaKey(hash)
            // Provided while all was well; the attack comes later.
            let early = alive(network)
            _ = network.provide(early, hash)
            let prefixes = (0..<groups).map { _ in network.publicAddress() >> 16 }
            let peers = LightKademlia.peers(near: target, bits: bits, count: attackers, &network.random)
            for (number, peer) in peers.enumerated() {
                let ip = groups < attackers ? prefixes[number % groups] << 16 | UInt32(number + 1) : network.publicAddress()
                let node = network.add(peer, at: ip)
                node.isSybil = true
                network.sybils.append(node)
            }
            // They make themselves known as everybody does, and to many.
            for node in network.sybils { network.join(node, through: alive(network)) }
            for node in network.sybils { _ = network.refresh(node) }
            let searchers = (0..<200).map { _ in alive(network) }
            for node in searchers { for _ in 0..<4 { _ = network.refresh(node) } }
            let late = alive(network)
            for _ in 0..<4 { _ = network.refresh(late) }
            let (kept, _) = network.provide(late, hash)
            var foundEarly = 0
            var foundLate = 0
            var requests = 0
            for node in searchers {
                let (isEarly, outcome) = network.findProvider(node, hash, early.contact.peer)
                if isEarly { foundEarly += 1 }
                requests += outcome.requests
                if network.findProvider(node, hash, late.contact.peer).0 { foundLate += 1 }
            }
            let kind = groups < attackers ? "from \(groups) networks" : "from anywhere"
            figure("sybils \(kind)", "\(attackers) of \(count)")
            figure("  honest nodes that keep a record made under attack", "\(kept)")
            figure("  found: provided before the attack", "\(foundEarly) of \(searchers.count)")
            figure("  found: provided under attack", "\(foundLate) of \(searchers.count)")
            figure("  requests of a search", decimals(Double(requests) / Double(searchers.count)))
            try claim(foundEarly * 1000 >= searchers.count * 999, "sybils \(kind) hid the early provider from \(searchers.count - foundEarly) nodes")
            try claim(foundLate * 1000 >= searchers.count * 999, "sybils \(kind) hid the late provider from \(searchers.count - foundLate) nodes")
        }
    }
}
