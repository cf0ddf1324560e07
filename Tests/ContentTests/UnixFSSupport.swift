import Foundation
import Synchronization
import WaggleBase
import WaggleCryptography
import WaggleFormats
import WaggleSimulation

@testable import WaggleContent

/// Blocks in memory; counts what is asked of it.
final class MemoryBlocks: BlockSource, BlockSink {
    struct Missing: Error, Equatable { var cid: CID }

    private struct State {
        var blocks: [CID: Bytes] = [:]
        var fetched: [CID] = []
        var announced = 0
    }

    private let state = Mutex(State())

    func block(_ cid: CID) async throws -> Bytes {
        try state.withLock { state in
            state.fetched.append(cid)
            guard let bytes = state.blocks[cid] else { throw Missing(cid: cid) }
            return bytes
        }
    }

    func prefetch(_ cids: [CID]) { state.withLock { $0.announced += cids.count } }

    func write(_ blocks: [Block]) async throws { add(blocks) }

    func add(_ blocks: [Block]) {
        state.withLock { state in
            for block in blocks { state.blocks[block.cid] = block.bytes }
        }
    }

    func remove(_ cid: CID) { state.withLock { $0.blocks[cid] = nil } }

    var fetched: [CID] { state.withLock { $0.fetched } }
    var count: Int { state.withLock { $0.blocks.count } }
    var all: [CID: Bytes] { state.withLock { $0.blocks } }
    func forget() { state.withLock { $0.fetched = [] } }
}

/// Content that a seed fixes.
enum TestContent {
    static func make(_ pattern: String, seed: UInt64, size: Int) -> Bytes {
        switch pattern {
        case "zero": return Bytes(count: size) { buffer in
            buffer.initializeMemory(as: UInt8.self, repeating: 0)
            return size
        }
        case "text": return Bytes(count: size) { buffer in
            for index in 0..<size { buffer[index] = UInt8(97 + index / 7 % 26) }
            return size
        }
        default:
            var random = TestRandom(seed)
            return random.bytes(size)
        }
    }

    /// The key stream of ChaCha20 under SHA2-256 of `seed` and a nonce of zeros, which Kubo's tests use as content.
    static func chacha(_ seed: String, size: Int) -> Bytes {
        let key = SHA256.hash(Bytes(utf8: seed)).bytes
        let first = ChaCha20Block.first(key: key.array)
        guard size > 64 else { return Bytes(Array(first.prefix(size))) }
        // An AEAD record is encrypted from block 1 on.
        let cipher = RecordCipher(.chaCha20Poly1305, key: SecureBytes(key.span))!
        let zeros = Bytes(count: size - 64) { buffer in
            buffer.initializeMemory(as: UInt8.self, repeating: 0)
            return size - 64
        }
        let rest = cipher.seal(zeros.span, authenticating: Bytes().span, nonce: 0)
        return Bytes(count: size) { buffer in
            first.withUnsafeBytes { buffer.copyMemory(from: $0) }
            rest.prefix(size - 64).withUnsafeBytes { UnsafeMutableRawBufferPointer(rebasing: buffer[64...]).copyMemory(from: $0) }
            return size
        }
    }
}

/// The first block of a ChaCha20 key stream (RFC 8439, section 2.3).
private enum ChaCha20Block {
    static func first(key: [UInt8]) -> [UInt8] {
        var initial: [UInt32] = [0x6170_7865, 0x3320_646e, 0x7962_2d32, 0x6b20_6574]
        for index in 0..<8 {
            initial.append((0..<4).reduce(UInt32(0)) { $0 | UInt32(key[index * 4 + $1]) << UInt32(8 * $1) })
        }
        initial += [0, 0, 0, 0]
        var state = initial
        for _ in 0..<10 {
            for (a, b, c, d) in [(0, 4, 8, 12), (1, 5, 9, 13), (2, 6, 10, 14), (3, 7, 11, 15), (0, 5, 10, 15), (1, 6, 11, 12), (2, 7, 8, 13), (3, 4, 9, 14)] {
                step(&state, a, b, d, 16)
                step(&state, c, d, b, 12)
                step(&state, a, b, d, 8)
                step(&state, c, d, b, 7)
            }
        }
        return zip(state, initial).flatMap { word -> [UInt8] in
            let sum = word.0 &+ word.1
            return (0..<4).map { UInt8(truncatingIfNeeded: sum >> UInt32(8 * $0)) }
        }
    }

    private static func step(_ state: inout [UInt32], _ a: Int, _ b: Int, _ d: Int, _ turn: UInt32) {
        state[a] = state[a] &+ state[b]
        let mixed = state[d] ^ state[a]
        state[d] = mixed << turn | mixed >> (32 - turn)
    }
}

enum TestUnixFS {
    /// Imports on this thread, from pieces of `piece` bytes.
    static func add(
        _ content: Bytes, _ options: ImportOptions = ImportOptions(), metadata: UnixFSMetadata = .none, piece: Int = .max,
        into blocks: MemoryBlocks? = nil
    ) throws -> ImportedNode {
        var machine = try FileImportMachine(options, metadata: metadata)
        func drain() throws {
            while let job = machine.nextJob() {
                let result = try job.run()
                blocks?.add(result.blocks)
                try machine.place(result.links)
            }
            blocks?.add(machine.takeBlocks())
        }
        var offset = 0
        while offset < content.count {
            let end = piece < content.count - offset ? offset + piece : content.count
            machine.append(content[offset..<end])
            offset = end
            try drain()
        }
        machine.end()
        try drain()
        let root = try machine.finish()
        blocks?.add(machine.takeBlocks())
        return root
    }

    static func add(_ text: String, _ options: ImportOptions = ImportOptions(), into blocks: MemoryBlocks? = nil) throws -> ImportedNode {
        try add(Bytes(utf8: text), options, into: blocks)
    }

    /// Options from flags as they are typed.
    static func options(_ change: (inout ImportFlags) -> Void) throws -> ImportOptions {
        var flags = ImportFlags()
        change(&flags)
        return try flags.resolve()
    }

    static func read(_ cid: CID, _ source: some BlockSource, offset: UInt64 = 0, length: UInt64? = nil) async throws -> Bytes {
        var reader = try await FileReader(cid, from: source, offset: offset, length: length)
        var writer: [UInt8] = []
        while let piece = try await reader.next() { writer += piece.array }
        return Bytes(writer)
    }

    /// Runs `body` in a simulated world, for what needs a system.
    static func simulate<R: Sendable>(_ body: @escaping @Sendable (any System) async throws -> R) throws -> R {
        let world = World(seed: 1)
        let host = world.host("node")
        return try world.run { try await body(host.system) }
    }

    static let vectors = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent().appending(path: "Vectors/unixfs")
}
