import Testing
import WaggleBase
import WaggleSimulation

@testable import WaggleNetwork
@testable import WaggleStack

/// The queue of bytes and the pool of chunks.
struct ConnectionMemoryTests {
    @Test(arguments: 0..<20) func aQueueKeepsTheOrder(seed: UInt64) {
        var random = TestRandom(seed: seed)
        var queue = ByteQueue()
        var (expected, taken): ([UInt8], [UInt8]) = ([], [])
        for step in 0..<2000 {
            let bytes = pattern(Int.random(in: 0..<200, using: &random), seed: UInt64(step))
            switch Int.random(in: 0..<6, using: &random) {
            case 0:
                queue.append(bytes)
                expected += bytes.array
            case 1, 2:
                queue.append(copying: bytes)
                expected += bytes.array
            case 3:
                queue.compactFirst()
            case 4 where !queue.isEmpty:
                let count = Int.random(in: 1...queue.count, using: &random)
                var block = [UInt8](repeating: 0, count: count)
                block.withUnsafeMutableBytes { if let base = $0.baseAddress { queue.copyFirst(count, to: base) } }
                if Bool.random(using: &random) { queue.prepend(Bytes(block)) } else { taken += block }
            default:
                let first = queue.first
                if let piece = queue.popFirst(upTo: Int.random(in: 1..<300, using: &random)) {
                    #expect(first?.prefix(piece.count) == piece)
                    taken += piece.array
                }
            }
            #expect(queue.count == expected.count - taken.count)
        }
        while let piece = queue.popFirst() { taken += piece.array }
        #expect(taken == expected && queue.isEmpty && queue.first == nil)
    }

    /// A window given out never changes, although its block grows behind it.
    @Test func windowsOntoAGrowingBlockStay() {
        var queue = ByteQueue()
        queue.append(copying: "abc")
        let first = queue.popFirst(upTo: 2)
        queue.append(copying: "defg")
        let second = queue.popFirst()
        queue.append(copying: "xyz")
        #expect(first == "ab" && second == "cdefg" && queue.popFirst() == "xyz")
    }

    @Test func chunksComeBackWhenNobodyLooksIntoThem() {
        let world = World(seed: 1)
        let pool = ChunkPool(on: world.mainLoop)
        var window: Bytes?
        var first: ObjectIdentifier?
        do {
            let chunk = pool.takeFree()
            first = ObjectIdentifier(chunk)
            window = Bytes(storage: chunk, range: 0..<10)
            pool.retire(chunk)
        }
        #expect(window?.count == 10)
        let second = pool.takeFree()
        #expect(ObjectIdentifier(second) != first)
        window = nil
        #expect(ObjectIdentifier(pool.takeFree()) == first)
    }

    @Test func pinnedMemoryIsBounded() throws {
        let world = World(seed: 1)
        let pool = ChunkPool(on: world.mainLoop)
        var windows: [Bytes] = []
        for _ in 0..<ChunkPool.pinnedChunks {
            let chunk = pool.takeFree()
            windows.append(Bytes(storage: chunk, range: 0..<1))
            #expect(!pool.isPressed)
            pool.retire(chunk)
        }
        pool.retire(pool.takeFree())
        #expect(pool.isPressed)
        windows = []
        _ = pool.takeFree()
        #expect(!pool.isPressed)
        // A quiet loop lets go of what it does not need.
        try world.run(for: .seconds(30))
        #expect(pool.chunkCount <= ChunkPool.idleChunks)
    }

    /// What all connections hold together is bounded; streams whose readers are slowest go first.
    @Test func theNodesMemoryIsBounded() throws {
        let router = TestRouter()
        router.serve("/hold") { stream in
            let loop = stream.connection.loop
            try await loop.sleep(until: loop.now + .seconds(60))
        }
        let budget = MemoryBudget(limit: .kibibytes(512))
        try ConnectionPair.withRawPeer(router: router, memory: budget) { connection, peer, world in
            for _ in 0..<8 {
                let id = try peer.yamux.open(at: peer.socket.loop.now)
                peer.yamux.machine.send(proposal("/hold"), on: id)
                try peer.flush()
                for _ in 0..<8 {
                    peer.yamux.machine.send(pattern(25_000), on: id)
                    try peer.flush()
                    try await world.sleep(for: .milliseconds(50))
                    #expect(connection.session.unreadBytes <= 512 << 10 + ConnectionMemory.step && budget.used <= budget.limit)
                }
            }
            #expect(!connection.isClosed && !connection.session.mayGrowWindows)
            #expect(peer.yamux.resets.count >= 5 && peer.yamux.resets.values.allSatisfy { $0 == 0x1002 })
            connection.close(.normal)
            peer.socket.close(abort: false)
            await connection.closed()
            #expect(budget.used.bytes == 0)
        }
    }

    /// When memory is short writers get their share, and all of it again when it is not.
    @Test func writersAreHeldBackWhileMemoryIsShort() throws {
        let router = TestRouter()
        router.serve("/source") { stream in try await stream.write(Bytes(count: 30_000_000) { $0.count }) }
        let budget = MemoryBudget(limit: .mebibytes(4))
        #expect(budget.reserve(3 << 20))
        try ConnectionPair.withRawPeer(router: router, memory: budget) { connection, peer, world in
            let id = try peer.yamux.open(at: peer.socket.loop.now)
            peer.yamux.machine.send(proposal("/source"), on: id)
            try peer.flush()
            func largest(_ steps: Int) async throws -> Int {
                var most = 0
                for _ in 0..<steps {
                    try await world.sleep(for: .milliseconds(20))
                    try peer.flush()
                    most = max(most, connection.session.queuedBytes)
                }
                return most
            }
            // Beyond what was queued before the first look.
            _ = try await largest(10)
            #expect(try await largest(20) <= connection.limits.queuedShare.bytes)
            budget.release(3 << 20)
            #expect(try await largest(20) > connection.limits.queuedShare.bytes)
            connection.close(.normal)
            peer.socket.close(abort: true)
            await connection.closed()
            #expect(budget.used.bytes == 0)
        }
    }

    /// A remote that gives slow readers small pieces out of many chunks makes us copy, not keep the chunks.
    @Test func slowReadersDoNotKeepChunks() throws {
        let router = TestRouter()
        router.serve("/hold") { stream in
            // A reader that waits but never has enough.
            _ = try await stream.read(exactly: 60_000)
        }
        try ConnectionPair.withRawPeer(router: router) { connection, peer, world in
            let filler = try peer.yamux.open(at: peer.socket.loop.now)
            var held: [UInt32] = []
            for _ in 0..<200 {
                let id = try peer.yamux.open(at: peer.socket.loop.now)
                peer.yamux.machine.send(proposal("/hold"), on: id)
                held.append(id)
            }
            try peer.flush()
            try await world.sleep(for: .seconds(1))
            try peer.send(yamuxFrame(.windowUpdate, .rst, stream: filler))
            let discarded = yamuxFrame(.data, stream: filler, pattern(55_000).array)
            for id in held {
                // One piece, then a chunk full of what is thrown away.
                try peer.send(yamuxFrame(.data, stream: id, pattern(3000).array))
                for _ in 0..<5 {
                    try peer.send(discarded)
                    try await world.sleep(for: .milliseconds(50))
                }
            }
            #expect(connection.closeReason == nil)
            #expect(connection.pool.chunkCount <= ChunkPool.pinnedChunks)
            let retained = connection.streams.values.compactMap { $0.inbox.first?.retained }.reduce(0, +)
            #expect(retained < 200 * 3000 + ChunkPool.pinnedChunks * ChunkPool.chunkBytes)
        }
    }
}
