import Testing
import WaggleBase
import WaggleSimulation

@Suite struct ProcessorTests {
    /// Connects at the same moment `count` times; gives when each was accepted.
    private func acceptances(_ count: Int, spending: Duration = .zero) throws -> (times: [Duration], used: Duration) {
        var options = WorldOptions()
        options.processor = ProcessorOptions(accept: .milliseconds(1), event: .microseconds(10))
        options.link = LinkOptions(latency: .milliseconds(5), jitter: .zero)
        let world = World(seed: 1, options: options)
        let server = world.host("server")
        final class Log: @unchecked Sendable { var times: [Duration] = [] }
        let log = Log()
        return try world.run {
            let start = world.now
            let listening = try await server.system.network.listen(
                on: server.address(port: 1), admit: { _ in true },
                accept: { socket in
                    log.times.append(world.now - start)
                    server.spend(spending)
                    socket.close(abort: true)
                })
            let client = world.host("client").system
            await withTaskGroup(of: Void.self) { group in
                for _ in 0..<count {
                    group.addTask { do { _ = try await client.network.connect(to: server.address(port: 1), from: nil, on: client.home) } catch {} }
                }
            }
            try await world.sleep(for: .seconds(1))
            listening.close()
            return (log.times, server.processorTime)
        }
    }

    @Test func eventsWaitForTheProcessor() throws {
        let (times, used) = try acceptances(5)
        // SYN, answer, acknowledgement: 15 ms; then one at a time.
        #expect(times == (1...5).map { .milliseconds(15 + $0) })
        #expect(used == .milliseconds(5))
    }

    @Test func whatCodeSpendsKeepsItBusy() throws {
        let (times, used) = try acceptances(5, spending: .milliseconds(3))
        #expect(times == (0..<5).map { .milliseconds(16 + 4 * $0) })
        #expect(used == .milliseconds(20))
    }
}
