import Testing
import WaggleBase
import WaggleSimulation
import WaggleTestSupport

@Suite struct WorldTests {
    @Test func timeJumps() throws {
        let world = World(seed: 1)
        let slept = try world.run {
            let start = world.now
            try await world.sleep(for: .seconds(3600))
            return world.now - start
        }
        #expect(slept == .seconds(3600))
        #expect(world.wallTime == world.options.wallTime + .seconds(3600))
        try world.run(for: .seconds(5))
        #expect(world.elapsed == .seconds(3605))
    }

    @Test func bodyMayThrow() {
        struct Oops: Error {}
        let world = World(seed: 1)
        #expect(throws: Oops.self) { try world.run { throw Oops() } }
    }

    @Test func deadlockIsReported() {
        let world = World(seed: 9)
        let waiter = Waiter(on: world.mainLoop)
        #expect(throws: WorldError.deadlock(seed: 9, at: world.now)) { try world.run { try await waiter.wait() } }
        #expect(!waiter.isAwaited)
    }

    @Test func timeLimitIsReported() {
        let world = World(seed: 9)
        #expect(throws: WorldError.timeLimit(seed: 9, limit: .seconds(10))) {
            try world.run(limit: .seconds(10)) {
                while true { try await world.sleep(for: .seconds(1)) }
            }
        }
    }

    @Test func worksInAsyncTests() async throws {
        let world = World(seed: 1)
        let value = try world.run {
            try await withThrowingTaskGroup(of: Int.self) { group in
                for index in 1...10 {
                    group.addTask {
                        try await world.sleep(for: .milliseconds(20 - index))
                        return index
                    }
                }
                var order: [Int] = []
                for try await index in group { order.append(index) }
                return order
            }
        }
        #expect(value == (1...10).reversed())
        await Task.yield()
        #expect(!Task.isCancelled)
    }

    @Test func actorsStayOnTheLoop() throws {
        actor Counter {
            var value = 0
            func increment(_ loop: any EventLoop) -> Bool {
                value += 1
                return loop.isCurrent
            }
        }
        let world = World(seed: 1)
        let stayed = try world.run {
            let counter = Counter()
            return await withTaskGroup(of: Bool.self) { group in
                for _ in 0..<100 { group.addTask { await counter.increment(world.mainLoop) } }
                return await group.reduce(true) { $0 && $1 }
            }
        }
        #expect(stayed)
    }

    /// Several clients talk to one server over bad links, one of them gets cut off for a while.
    static func scenario(seed: UInt64) throws -> (Trace, Int) {
        let world = World(seed: seed)
        let server = world.host("server")
        let clients = (0..<8).map { world.host("client\($0)") }
        world.link(server, clients[3], LinkOptions(latency: .milliseconds(80), jitter: .milliseconds(40), bandwidth: 1 << 20))
        let scope = TaskScope()
        let echoed = try world.run {
            _ = try await echoServer(on: server.system, at: server.address(port: 4001), in: scope)
            let total = try await withThrowingTaskGroup(of: Int.self) { group in
                for (index, client) in clients.enumerated() {
                    group.addTask {
                        let system = client.system
                        let wire = Wire(
                            try await system.network.connect(to: server.address(port: 4001), from: nil, on: system.home))
                        let message = pattern(50_000 * (index + 1), seed: system.random())
                        async let answer = wire.read(exactly: message.count)
                        try await wire.write(message)
                        wire.finish()
                        #expect(try await answer == message)
                        #expect(try await wire.read() == [])
                        wire.close()
                        return message.count
                    }
                }
                group.addTask {
                    try await world.sleep(for: .milliseconds(30))
                    world.partition(server, clients[5])
                    try await world.sleep(for: .seconds(20))
                    world.heal(server, clients[5])
                    return 0
                }
                return try await group.reduce(0, +)
            }
            await scope.close()
            return total
        }
        return (world.trace, echoed)
    }

    @Test func sameSeedSameTrace() throws {
        let (first, bytes) = try Self.scenario(seed: 42)
        let (second, _) = try Self.scenario(seed: 42)
        let (other, _) = try Self.scenario(seed: 43)
        #expect(bytes == 36 * 50_000)
        #expect(first.count > 1000)
        #expect(first == second)
        #expect(first != other)
    }

    @Test func twoHundredHosts() throws {
        let world = World(seed: 5)
        let hosts = (0..<250).map { world.host("host\($0)") }
        let scope = TaskScope()
        let answers = try world.run {
            for host in hosts { _ = try await echoServer(on: host.system, at: host.address(port: 1), in: scope) }
            let count = try await withThrowingTaskGroup(of: Bool.self) { group in
                for (index, host) in hosts.enumerated() {
                    group.addTask {
                        let next = hosts[(index + 1) % hosts.count]
                        let wire = Wire(
                            try await host.system.network.connect(to: next.address(port: 1), from: nil, on: host.system.home))
                        try await wire.write([1, 2, 3])
                        defer { wire.close() }
                        return try await wire.read(exactly: 3) == [1, 2, 3]
                    }
                }
                return try await group.reduce(0) { $0 + ($1 ? 1 : 0) }
            }
            await scope.close()
            return count
        }
        #expect(answers == 250)
    }
}
