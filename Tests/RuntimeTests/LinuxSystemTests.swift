import Glibc
import Synchronization
import Testing
import WaggleBase
@testable import WaggleRuntime
import WaggleTestSupport

@Suite struct LinuxSystemTests {
    @Test func startsAndEnds() async throws {
        let system = LinuxSystem(loops: 3)
        #expect(system.loops.count == 3)
        #expect(try system.runBlocking { system.home.isCurrent })
        #expect(!system.home.isCurrent)
        system.shutdown()
        system.shutdown()
        await #expect(throws: CancellationError.self) { try await system.offload {} }
    }

    /// A loop that has ended does not write to whoever got its descriptors' numbers.
    @Test func anEndedLoopLeavesDescriptorsAlone() throws {
        let system = LinuxSystem(loops: 1)
        let loop = system.home
        try system.runBlocking {}
        system.shutdown()
        var pipes: [[Int32]] = []
        for _ in 0..<8 {
            var ends: [Int32] = [0, 0]
            #expect(pipe(&ends) == 0)
            pipes.append(ends)
        }
        loop.execute {}
        for ends in pipes {
            var poller = pollfd(fd: ends[0], events: Int16(POLLIN), revents: 0)
            #expect(poll(&poller, 1, 0) == 0)
            close(ends[0])
            close(ends[1])
        }
    }

    /// Times that do not fit into 64 bits of nanoseconds.
    @Test func filesFromTheFarFuture() throws {
        let system = LinuxSystem(loops: 1)
        defer { system.shutdown() }
        let path = "/tmp/waggle-far-\(getpid())"
        try system.files.create(path, mode: 0o600, exclusive: true).close()
        defer { unlink(path) }
        let far = timespec(tv_sec: 12_000_000_000, tv_nsec: 1)
        #expect(utimensat(AT_FDCWD, path, [far, far], 0) == 0)
        // Some file systems end earlier than that.
        #expect(try #require(try system.files.status(path)).modified > WallTime(seconds: 2_000_000_000))
    }

    @Test func workThatWaitsHoldsUpNoOther() async throws {
        let system = LinuxSystem(loops: 1)
        var ends: [Int32] = [0, 0]
        try #require(pipe(&ends) == 0)
        let (reading, writing) = (ends[0], ends[1])
        let held = try await withThrowingTaskGroup(of: Int.self) { group in
            for _ in 0..<LinuxSystem.waitingThreads + 3 {
                group.addTask {
                    try await system.offloadWaiting {
                        var byte: UInt8 = 0
                        return read(reading, &byte, 1)
                    }
                }
            }
            for value in 1...50 { #expect(try await system.offload { value * value } == value * value) }
            // The end of the pipe lets all of them go.
            close(writing)
            return try await group.reduce(0, +)
        }
        #expect(held == 0)
        close(reading)
        system.shutdown()
    }

    @Test func connectionsAreDealtOut() async throws {
        let system = LinuxSystem(loops: 4)
        let seen = Mutex<[ObjectIdentifier: Int]>([:])
        try system.runBlocking {
            let listener = try await system.network.listen(on: SocketBehaviour.any, admit: { _ in true }) { socket in
                #expect(socket.loop.isCurrent)
                seen.withLock { $0[ObjectIdentifier(socket.loop), default: 0] += 1 }
                socket.close(abort: false)
            }
            let address = SocketAddress(ip: .loopback, port: listener.address.port)
            for _ in 0..<8 {
                let wire = Wire(try await system.network.connect(to: address, from: nil, on: system.home))
                #expect(try await wire.read() == [])
                wire.close()
            }
            listener.close()
        }
        #expect(seen.withLock { $0.values.sorted() } == [2, 2, 2, 2])
        system.shutdown()
    }

    @Test func connectsOverIPv6() async throws {
        try await Stage.linux.play { scene in
            let scope = TaskScope()
            let loopback = IPAddress.v6(high: 0, low: 1, zone: 0)
            let listener: any ListeningSocket
            do {
                listener = try await echoServer(on: scene.far, at: SocketAddress(ip: loopback, port: 0), in: scope)
            } catch NetworkError.addressNotAvailable {
                // The machine has no IPv6.
                return
            }
            let wire = Wire(try await scene.near.network.connect(to: listener.address, from: nil, on: scene.loop))
            try await wire.write([6])
            #expect(try await wire.read() == [6])
            #expect(wire.socket.remoteAddress.ip == loopback)
            wire.close()
            listener.close()
            await scope.drain()
        }
    }

    @Test func errorsAreNamed() {
        let address = SocketAddress(ip: .loopback, port: 1)
        for (code, error) in [
            (EADDRINUSE, NetworkError.addressInUse(address)), (EACCES, .permissionDenied(address)),
            (EADDRNOTAVAIL, .addressNotAvailable(address)), (ECONNREFUSED, .connectionRefused(address)),
            (EHOSTUNREACH, .unreachable(address)), (ENETUNREACH, .unreachable(address)), (ETIMEDOUT, .timedOut(address)),
            (EMFILE, .outOfDescriptors), (ENFILE, .outOfDescriptors), (EPROTO, .other(errno: EPROTO)),
        ] { #expect(NetworkError(errno: code, address) == error) }
        for (code, error) in [
            (ENOENT, FileError.notFound(path: "p")), (ENOSPC, .full(path: "p")), (EROFS, .readOnly(path: "p")),
            (EISDIR, .isDirectory(path: "p")), (EPERM, .permissionDenied(path: "p")), (EIO, .other(path: "p", errno: EIO)),
        ] { #expect(FileError(errno: code, "p") == error) }
    }

    @Test func signalsAreTold() async throws {
        let system = LinuxSystem(loops: 1)
        let signal = try system.runBlocking {
            async let first = system.nextSignal(of: [.user2])
            // Until it is caught the signal would end the process.
            while true {
                var action = sigaction()
                sigaction(SIGUSR2, nil, &action)
                if action.__sigaction_handler.sa_handler != nil { break }
                await onceThrough(system.home)
            }
            kill(getpid(), SIGUSR2)
            return try await first
        }
        #expect(signal == .user2)
        system.shutdown()
    }

    @Test func recordsAreWritten() async throws {
        try await Stage.linux.play { scene in
            for (format, expected) in [
                (LinuxLog.Format.text, "info    swarm: dialled peer=12D3 note=\"a b\\u001b\\\"\"\n"),
                (.json, "\"level\":\"info\",\"subsystem\":\"swarm\",\"message\":\"dialled\",\"peer\":\"12D3\",\"note\":\"a b\\u001b\\\"\"}\n"),
            ] {
                let path = scene.directory + "/log"
                let file = try LinuxFile(path, O_WRONLY | O_CREAT | O_TRUNC, mode: 0o600)
                let sink = LinuxLog(level: .info, format: format, descriptor: file.descriptor)
                let log = Log("swarm", to: sink)
                log(.info, "dialled", [LogField("peer", "12D3"), LogField("note", "a b\u{1b}\"")])
                log(.debug, "hidden")
                sink.setLevel(.debug, subsystem: "kad")
                #expect(sink.isEnabled(.debug, subsystem: "kad") && !sink.isEnabled(.debug, subsystem: "swarm"))
                #expect(!sink.isEnabled(.trace, subsystem: "kad"))
                sink.setLevel(.error)
                log(.info, "hidden too")
                sink.flush()
                file.close()
                let text = try scene.near.files.read(path, limit: 1000).utf8 ?? ""
                #expect(text.hasSuffix(expected) && text.split(separator: "\n").count == 1)
                #expect(text.contains("T") && text.contains("Z"))
            }
        }
    }
}
