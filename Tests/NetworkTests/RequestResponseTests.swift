import Synchronization
import Testing
import WaggleBase
import WaggleFormats
@testable import WaggleNetwork
import WaggleSimulation

@Suite struct RequestResponseTests {
    private typealias Echoes = RequestResponse<String, String>

    /// A client and a server that runs `handler`.
    private func pair(
        _ world: World, _ limits: RequestLimits = RequestLimits(), _ handler: @escaping Echoes.Handler
    ) async throws -> (asking: Echoes, client: Swarm, server: Swarm) {
        let server = try await world.listening("server")
        server.register(Echoes("/shout/1.0.0", request: .text, response: .text, limits: limits, handler: handler))
        let client = try world.swarm("client")
        let asking = Echoes("/shout/1.0.0", request: .text, response: .text, limits: limits)
        client.register(asking)
        client.addressBook.add(server.listenAddresses, of: server.localPeer, source: .configured)
        return (asking, client, server)
    }

    private func error(_ body: () async throws -> some Any) async -> String {
        (await failure(of: body)).map { "\($0)" } ?? "none"
    }

    @Test func asksAndAnswers() throws {
        let world = World(seed: 31)
        try world.run {
            let (asking, client, server) = try await pair(world) { text, peer in text.uppercased() + " \(peer.short)" }
            for number in 0..<20 { #expect(try await asking.request("a\(number)", to: server.localPeer) == "A\(number) \(client.localPeer.short)") }
            #expect(asking.protocols.isEmpty && client.supportedProtocols.isEmpty && server.supportedProtocols == ["/shout/1.0.0"])
            await client.close()
            await server.close()
        }
    }

    @Test func everyFailureHasItsName() throws {
        let world = World(seed: 32)
        try world.run {
            var limits = RequestLimits()
            limits.request = .bytes(10)
            limits.response = .bytes(10)
            let (asking, client, server) = try await pair(world, limits) { text, _ in
                switch text {
                case "fail": throw TestError.unexpected
                case "long": return String(repeating: "x", count: 11)
                case "slow":
                    try await serverLoop(world).sleep(until: serverLoop(world).now + .seconds(600))
                    return ""
                default: return text
                }
            }
            let peer = server.localPeer
            #expect(await error { try await asking.request(String(repeating: "x", count: 11), to: peer) } == "tooLong(limit: 10)")
            #expect(await error { try await asking.request("fail", to: peer) }.hasPrefix("failed(WaggleNetwork.StreamError.reset"))
            #expect(await error { try await asking.request("long", to: peer) }.hasPrefix("failed(WaggleNetwork.StreamError.reset"))
            let began = client.home.now
            #expect(await error { try await asking.request("slow", to: peer, deadline: .seconds(3)) } == "timedOut")
            #expect(client.home.now - began == .seconds(3))
            // Without a deadline of the caller the server ends it.
            #expect(await error { try await asking.request("slow", to: peer, deadline: .seconds(100)) }.hasPrefix("failed("))
            #expect(try await asking.request("still", to: peer) == "still")
            let other = Echoes("/other/1.0.0", request: .text, response: .text)
            client.register(other)
            let refusal = await error { try await other.request("x", to: peer) }
            #expect(refusal == "notSupported")
            #expect(await error { try await asking.request("x", to: client.localPeer) }.hasPrefix("unreachable("))
            await server.close()
            #expect(await error { try await asking.request("x", to: peer) } != "none")
            await client.close()
        }
    }

    private func serverLoop(_ world: World) -> any EventLoop { world.host("server").system.home }

    @Test func requestsWaitInLineAndTheLineIsBounded() throws {
        let world = World(seed: 33)
        try world.run {
            var limits = RequestLimits()
            limits.concurrent = 2
            limits.waiting = 3
            let running = Mutex((now: 0, most: 0))
            let (asking, client, server) = try await pair(world, limits) { text, _ in
                running.withLock { running in
                    running.now += 1
                    running.most = max(running.most, running.now)
                }
                defer { running.withLock { $0.now -= 1 } }
                try await serverLoop(world).sleep(until: serverLoop(world).now + .seconds(1))
                return text
            }
            _ = try await client.connect(to: server.localPeer)
            let outcomes = Mutex<[String: Int]>([:])
            let scope = TaskScope()
            for number in 0..<8 {
                scope.spawn(on: client.home) {
                    let outcome: String
                    do {
                        _ = try await asking.request("\(number)", to: server.localPeer)
                        outcome = "answered"
                    } catch { outcome = "\(error)" }
                    outcomes.withLock { $0[outcome, default: 0] += 1 }
                }
            }
            await scope.drain()
            #expect(outcomes.withLock { $0 } == ["answered": 5, "busy": 3])
            #expect(running.withLock { $0.most } == 2)
            await client.close()
            await server.close()
        }
    }

    /// A place that is free goes to who has waited for it, not to who comes in that moment; and who gives up leaves it to the next.
    @Test func placesAreHandedOver() throws {
        let world = World(seed: 36)
        let home = world.host("one").system.home
        try world.run {
            var limits = RequestLimits()
            limits.concurrent = 1
            limits.waiting = 2
            let line = RequestLine(limits, on: home)
            let order = Mutex<[String]>([])
            let scope = TaskScope()
            @Sendable func come(_ name: String, work: Duration = .seconds(1), after: (@Sendable () -> Void)? = nil) {
                scope.spawn(on: home) {
                    do {
                        try await line.run {
                            order.withLock { $0.append(name) }
                            try await home.sleep(until: home.now + work)
                            // In the turn in which the place becomes free.
                            after?()
                        }
                    } catch { order.withLock { $0.append("\(name) \(error)") } }
                }
            }
            come("a") { come("d") }
            try await world.sleep(for: .milliseconds(1))
            come("b")
            let gone = home.spawn { do { try await line.run { order.withLock { $0.append("gone") } } } catch {} }
            try await world.sleep(for: .milliseconds(1))
            gone.cancel()
            try await world.sleep(for: .milliseconds(1))
            come("c")
            await scope.drain()
            #expect(order.withLock { $0 } == ["a", "b", "c", "d"])
        }
    }

    @Test func theEndOfTheConnectionEndsItsServing() throws {
        let world = World(seed: 34)
        try world.run {
            let served = Mutex((began: 0, cancelled: 0))
            let (asking, client, server) = try await pair(world) { text, _ in
                served.withLock { $0.began += 1 }
                do { try await serverLoop(world).sleep(until: serverLoop(world).now + .seconds(20)) } catch {
                    served.withLock { $0.cancelled += 1 }
                    throw error
                }
                return text
            }
            let scope = TaskScope()
            let outcome = Mutex("")
            scope.spawn(on: client.home) {
                do { _ = try await asking.request("x", to: server.localPeer) } catch { outcome.withLock { $0 = "\(error)" } }
            }
            try await client.until { served.withLock { $0.began } == 1 }
            await scope.close()
            #expect(outcome.withLock { $0 } == "cancelled")
            await client.close()
            try await server.until { served.withLock { $0.cancelled } == 1 }
            await server.close()
        }
    }

    @Test func oneRemoteCannotTakeAllPlaces() throws {
        let world = World(seed: 35)
        try world.run {
            var limits = RequestLimits()
            limits.servedPerPeer = 2
            let (asking, client, server) = try await pair(world, limits) { text, _ in
                try await serverLoop(world).sleep(until: serverLoop(world).now + .seconds(1))
                return text
            }
            _ = try await client.connect(to: server.localPeer)
            let answered = Mutex(0)
            let scope = TaskScope()
            for _ in 0..<6 {
                scope.spawn(on: client.home) {
                    do {
                        _ = try await asking.request("x", to: server.localPeer)
                        answered.withLock { $0 += 1 }
                    } catch {}
                }
            }
            await scope.drain()
            #expect(answered.withLock { $0 } == 2)
            await client.close()
            await server.close()
        }
    }
}
