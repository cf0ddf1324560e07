import WaggleBase
import WaggleRuntime

/// The LMDB store: large and small values in and out, and durable commits, against plain files on the same device.
enum StoreBenchmark {
    private static let table = Table("blocks")
    private static let blockSize = 256 << 10
    private static let blocks = 512
    private static let directory = "waggle-bench-store.tmp"

    static func run() throws {
        let system = LinuxSystem(loops: 1)
        defer { system.shutdown() }
        try system.files.makeDirectory(directory, mode: 0o700)
        defer { clear(system.files) }
        let block = Bytes(system.randomBytes(blockSize))
        let total = blockSize * blocks

        let fileWrite = try time { try writeFile(system.files, block) }
        let fileRead = try time { try readFile(system.files) }
        let store = try system.openStore(directory + "/store", tables: [table], capacity: 8 << 30)
        let storeWrite = try time { try system.runBlocking { try await put(blocks, block, into: store, from: 0) } }
        Measure.printRate("values of 256 KiB in", bytes: total, storeWrite, against: fileWrite, "a plain file")
        let flush = try time { try system.runBlocking { try await store.write(durable: true) { _ in } } }
        Measure.printTime("  and all of them to the device", flush)
        let storeRead = try time { try get(store, block.count) }
        Measure.printRate("values of 256 KiB out, copied", bytes: total, storeRead, against: fileRead, "a plain file")

        let small = Bytes(system.randomBytes(64)), count = 20_000
        let smallWrite = try time { try system.runBlocking { try await put(count, small, into: store, from: 1 << 32) } }
        Measure.printTime("value of 64 bytes in, 32 writers", smallWrite / Double(count))
        let lookup = try time { try lookUp(count, in: store) }
        Measure.printTime("value of 64 bytes found, one reader each", lookup / Double(count))

        let commits = 20
        let durable = try time {
            try system.runBlocking {
                for number in 0..<commits { try await store.write(durable: true) { try $0.put(key(number), small, in: table) } }
            }
        }
        let flushes = try time { try flushFile(system.files, small, commits) }
        Measure.printTime("durable commit", durable / Double(commits), against: flushes / Double(commits), "two flushes of a file")
        try system.runBlocking { await store.close() }
    }

    private static func time(_ body: () throws -> Void) rethrows -> Double {
        try Double(ContinuousClock().measure(body).wholeNanoseconds)
    }

    private static func key(_ number: Int) -> Bytes {
        // Spread like hashes.
        let word = UInt64(number) &* 0x9e37_79b9_7f4a_7c15
        return Bytes(count: 8) { buffer in
            buffer.storeBytes(of: word.bigEndian, as: UInt64.self)
            return 8
        }
    }

    private static func put(_ count: Int, _ value: Bytes, into store: any KeyValueStore, from first: Int) async throws {
        try await withThrowingTaskGroup(of: Void.self) { group in
            let writers = 32
            for writer in 0..<writers {
                group.addTask {
                    for number in stride(from: writer, to: count, by: writers) {
                        try await store.write(durable: false) { try $0.put(key(first + number), value, in: table) }
                    }
                }
            }
            try await group.waitForAll()
        }
    }

    private static func get(_ store: any KeyValueStore, _ size: Int) throws {
        let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: size, alignment: 16)
        defer { buffer.deallocate() }
        for number in 0..<blocks {
            try store.read { reader in
                _ = try key(number).withUnsafeBytes { try reader.withValue(of: $0, in: table) { buffer.copyMemory(from: $0) } }
            }
        }
    }

    private static func lookUp(_ count: Int, in store: any KeyValueStore) throws {
        for number in 0..<count {
            guard try store.read({ try $0.contains(key(1 << 32 + number), in: table) }) else { throw StoreError.closed }
        }
    }

    // MARK: Plain files

    private static func writeFile(_ files: any FileSystem, _ block: Bytes) throws {
        let file = try files.create(directory + "/file", mode: 0o600, exclusive: true)
        defer { file.close() }
        for number in 0..<blocks {
            try block.withUnsafeBytes { bytes throws(FileError) in try file.write(bytes, at: Int64(number * blockSize)) }
        }
    }

    private static func readFile(_ files: any FileSystem) throws {
        let file = try files.open(directory + "/file")
        defer { file.close() }
        let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: blockSize, alignment: 16)
        defer { buffer.deallocate() }
        for number in 0..<blocks { _ = try file.read(into: buffer, at: Int64(number * blockSize)) }
    }

    private static func flushFile(_ files: any FileSystem, _ bytes: Bytes, _ commits: Int) throws {
        let file = try files.create(directory + "/flushed", mode: 0o600, exclusive: true)
        defer { file.close() }
        for number in 0..<commits * 2 {
            try bytes.withUnsafeBytes { bytes throws(FileError) in try file.write(bytes, at: Int64(number * 64)) }
            try file.synchronize()
        }
    }

    private static func clear(_ files: any FileSystem) {
        do {
            for name in ["store/data.mdb", "store/lock.mdb", "store/durable", "store/in-use", "store", "file", "flushed", ""] {
                if try files.status(directory + "/" + name) != nil { try files.remove(directory + "/" + name) }
            }
        } catch {
            print("\(directory) is left over: \(error)")
        }
    }
}
