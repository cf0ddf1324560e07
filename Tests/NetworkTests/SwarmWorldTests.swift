import Synchronization
import Testing
import WaggleBase
import WaggleFormats
@testable import WaggleNetwork
import WaggleSimulation
import WaggleStack

/// Many nodes, and the promise that one seed gives one course of events.
@Suite struct SwarmWorldTests {
    /// `count` nodes; each dials three before it, some both ways at once, and echoes over the connections.
    private func mesh(_ count: Int, seed: UInt64) throws -> (trace: Trace, connections: Int) {
        let world = World(seed: seed)
        let connections = try world.run {
            var nodes: [Swarm] = []
            for index in 0..<count {
                let node = try await world.listening("node \(index)")
                node.register(Echo())
                nodes.append(node)
            }
            let swarms = nodes
            try await withThrowingTaskGroup(of: Void.self) { group in
                for index in 1..<count {
                    let node = swarms[index]
                    var targets: Set<Int> = []
                    for _ in 0..<3 { targets.insert(Int(node.system.random(UInt32.self)) % index) }
                    for target in targets.sorted() {
                        let other = swarms[target]
                        group.addTask {
                            _ = try await node.connect(other.dialable)
                            #expect(try await node.echo("\(index)", to: other.localPeer) == "\(index)")
                        }
                        if target % 3 == 0 { group.addTask { _ = try await other.connect(node.dialable) } }
                    }
                }
                try await group.waitForAll()
            }
            try await world.sleep(for: .seconds(15))
            let total = swarms.reduce(0) { $0 + $1.connections.count }
            for node in swarms { await node.close() }
            #expect(swarms.allSatisfy { $0.table.withLock { $0.ledger.connections == 0 && $0.ledger.rows == 0 } })
            return total
        }
        return (world.trace, connections)
    }

    @Test func twoHundredNodesTwice() throws {
        let first = try mesh(200, seed: 77)
        let second = try mesh(200, seed: 77)
        #expect(first.trace == second.trace)
        #expect(first.connections == second.connections)
        #expect(first.connections > 800)
    }

    @Test func anotherSeedIsAnotherStory() throws {
        let first = try mesh(12, seed: 1)
        let second = try mesh(12, seed: 2)
        #expect(first.trace != second.trace)
    }
}
