import Testing
import WaggleBase
import WaggleSimulation
import WaggleTestSupport

@Suite struct FaultTests {
    let world = World(seed: 3)

    @Test func unreachableHostsTimeOut() throws {
        let (a, b) = (world.host("a"), world.host("b"))
        try world.run { [world] in
            let start = world.now
            world.partition(a, b)
            await #expect(throws: NetworkError.timedOut(b.address(port: 1))) {
                _ = try await a.system.network.connect(to: b.address(port: 1), from: nil, on: a.system.home)
            }
            #expect(world.now - start == .seconds(127))
            world.healAll()
            await #expect(throws: NetworkError.connectionRefused(b.address(port: 1))) {
                _ = try await a.system.network.connect(to: b.address(port: 1), from: nil, on: a.system.home)
            }
            let nowhere = SocketAddress(ip: .v4(0x0102_0304), port: 1)
            await #expect(throws: NetworkError.unreachable(nowhere)) {
                _ = try await a.system.network.connect(to: nowhere, from: nil, on: a.system.home)
            }
        }
    }

    @Test func longPartitionsEndConnections() throws {
        let (a, b) = (world.host("a"), world.host("b"))
        let scope = TaskScope()
        try world.run { [world] in
            _ = try await echoServer(on: b.system, at: b.address(port: 1), in: scope)
            let wire = Wire(try await a.system.network.connect(to: b.address(port: 1), from: nil, on: a.system.home))
            world.partition(a, b)
            try await wire.write([1])
            await #expect(throws: WireError.failed(errno: 110)) { _ = try await wire.read() }
            wire.close()
        }
    }

    @Test func aCrashIsSilentAndARestartResets() throws {
        let (a, b) = (world.host("a"), world.host("b"))
        let scope = TaskScope()
        try world.run { [world] in
            _ = try await echoServer(on: b.system, at: b.address(port: 1), in: scope)
            let wire = Wire(try await a.system.network.connect(to: b.address(port: 1), from: nil, on: a.system.home))
            try await wire.write([1])
            #expect(try await wire.read() == [1])
            b.crash()
            try await world.sleep(for: .seconds(1))
            #expect(scope.count == 0)
            #expect(try wire.tryWrite([2]) == 1)
            try await world.sleep(for: .seconds(60))
            #expect(try wire.tryWrite([3]) == 1)
            b.restart()
            await #expect(throws: WireError.failed(errno: 104)) { _ = try await wire.read() }
            wire.close()
        }
    }

    @Test func aKilledProcessResetsAndRefuses() throws {
        let (a, b) = (world.host("a"), world.host("b"))
        let scope = TaskScope()
        try world.run {
            _ = try await echoServer(on: b.system, at: b.address(port: 1), in: scope)
            let wire = Wire(try await a.system.network.connect(to: b.address(port: 1), from: nil, on: a.system.home))
            b.kill()
            await #expect(throws: WireError.failed(errno: 104)) { _ = try await wire.read() }
            wire.close()
            await #expect(throws: NetworkError.connectionRefused(b.address(port: 1))) {
                _ = try await a.system.network.connect(to: b.address(port: 1), from: nil, on: a.system.home)
            }
        }
    }

    @Test func connectionsCanBeReset() throws {
        let (a, b) = (world.host("a"), world.host("b"))
        let scope = TaskScope()
        try world.run { [world] in
            _ = try await echoServer(on: b.system, at: b.address(port: 1), in: scope)
            let wire = Wire(try await a.system.network.connect(to: b.address(port: 1), from: nil, on: a.system.home))
            world.resetConnections(between: a, and: b)
            await #expect(throws: WireError.failed(errno: 104)) { _ = try await wire.read() }
            wire.close()
        }
    }

    @Test func crossingDialsBecomeOneConnection() throws {
        let (a, b) = (world.host("a"), world.host("b"))
        try world.run {
            let (atA, atB) = (a.address(port: 4001), b.address(port: 4001))
            async let first = a.system.network.connect(to: atB, from: atA, on: a.system.home)
            async let second = b.system.network.connect(to: atA, from: atB, on: b.system.home)
            let (left, right) = (Wire(try await first), Wire(try await second))
            try await left.write([1])
            #expect(try await right.read() == [1])
            try await right.write([2])
            #expect(try await left.read() == [2])
            left.close()
            right.close()
        }
    }

    @Test func aCrashLosesWhatWasNotSynced() throws {
        let host = world.host("a")
        try world.run {
            let files = host.system.files
            try files.makeDirectory("/d", mode: 0o755)
            try files.replace("/d/kept", with: "old", mode: 0o600)
            let synced = try files.create("/d/synced", mode: 0o600, exclusive: true)
            try [1, 2, 3].withUnsafeBytes { try synced.write($0, at: 0) }
            try synced.synchronize()
            try [9, 9].withUnsafeBytes { try synced.write($0, at: 0) }
            _ = try files.create("/d/lost", mode: 0o600, exclusive: true)
            let store = try host.system.openStore("/d/store", tables: [Table("t")], capacity: 1 << 20)
            try await store.write(durable: true) { try $0.put("a", "1", in: Table("t")) }
            try await store.write(durable: false) { try $0.put("b", "2", in: Table("t")) }
            let lock = try files.lock("/d/lock")
            host.crash()
            #expect(throws: FileError.self) { try files.list("/d") }
            #expect(throws: StoreError.closed) { try store.read { _ in } }
            lock.release()

            let again = host.restart()
            #expect(try again.files.list("/d") == ["kept", "lock", "synced"])
            #expect(try again.files.read("/d/synced", limit: 100).count == 3 * MemoryLayout<Int>.size)
            #expect(try again.files.read("/d/synced", limit: 100).first == 1)
            _ = try again.files.lock("/d/lock")
            let reopened = try again.openStore("/d/store", tables: [Table("t")], capacity: 1 << 20)
            let (a, b) = try reopened.read { (try $0.value(of: "a", in: Table("t")), try $0.value(of: "b", in: Table("t"))) }
            #expect(a == "1")
            #expect(b == nil)
        }
    }

    @Test func tasksOfACrashedHostEnd() throws {
        let host = world.host("a")
        let scope = TaskScope()
        try world.run { [world] in
            let loop = host.system.home
            scope.spawn(on: loop) {
                do { while true { try await loop.sleep(until: loop.now + .seconds(1)) } } catch {}
            }
            let fired = Waiter(on: loop)
            _ = loop.schedule(at: loop.now + .seconds(10)) { Issue.record("a timer outlived its host") }
            try await world.sleep(for: .seconds(5))
            #expect(scope.count == 1)
            host.crash()
            await scope.drain()
            try await world.sleep(for: .seconds(10))
            #expect(!fired.isAwaited)
        }
    }
}
