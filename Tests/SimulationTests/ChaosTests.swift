import Testing
import WaggleBase
import WaggleSimulation
import WaggleTestSupport

/// Connections under random partitions, resets, crashes and restarts: bytes arrive right or not at all, and nobody waits for ever.
@Suite struct ChaosTests {
    struct Outcome: Equatable {
        var whole = 0
        var broken = 0
        var trace: UInt64 = 0
    }

    static func run(seed: UInt64) throws -> Outcome {
        var options = WorldOptions()
        options.retransmissionTimeout = .seconds(60)
        options.connectTimeout = .seconds(30)
        options.sendBuffer = 8 << 10
        options.receiveWindow = 16 << 10
        let world = World(seed: seed, options: options)
        let hosts = (0..<4).map { world.host("h\($0)") }
        let scope = TaskScope()
        var outcome = try world.run {
            for host in hosts { _ = try await echoServer(on: host.system, at: host.address(port: 1), in: scope) }
            return try await withThrowingTaskGroup(of: Outcome.self) { group in
                group.addTask {
                    try await chaos(world, hosts, SeededRandom(seed: seed), scope)
                    return Outcome()
                }
                for client in 0..<12 {
                    group.addTask { try await talk(world, hosts, client, SeededRandom(seed: seed &+ UInt64(client) &* 977)) }
                }
                return try await group.reduce(into: Outcome()) {
                    $0.whole += $1.whole
                    $0.broken += $1.broken
                }
            }
        }
        try world.run { await scope.close() }
        outcome.trace = world.trace.hash
        return outcome
    }

    private static func chaos(_ world: World, _ hosts: [Host], _ seed: SeededRandom, _ scope: TaskScope) async throws {
        var random = seed
        for _ in 0..<40 {
            try await world.sleep(for: .milliseconds(Int.random(in: 1...400, using: &random)))
            let a = hosts.randomElement(using: &random) ?? hosts[0], b = hosts.randomElement(using: &random) ?? hosts[1]
            switch Int.random(in: 0..<8, using: &random) {
            case 0, 1: world.partition(a, b)
            case 2, 3: world.healAll()
            case 4: world.resetConnections(between: a, and: b)
            case 5: a.crash()
            case 6: a.kill()
            default:
                for host in hosts where !host.isUp {
                    let system = host.restart()
                    _ = try await echoServer(on: system, at: host.address(port: 1), in: scope)
                }
            }
        }
        world.healAll()
        for host in hosts where !host.isUp { host.restart() }
    }

    private static func talk(_ world: World, _ hosts: [Host], _ client: Int, _ seed: SeededRandom) async throws -> Outcome {
        var random = seed
        var outcome = Outcome()
        for _ in 0..<15 {
            try await world.sleep(for: .milliseconds(Int.random(in: 1...300, using: &random)))
            let host = hosts[client % hosts.count], target = hosts.randomElement(using: &random) ?? host
            guard host.isUp else { continue }
            let message = pattern(Int.random(in: 1...30_000, using: &random), seed: random.next())
            do {
                let socket = try await host.system.network.connect(to: target.address(port: 1), from: nil, on: host.system.home)
                let wire = Wire(socket)
                do {
                    let bytes = try await withThrowingTaskGroup(of: [UInt8]?.self) { group in
                        group.addTask { try await wire.readToEnd() }
                        group.addTask {
                            try await wire.write(message)
                            wire.finish()
                            // A peer whose power fails after it has everything says nothing ever again.
                            try await world.sleep(for: .seconds(200))
                            throw WireError.endedEarly
                        }
                        defer { group.cancelAll() }
                        return try await group.next() ?? nil
                    }
                    #expect(bytes == message)
                    outcome.whole += 1
                    wire.close()
                } catch {
                    outcome.broken += 1
                    wire.close(abort: true)
                }
            } catch {
                outcome.broken += 1
            }
        }
        return outcome
    }

    @Test(arguments: 0..<6) func bytesArriveRightOrNotAtAll(_ seed: UInt64) throws {
        let outcome = try Self.run(seed: seed)
        #expect(outcome.whole > 0 && outcome.broken > 0)
        #expect(try Self.run(seed: seed) == outcome)
    }
}
