import Glibc
import Testing
import WaggleBase
import WaggleRuntime
import WaggleSimulation

/// The two worlds, in which the same tests must pass.
enum Stage: CaseIterable, Sendable, CustomTestStringConvertible {
    case simulation, linux

    /// What a test plays with: two systems that reach each other. On Linux they are one and the same.
    struct Scene: Sendable {
        var near: any System
        var far: any System
        /// Where `far` listens.
        var farAddress: IPAddress
        /// A directory of the test's own.
        var directory: String
        var loop: any EventLoop { near.home }

        func connect(to listener: any ListeningSocket, from local: SocketAddress? = nil) async throws -> any ByteSocket {
            let address = SocketAddress(ip: farAddress, port: listener.address.port)
            return try await near.network.connect(to: address, from: local, on: loop)
        }
    }

    static let linuxSystem = LinuxSystem(loops: 2)

    var testDescription: String { self == .linux ? "Linux" : "simulation" }

    /// Runs `body` on the near system's first loop.
    func play(_ body: @escaping @Sendable (Scene) async throws -> Void) async throws {
        switch self {
        case .simulation:
            let world = World(seed: 11)
            let (near, far) = (world.host("near"), world.host("far"))
            try near.system.files.makeDirectory("/test", mode: 0o700)
            try world.run {
                try await body(
                    Scene(near: near.system, far: far.system, farAddress: far.addresses[0], directory: "/test"))
            }
        case .linux:
            let system = Self.linuxSystem
            let directory = "/tmp/waggle-test-\(String(system.random(UInt64.self), radix: 36))"
            try system.files.makeDirectory(directory, mode: 0o700)
            defer { removeAll(directory, system.files) }
            try await system.home.run {
                try await body(Scene(near: system, far: system, farAddress: .loopback, directory: directory))
            }
        }
    }

    private func removeAll(_ path: String, _ files: any FileSystem) {
        do {
            if case .directory = try files.status(path)?.kind {
                for name in try files.list(path) { removeAll(path + "/" + name, files) }
            }
            try files.remove(path)
        } catch {
            Issue.record("\(path) could not be removed: \(error)")
        }
    }
}
