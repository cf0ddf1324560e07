import Synchronization
import WaggleBase
import WaggleContent
import WaggleCryptography
import WaggleFormats
import WaggleRuntime

/// `waggle-bench content`: adding and reading files, beside one core's SHA-256 over the same bytes.
///
/// Takes a repository in `/tmp`, which it removes. Rates are of content.
enum ContentBenchmark {
    /// Bytes of the file: the 1 GiB of the goals takes too long on a busy machine.
    private static let size = 256 << 20
    private static let piece = 1 << 20

    static func run() async throws {
        let system = LinuxSystem(log: LinuxLog(level: .error))
        defer { system.shutdown() }
        let pieces = (0..<size / piece).map { index in
            Bytes(count: piece) { buffer in
                system.fillRandom(UnsafeMutableRawBufferPointer(rebasing: buffer[..<4096]))
                for offset in stride(from: 4096, to: piece, by: 4096) {
                    UnsafeMutableRawBufferPointer(rebasing: buffer[offset...]).copyMemory(
                        from: UnsafeRawBufferPointer(rebasing: buffer[offset - 4096..<offset]))
                    buffer[offset] = UInt8(truncatingIfNeeded: offset >> 12 &+ index)
                }
                return piece
            }
        }
        let limit = time { for piece in pieces { _ = SHA256.hash(piece) } }
        for (name, change) in [
            ("CIDv0", { _ in }), ("CIDv1, raw leaves", { $0.cidVersion = 1 }), ("rabin", { $0.chunker = "rabin" }),
            ("buzhash", { $0.chunker = "buzhash" }), ("blake3", { $0.hash = "blake3" }),
        ] as [(String, (inout ImportFlags) -> Void)] {
            var flags = ImportFlags()
            change(&flags)
            let options: ImportOptions
            do { options = try flags.resolve() } catch { continue }
            let chosen = options
            try await measure("add --only-hash, \(name)", system, limit) {
                var rest = pieces[...]
                _ = try await FileImporter(chosen, on: system, into: nil).add { rest.popFirst() }
            }
        }
        try await store(pieces, system, limit)
    }

    private static func store(_ pieces: [Bytes], _ system: LinuxSystem, _ limit: Double) async throws {
        let path = "/tmp/waggle-bench-\(system.random(UInt32.self))"
        try Repository.initialize(at: path, configuration: "{}", on: system)
        let repository = try Repository.open(path, on: system)
        for raw in [true, false] {
            var options = ImportOptions()
            options.rawLeaves = raw
            let (chosen, name) = (options, raw ? "raw leaves" : "dag-pb leaves")
            let root = Mutex<CID?>(nil)
            try await measure("add into the store, \(name)", system, limit) {
                let cid = try await add(pieces, chosen, to: repository, system)
                root.withLock { $0 = cid }
            }
            guard let cid = root.withLock({ $0 }) else { continue }
            try await measure("cat from the store, \(name)", system, limit) {
                var reader = try await FileReader(cid, from: repository.blocks)
                var count = 0
                try await reader.forEach { count += $0.count }
                precondition(count == size)
            }
        }
        await repository.close()
        try removeTree(path, system.files)
    }

    private static func add(
        _ pieces: [Bytes], _ options: ImportOptions, to repository: Repository, _ system: LinuxSystem
    ) async throws -> CID {
        try await repository.blocks.guarded { blockGuard in
            try await BlockWriter.run(into: repository.blocks, under: blockGuard) { writer in
                var rest = pieces[...]
                let node = try await FileImporter(options, on: system, into: writer).add { rest.popFirst() }
                try await writer.finish(pins: [Pin(node.cid, .recursive)])
                return node.cid
            }
        }
    }

    /// Runs `body` on the home loop; prints how fast `size` bytes went through it, and what processor time that took.
    private static func measure(_ name: String, _ system: LinuxSystem, _ limit: Double, _ body: @Sendable () async throws -> Void) async throws {
        let before = try processorTime(system)
        let spent = try await system.home.run {
            let clock = ContinuousClock()
            let start = clock.now
            try await body()
            let spent = clock.now - start
            return Double(spent.components.seconds) * 1e9 + Double(spent.components.attoseconds) / 1e9
        }
        Measure.printRate(name, bytes: size, spent, against: limit, "SHA-256 on one core")
        let seconds = try processorTime(system) - before
        print("    \(Measure.text(seconds * 1e9 / Double(size))) processor seconds a GB")
    }

    /// Processor seconds of this process, in hundredths.
    private static func processorTime(_ system: LinuxSystem) throws -> Double {
        let text = try system.files.read("/proc/self/stat", limit: 4096).utf8 ?? ""
        let fields = text.split(separator: ")").last?.split(separator: " ") ?? []
        return [11, 12].reduce(0) { $0 + (fields.count > $1 ? Double(fields[$1]) ?? 0 : 0) } / 100
    }

    private static func time(_ body: () -> Void) -> Double {
        let time = ContinuousClock().measure(body)
        return Double(time.components.seconds) * 1e9 + Double(time.components.attoseconds) / 1e9
    }

    private static func removeTree(_ path: String, _ files: any FileSystem) throws {
        if try files.status(path)?.kind == .directory {
            for name in try files.list(path) { try removeTree("\(path)/\(name)", files) }
        }
        try files.remove(path)
    }
}
