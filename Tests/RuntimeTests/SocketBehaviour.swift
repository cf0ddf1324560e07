import Testing
import WaggleBase
import WaggleTestSupport

/// What sockets do, in both worlds.
@Suite struct SocketBehaviour {
    static let any = SocketAddress(ip: .v4(0), port: 0)

    @Test(arguments: Stage.allCases) func echoOfTenMegabytes(_ stage: Stage) async throws {
        try await stage.play { scene in
            let scope = TaskScope()
            let listener = try await echoServer(on: scene.far, at: Self.any, in: scope)
            let wire = Wire(try await scene.connect(to: listener))
            let message = pattern(10 << 20)
            async let answer = wire.read(exactly: message.count)
            try await wire.write(message)
            wire.finish()
            #expect(try await answer == message)
            #expect(try await wire.read() == [])
            wire.close()
            listener.close()
            await scope.drain()
        }
    }

    @Test(arguments: Stage.allCases) func manyConnections(_ stage: Stage) async throws {
        try await stage.play { scene in
            let scope = TaskScope()
            let listener = try await echoServer(on: scene.far, at: Self.any, in: scope)
            try await withThrowingTaskGroup(of: Void.self) { group in
                for index in 0..<64 {
                    group.addTask {
                        let wire = Wire(try await scene.connect(to: listener))
                        let message = pattern(3000 + index, seed: UInt64(index))
                        for _ in 0..<10 {
                            try await wire.write(message)
                            #expect(try await wire.read(exactly: message.count) == message)
                        }
                        wire.close()
                    }
                }
                try await group.waitForAll()
            }
            listener.close()
            await scope.drain()
        }
    }

    @Test(arguments: Stage.allCases) func halfClose(_ stage: Stage) async throws {
        try await stage.play { scene in
            let scope = TaskScope()
            let listener = try await scene.far.network.listen(on: Self.any, admit: { _ in true }) { socket in
                scope.spawn(on: socket.loop) {
                    let wire = Wire(socket)
                    do {
                        let request = try await wire.readToEnd()
                        try await wire.write(request.reversed())
                        wire.close()
                    } catch {
                        Issue.record(error)
                    }
                }
            }
            let wire = Wire(try await scene.connect(to: listener))
            try await wire.write([1, 2, 3])
            wire.finish()
            #expect(try await wire.readToEnd() == [3, 2, 1])
            wire.close()
            listener.close()
            await scope.drain()
        }
    }

    @Test(arguments: Stage.allCases) func reset(_ stage: Stage) async throws {
        try await stage.play { scene in
            let scope = TaskScope()
            let listener = try await scene.far.network.listen(on: Self.any, admit: { _ in true }) { socket in
                scope.spawn(on: socket.loop) {
                    let wire = Wire(socket)
                    do { _ = try await wire.read(exactly: 1) } catch { Issue.record(error) }
                    wire.close(abort: true)
                }
            }
            let wire = Wire(try await scene.connect(to: listener))
            try await wire.write([1])
            await #expect(throws: WireError.failed(errno: 104)) { _ = try await wire.read() }
            #expect(throws: WireError.self) { try wire.tryWrite([1]) }
            wire.close()
            listener.close()
            await scope.drain()
        }
    }

    /// The peer does not read: `write` must say `wouldBlock` after a bounded number of bytes, and go on when it reads.
    @Test(arguments: Stage.allCases) func backPressure(_ stage: Stage) async throws {
        try await stage.play { scene in
            let scope = TaskScope()
            let gate = Gate(on: scene.far.home)
            let listener = try await scene.far.network.listen(on: Self.any, admit: { _ in true }) { socket in
                scope.spawn(on: socket.loop) {
                    let wire = Wire(socket)
                    do {
                        try await scene.far.home.run { try await gate.wait() }
                        let bytes = try await wire.readToEnd()
                        try await wire.write([UInt8(truncatingIfNeeded: bytes.count >> 20)])
                        wire.close()
                    } catch {
                        Issue.record(error)
                    }
                }
            }
            let wire = Wire(try await scene.connect(to: listener))
            let piece = [UInt8](repeating: 7, count: 1 << 20)
            var written = 0
            while written < 256 << 20 {
                guard let count = try wire.tryWrite(piece[...]) else { break }
                written += count
            }
            #expect(written < 64 << 20)
            scene.far.home.execute { gate.open() }
            let total = 96 << 20
            while written < total {
                let part = min(piece.count, total - written)
                try await wire.write(Array(piece[..<part]))
                written += part
            }
            wire.finish()
            #expect(wire.stalls > 0)
            #expect(try await wire.readToEnd() == [96])
            wire.close()
            listener.close()
            await scope.drain()
        }
    }

    @Test(arguments: Stage.allCases) func gatheredWrite(_ stage: Stage) async throws {
        try await stage.play { scene in
            let scope = TaskScope()
            let listener = try await echoServer(on: scene.far, at: Self.any, in: scope)
            let socket = try await scene.connect(to: listener)
            let wire = Wire(socket)
            let bytes = pattern(100)
            let outcome = bytes.withUnsafeBytes { all in
                let pieces = (0..<10).map { UnsafeRawBufferPointer(rebasing: all[$0 * 10..<$0 * 10 + 10]) }
                return pieces.withUnsafeBufferPointer { socket.write($0) }
            }
            #expect(outcome == .moved(100))
            #expect(try await wire.read(exactly: 100) == bytes)
            wire.close()
            listener.close()
            await scope.drain()
        }
    }

    @Test(arguments: Stage.allCases) func refusedConnections(_ stage: Stage) async throws {
        try await stage.play { scene in
            let listener = try await scene.far.network.listen(on: Self.any, admit: { _ in true }) { $0.close(abort: true) }
            let address = SocketAddress(ip: scene.farAddress, port: listener.address.port)
            await #expect(throws: NetworkError.addressInUse(listener.address)) {
                _ = try await scene.far.network.listen(on: listener.address, admit: { _ in true }) { _ in }
            }
            listener.close()
            // The loop closes it behind what is queued already.
            await onceThrough(scene.far.home)
            await #expect(throws: NetworkError.connectionRefused(address)) {
                _ = try await scene.near.network.connect(to: address, from: nil, on: scene.loop)
            }
            let foreign = SocketAddress(ip: .v4(0xc000_0201), port: 0)
            await #expect(throws: NetworkError.addressNotAvailable(foreign)) {
                _ = try await scene.far.network.listen(on: foreign, admit: { _ in true }) { _ in }
            }
        }
    }

    @Test(arguments: Stage.allCases) func unadmittedConnectionsAreReset(_ stage: Stage) async throws {
        try await stage.play { scene in
            let listener = try await scene.far.network.listen(on: Self.any, admit: { _ in false }) { _ in
                Issue.record("accepted")
            }
            do {
                let wire = Wire(try await scene.connect(to: listener))
                await #expect(throws: WireError.self) { _ = try await wire.read(exactly: 1) }
                wire.close()
            } catch NetworkError.connectionRefused {
                // The reset was faster than the answer.
            }
            listener.close()
        }
    }

    /// Dials leave from the port that the host listens on; a second one to the same place falls back to another port.
    @Test(arguments: Stage.allCases) func dialsReuseTheListeningPort(_ stage: Stage) async throws {
        try await stage.play { scene in
            let scope = TaskScope()
            let server = try await echoServer(on: scene.far, at: Self.any, in: scope)
            let own = try await echoServer(on: scene.near, at: Self.any, in: scope)
            let first = Wire(try await scene.connect(to: server, from: own.address))
            #expect(first.socket.localAddress.port == own.address.port)
            let second = Wire(try await scene.connect(to: server, from: own.address))
            #expect(second.socket.localAddress.port != own.address.port)
            for wire in [first, second] {
                try await wire.write([5])
                #expect(try await wire.read(exactly: 1) == [5])
                wire.close()
            }
            server.close()
            own.close()
            await scope.drain()
        }
    }

    @Test(arguments: Stage.allCases) func addressesAreTold(_ stage: Stage) async throws {
        try await stage.play { scene in
            let scope = TaskScope()
            let listener = try await echoServer(on: scene.far, at: Self.any, in: scope)
            #expect(listener.address.port != 0)
            let wire = Wire(try await scene.connect(to: listener))
            #expect(wire.socket.remoteAddress == SocketAddress(ip: scene.farAddress, port: listener.address.port))
            #expect(wire.socket.localAddress.port != 0)
            #expect(wire.socket.loop === scene.loop)
            #expect(scene.near.network.interfaceAddresses().contains(.loopback))
            wire.close()
            listener.close()
            await scope.drain()
        }
    }

    /// A handler that comes late hears of what is there already.
    @Test(arguments: Stage.allCases) func lateHandlersHear(_ stage: Stage) async throws {
        try await stage.play { scene in
            let scope = TaskScope()
            let listener = try await echoServer(on: scene.far, at: Self.any, in: scope)
            let socket = try await scene.connect(to: listener)
            let first = Wire(socket)
            try await first.write([1, 2])
            #expect(try await first.read(exactly: 1) == [1])
            let second = Wire(socket)
            #expect(try await second.read(exactly: 1) == [2])
            second.finish()
            #expect(try await second.read() == [])
            second.close()
            listener.close()
            await scope.drain()
        }
    }

    @Test(arguments: Stage.allCases) func cancellingADialGivesUp(_ stage: Stage) async throws {
        try await stage.play { scene in
            let listener = try await scene.far.network.listen(on: Self.any, admit: { _ in true }) { $0.close(abort: false) }
            let outcome = await withTaskGroup(of: NetworkError?.self) { group in
                group.cancelAll()
                group.addTask {
                    do {
                        let socket = try await scene.connect(to: listener)
                        socket.close(abort: true)
                        return nil
                    } catch { return error as? NetworkError }
                }
                return await group.next() ?? nil
            }
            #expect(outcome == .cancelled)
            listener.close()
        }
    }
}

/// Opens once. Only on its loop.
final class Gate: @unchecked Sendable {
    private let waiter: Waiter
    private var isOpen = false

    init(on loop: any EventLoop) { waiter = Waiter(on: loop) }

    func open() {
        isOpen = true
        waiter.wake()
    }

    func wait() async throws(CancellationError) { while !isOpen { try await waiter.wait() } }
}

/// Returns when the loop has done what was queued before.
func onceThrough(_ loop: any EventLoop) async {
    await withUnsafeContinuation { continuation in loop.execute { continuation.resume() } }
}
