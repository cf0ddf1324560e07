import Glibc
import Synchronization
import Testing
import WaggleBase
@testable import WaggleRuntime
import WaggleTestSupport

/// What needs a process of its own.
@Suite(.serialized) struct ProcessTests {
    /// Without descriptors dials fail plainly, and the listener takes the connections that wait when there are some again.
    @Test func outOfDescriptors() async {
        await #expect(processExitsWith: .success) {
            var limit = rlimit(rlim_cur: 64, rlim_max: 64)
            setrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit)
            let system = LinuxSystem(loops: 1)
            try system.runBlocking {
                let scope = TaskScope()
                let listener = try await echoServer(on: system, at: SocketBehaviour.any, in: scope)
                let address = SocketAddress(ip: .loopback, port: listener.address.port)
                // A descriptor that something else in the process gives back in between is used up in the next round.
                var clients: [Int32] = []
                var isRefused = false
                for _ in 0..<100 where !isRefused {
                    clients += blockingDials(to: address)
                    do throws(NetworkError) {
                        try await system.network.connect(to: address, from: nil, on: system.home).close(abort: true)
                    } catch { isRefused = error == .outOfDescriptors }
                }
                #expect(isRefused)
                for client in clients.dropLast() { close(client) }
                let last = try #require(clients.last)
                let answer = try await system.offload {
                    var byte: UInt8 = 7
                    send(last, &byte, 1, 0)
                    byte = 0
                    recv(last, &byte, 1, 0)
                    return byte
                }
                #expect(answer == 7)
                listener.close()
            }
        }
    }

    private static let table = Table("t")

    private static func value(_ number: Int) -> Bytes { Bytes(pattern(100 + number * 911 % 20_000, seed: UInt64(number))) }

    /// A process killed in the middle of its writes leaves a store that opens and has all that was acknowledged.
    @Test func killedWhileWriting() async throws {
        let directory = "/tmp/waggle-test-killed-\(getpid())"
        let files = LinuxFiles()
        try files.makeDirectory(directory, mode: 0o700)
        for round in 0..<6 {
            await #expect(processExitsWith: .signal(SIGKILL)) {
                let directory = "/tmp/waggle-test-killed-\(getppid())"
                let system = LinuxSystem(loops: 1)
                try system.runBlocking {
                    let store = try LMDBStore(path: directory + "/store", tables: [ProcessTests.table], capacity: 1 << 30)
                    let log = try LinuxFile(directory + "/acknowledged", O_WRONLY | O_CREAT | O_APPEND, mode: 0o600)
                    let first = try store.read { try $0.count(ProcessTests.table) }
                    @Sendable func put(_ number: Int) async throws {
                        try await store.write(durable: number % 50 == 0) { transaction in
                            try transaction.put(StoreBehaviour.key(number), ProcessTests.value(number), in: ProcessTests.table)
                        }
                        var word = UInt64(number)
                        _ = write(log.descriptor, &word, 8)
                    }
                    // One is acknowledged, however slow the machine is.
                    try await put(first)
                    let pause = Int(system.random(UInt32.self) % 60_000)
                    _ = system.home.schedule(at: system.home.now + .microseconds(5000 + pause)) { kill(getpid(), SIGKILL) }
                    try await withThrowingTaskGroup(of: Void.self) { group in
                        for writer in 0..<8 {
                            group.addTask {
                                for number in stride(from: first + 1 + writer, to: .max, by: 8) { try await put(number) }
                            }
                        }
                        try await group.waitForAll()
                    }
                }
            }
            let store = try LMDBStore(path: directory + "/store", tables: [Self.table], capacity: 1 << 30)
            let words = files.acknowledged(directory + "/acknowledged")
            try store.read { reader throws -> Void in
                for number in words { #expect(try reader.value(of: StoreBehaviour.key(number), in: Self.table) == Self.value(number)) }
            }
            if round == 5 { #expect(!words.isEmpty) }
            await store.close()
        }
        for name in ["store/data.mdb", "store/lock.mdb", "store/durable", "store/in-use", "store", "acknowledged", ""] {
            try files.remove(directory + "/" + name)
        }
    }
}

/// Connects until there are no descriptors left.
private func blockingDials(to address: SocketAddress) -> [Int32] {
    var clients: [Int32] = []
    while true {
        let client = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
        guard client >= 0 else { return clients }
        #expect(address.withKernelAddress { connect(client, $0, $1) } == 0)
        clients.append(client)
    }
}

extension LinuxFiles {
    fileprivate func acknowledged(_ path: String) -> [Int] {
        guard let bytes = try? read(path, limit: 1 << 24) else { return [] }
        return stride(from: 0, to: bytes.count - 7, by: 8).map { offset in
            bytes.withUnsafeBytes { Int($0.loadUnaligned(fromByteOffset: offset, as: UInt64.self)) }
        }
    }
}
