import WaggleAssembly
import WaggleBase
import WaggleContent
import WaggleFormats
import WaggleNetwork
import WaggleRuntime
import WaggleServices

/// `waggle-bench idle-peers MULTIADDR COUNT`: so many nodes in this process, each with the services of a daemon, connect to one node and stay,
/// idle, until SIGTERM. To measure what idle peers cost the other node: look at its `process_resident_memory_bytes`.
enum IdlePeers {
    /// Connections under way at once.
    private static let concurrent = 8

    static func run(_ arguments: [String]) throws {
        guard arguments.count == 2, let address = Multiaddr(arguments[0]), let count = Int(arguments[1]) else { throw PeerCommandError.usage }
        let system = LinuxSystem(loops: 1, log: LinuxLog(level: .error))
        try system.runBlocking {
            var nodes: [Node] = []
            while nodes.count < count {
                let batch = min(concurrent, count - nodes.count)
                nodes += try await withThrowingTaskGroup(of: Node.self) { group in
                    for _ in 0..<batch { group.addTask(executorPreference: system.home.taskExecutor) { try await connect(to: address, on: system) } }
                    var made: [Node] = []
                    for try await node in group { made.append(node) }
                    return made
                }
            }
            PeerOutput.write("{\"event\":\"connected\",\"count\":\(nodes.count)}\n")
            _ = try await system.nextSignal()
            for node in nodes { await node.close() }
        }
    }

    private static func connect(to address: Multiaddr, on system: LinuxSystem) async throws -> Node {
        var configuration = NodeConfiguration.preset(.client)
        configuration.idleTimeout = nil
        configuration.pubsub = PubSubConfiguration()
        let node = try await Node(configuration, on: system)
        node.add(Kademlia(.wide(mode: .client, validators: KademliaPair.validators, store: nil)))
        try await node.start()
        // A node that subscribes to something, as real ones do.
        if let pubsub = node.pubsub { _ = try await pubsub.join("idle") }
        try await node.connect(address)
        return node
    }
}
