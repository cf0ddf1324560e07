import Testing
import WaggleBase
import WaggleFormats
import WaggleSimulation

@testable import WaggleContent

/// Gives blocks from memory, as a peer would.
final class TestSource: BlockSource {
    let blocks: [CID: Bytes]
    init(_ blocks: [Block]) { self.blocks = Dictionary(blocks.map { ($0.cid, $0.bytes) }) { first, _ in first } }

    func block(_ cid: CID) async throws -> Bytes {
        guard let bytes = blocks[cid] else { throw BlockStoreError.notFound(cid) }
        return bytes
    }
}

@Suite struct PinTests {
    private func withRepository<R: Sendable>(
        seed: UInt64 = 1, _ body: @escaping @Sendable (Repository) async throws -> R
    ) throws -> R {
        let world = World(seed: seed)
        let host = world.host("node")
        return try world.run { try await body(try TestRepository.make(on: host.system)) }
    }

    @Test func recursivePinsNeedTheWholeGraph() throws {
        try withRepository { repository in
            let tree = TestTree(seed: 1, leaves: 30)
            try await repository.blocks.put(Array(tree.blocks.dropFirst()))
            await #expect(throws: PinError.incomplete(pin: tree.root, missing: tree.blocks[0].cid)) {
                try await repository.pins.add(Pin(tree.root, .recursive))
            }
            #expect(try repository.pins.pin(tree.root) == nil)
            try await repository.blocks.put(tree.blocks)
            try await repository.pins.add(Pin(tree.root, .recursive, name: "all"))
            #expect(try await repository.pins.pins() == [Pin(tree.root, .recursive, name: "all")])
        }
    }

    @Test func missingBlocksAreFetchedAndStored() throws {
        try withRepository { repository in
            let tree = TestTree(seed: 2, leaves: 500)
            try await repository.blocks.put(Array(tree.blocks[100..<200]))
            try await repository.pins.add(Pin(tree.root, .recursive), from: TestSource(tree.blocks))
            #expect(try await TestRepository.isWhole(tree.root, repository))
            #expect(try repository.blocks.totals().blocks == tree.blocks.count)
            #expect(repository.blocks.protection.guardCount == 0)
        }
    }

    @Test func directPinsHoldOneBlock() throws {
        try withRepository { repository in
            let tree = TestTree(seed: 3, leaves: 10)
            try await repository.blocks.put([tree.blocks.last!])
            try await repository.pins.add(Pin(tree.root, .direct))
            #expect(try repository.pins.pin(tree.root)?.mode == .direct)
            let outcome = try await repository.collector.collect()
            #expect(outcome.removed == 0 && outcome.kept == 1)
            // A recursive pin replaces it; the other way round is refused.
            try await repository.pins.add(Pin(tree.root, .recursive), from: TestSource(tree.blocks))
            await #expect(throws: PinError.alreadyPinnedRecursively(tree.root)) {
                try await repository.pins.add(Pin(tree.root, .direct))
            }
        }
    }

    @Test func unpinning() throws {
        try withRepository { repository in
            let tree = TestTree(seed: 4, leaves: 10)
            try await repository.blocks.put(tree.blocks)
            await #expect(throws: PinError.notPinned(tree.root)) { try await repository.pins.remove(tree.root) }
            try await repository.pins.add(Pin(tree.root, .recursive))
            await #expect(throws: PinError.pinnedAs(tree.root, .recursive)) {
                try await repository.pins.remove(tree.root, mode: .direct)
            }
            await #expect(throws: PinError.notPinned(tree.blocks[0].cid)) { try await repository.pins.remove(tree.blocks[0].cid) }
            try await repository.pins.remove(tree.root)
            var removed: [Multihash] = []
            let outcome = try await repository.collector.collect { removed += $0 }
            #expect(outcome.removed == tree.blocks.count && Set(removed) == Set(tree.blocks.map(\.cid.multihash)))
            #expect(try repository.blocks.totals() == (0, 0))
        }
    }

    @Test func updateMovesThePin() throws {
        try withRepository { repository in
            let old = TestTree(seed: 5, leaves: 10)
            let new = TestTree(seed: 6, leaves: 10)
            try await repository.blocks.put(old.blocks + new.blocks)
            await #expect(throws: PinError.notPinned(old.root)) { try await repository.pins.update(old.root, to: new.root, unpin: true) }
            try await repository.pins.add(Pin(old.root, .recursive, name: "n"))
            try await repository.pins.update(old.root, to: new.root, unpin: true)
            #expect(try await repository.pins.pins() == [Pin(new.root, .recursive, name: "n")])
        }
    }

    @Test func statusFindsIndirectPins() throws {
        try withRepository { repository in
            let tree = TestTree(seed: 7, leaves: 30)
            let alone = TestBlocks.raw("alone")
            try await repository.blocks.put(tree.blocks + [alone])
            try await repository.pins.add(Pin(tree.root, .recursive))
            let statuses = try await repository.pins.status(of: [tree.blocks[3].cid, tree.root, alone.cid])
            #expect(statuses == [.indirect(root: tree.root), .pinned(Pin(tree.root, .recursive)), .notPinned])
            var indirect = 0
            try await repository.pins.forEachIndirect { _, _ in
                indirect += 1
                return true
            }
            #expect(indirect == tree.blocks.count - 1)
            await #expect(throws: BlockStoreError.pinned(tree.blocks[3].cid)) {
                try await repository.collector.remove([alone.cid, tree.blocks[3].cid])
            }
            #expect(try await repository.collector.remove([alone.cid]) == [alone.cid])
        }
    }

    @Test func longNamesAreRefused() throws {
        try withRepository { repository in
            let block = TestBlocks.raw("x")
            try await repository.blocks.put([block])
            await #expect(throws: PinError.nameTooLong(bytes: 256)) {
                try await repository.pins.add(Pin(block.cid, .direct, name: String(repeating: "n", count: 256)))
            }
        }
    }

    @Test func collectionStopsAtAHole() throws {
        try withRepository { repository in
            let tree = TestTree(seed: 8, leaves: 30)
            let garbage = TestBlocks.raw("garbage")
            try await repository.blocks.put(tree.blocks + [garbage])
            try await repository.pins.add(Pin(tree.root, .recursive))
            // A node in the middle.
            let node = tree.blocks[32].cid
            try await TestRepository.corrupt(node, repository)
            await #expect(throws: GarbageCollector.Failure.incomplete(pin: tree.root, missing: node)) {
                try await repository.collector.collect()
            }
            #expect(try await repository.blocks.has(garbage.cid))
            // Pinning again from a peer heals.
            try await repository.pins.add(Pin(tree.root, .recursive), from: TestSource(tree.blocks))
            #expect(try await repository.collector.collect().removed == 1)
        }
    }

    @Test func onlyOneCollectionAtATime() throws {
        try withRepository { repository in
            try await repository.blocks.put([TestBlocks.raw("x")])
            try await repository.collector.collect { _ in
                await #expect(throws: GarbageCollector.Failure.running) { try await repository.collector.collect() }
            }
        }
    }

    @Test func roundTripsRecords() throws {
        let cid = TestBlocks.raw("x").cid
        for pin in [Pin(cid, .direct), Pin(cid, .recursive, name: "näme")] {
            let decoded = try pin.encode().withUnsafeBytes { try Pin(cid: cid, value: $0) }
            #expect(decoded == pin)
        }
        for record: Bytes in [[], [1], [2, 0], [1, 2], [1, 0, 0xff]] {
            #expect(throws: PinError.damagedRecord(cid)) { _ = try record.withUnsafeBytes { try Pin(cid: cid, value: $0) } }
        }
    }
}
