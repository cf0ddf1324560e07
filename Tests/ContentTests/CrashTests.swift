import Synchronization
import Testing
import WaggleBase
import WaggleFormats
import WaggleSimulation

@testable import WaggleContent

/// What a workload was told, to be checked against the repository afterwards.
private final class Acknowledged: Sendable {
    struct State {
        /// Pins that must be there.
        var pins: [CID: Pin] = [:]
        /// Roots whose removal was asked for and perhaps not answered.
        var leaving: Set<CID> = []
        /// Blocks stored durably under a guard that is never released.
        var blocks: [CID] = []
        var collections = 0
    }
    let state = Mutex(State())
}

/// Trees over a small set of leaves, so that different trees share blocks.
private func overlappingTree(_ random: inout TestRandom) -> TestTree {
    var tree = TestTree(seed: 0, leaves: 1)
    tree.blocks = []
    var links: [CID] = []
    for _ in 0..<Int.random(in: 1...12, using: &random) {
        let leaf = TestBlocks.raw(Bytes([UInt8](repeating: UInt8.random(in: 0..<20, using: &random), count: 64)))
        tree.blocks.append(leaf)
        links.append(leaf.cid)
    }
    let middle = TestBlocks.node(links)
    tree.blocks.append(middle)
    tree.blocks.append(TestBlocks.node([middle.cid, links[0]], data: random.bytes(1)))
    return tree
}

/// One of several writers, each doing some random operations one after the other.
private func work(_ seed: UInt64, operations: Int, _ repository: Repository, _ acknowledged: Acknowledged) async throws {
    var random = TestRandom(seed)
    for _ in 0..<operations {
        switch Int.random(in: 0..<10, using: &random) {
        case 0..<4:
            // Add with a pin, block by block.
            let tree = overlappingTree(&random)
            let pin = Pin(tree.root, .recursive)
            try await repository.blocks.guarded { blockGuard in
                try await BlockWriter.run(into: repository.blocks, under: blockGuard) { writer in
                    for block in tree.blocks {
                        try await writer.write([block])
                        if Bool.random(using: &random) { try await writer.flush() }
                    }
                    try await writer.finish(pins: [pin])
                }
            }
            acknowledged.state.withLock { state in
                if !state.leaving.contains(tree.root) { state.pins[tree.root] = pin }
            }
        case 4..<6:
            // Pin what may be half there, half collected, with a peer that has all of it.
            let tree = overlappingTree(&random)
            try await repository.blocks.put(Array(tree.blocks.dropLast(Int.random(in: 0..<3, using: &random))), durable: false)
            try await repository.pins.add(Pin(tree.root, .recursive), from: TestSource(tree.blocks))
            acknowledged.state.withLock { state in
                if !state.leaving.contains(tree.root) { state.pins[tree.root] = Pin(tree.root, .recursive) }
            }
        case 6:
            // From here on the root may or may not be pinned.
            let roots = acknowledged.state.withLock { $0.pins.keys.sorted() }
            guard let root = roots.randomElement(using: &random) else { continue }
            acknowledged.state.withLock { state in
                state.pins[root] = nil
                state.leaving.insert(root)
            }
            do { try await repository.pins.remove(root) } catch PinError.notPinned {}
        case 7:
            let block = TestBlocks.raw(random.bytes(50))
            let blockGuard = repository.blocks.protection.makeGuard()
            try await blockGuard.protect([block.cid])
            try await repository.blocks.put([block])
            acknowledged.state.withLock { $0.blocks.append(block.cid) }
        default:
            do {
                try await repository.collector.collect()
                acknowledged.state.withLock { $0.collections += 1 }
            } catch GarbageCollector.Failure.running {}
        }
    }
}

private func check(_ repository: Repository, _ acknowledged: Acknowledged, seed: UInt64) async throws {
    let expected = acknowledged.state.withLock { $0 }
    let pins = try await repository.pins.pins()
    for pin in pins {
        let whole = try await TestRepository.isWhole(pin.cid, repository)
        #expect(whole, "pin \(pin.cid) is not whole (seed \(seed))")
    }
    let found = Dictionary(pins.map { ($0.cid, $0) }) { first, _ in first }
    for (cid, pin) in expected.pins { #expect(found[cid] == pin, "pin \(cid) is lost (seed \(seed))") }
    for cid in expected.blocks {
        let bytes = try await repository.blocks.get(cid)
        #expect(bytes != nil, "block \(cid) is lost (seed \(seed))")
    }
    // The counters fit what is there.
    let totals = try repository.blocks.totals()
    var bytes = 0
    let keys = try await repository.blocks.keys(limit: .max)
    for key in keys { bytes += try await repository.blocks.size(of: CID(codec: .raw, hash: key)) ?? 0 }
    #expect(totals == (keys.count, bytes), "counters are wrong (seed \(seed))")
}

@Suite struct CrashTests {
    /// 200 power cuts at random moments during adds, pins and collections; half of them cut the power, half kill the process.
    @Test func nothingAcknowledgedIsLostInACrash() throws {
        var collections = 0
        var pins = 0
        for seed in 0..<200 as Range<UInt64> {
            let world = World(seed: seed)
            let host = world.host("node")
            let acknowledged = Acknowledged()
            try world.run {
                var random = TestRandom(seed &* 77)
                for round in 0..<2 as Range<UInt64> {
                    let system = host.isUp ? host.system : host.restart()
                    let repository = try TestRepository.make(on: system)
                    try await check(repository, acknowledged, seed: seed)
                    // Their guards died with the process, so a collection is free to take them now.
                    acknowledged.state.withLock { $0.blocks = [] }
                    let scope = TaskScope()
                    for worker in 0..<4 as Range<UInt64> {
                        scope.spawn(on: system.home) {
                            // Ends with the error that the crash gave it.
                            try? await work(seed &* 1000 + worker + round * 100, operations: 1000, repository, acknowledged)
                        }
                    }
                    try await world.sleep(for: .microseconds(Int.random(in: 100...80_000, using: &random)))
                    if Bool.random(using: &random) { host.crash() } else { host.kill() }
                }
                let repository = try TestRepository.make(on: host.restart())
                try await check(repository, acknowledged, seed: seed)
                try await repository.collector.collect()
                acknowledged.state.withLock { $0.blocks = [] }
                try await check(repository, acknowledged, seed: seed)
            }
            acknowledged.state.withLock {
                collections += $0.collections
                pins += $0.pins.count
            }
        }
        // The test is worth something only while crashes meet work.
        #expect(collections > 200 && pins > 500)
    }

    @Test func concurrentCollectionsNeverLosePinnedBlocks() throws {
        var removed = 0
        for seed in 0..<60 as Range<UInt64> {
            let world = World(seed: seed)
            let host = world.host("node")
            removed += try world.run {
                let repository = try TestRepository.make(on: host.system)
                let acknowledged = Acknowledged()
                try await withThrowingTaskGroup(of: Void.self) { group in
                    for worker in 0..<5 as Range<UInt64> {
                        group.addTask { try await work(seed &* 1000 + worker, operations: 40, repository, acknowledged) }
                    }
                    try await group.waitForAll()
                }
                try await check(repository, acknowledged, seed: seed)
                let outcome = try await repository.collector.collect()
                try await check(repository, acknowledged, seed: seed)
                return outcome.removed
            }
        }
        #expect(removed > 0)
    }

    /// The same work in the same world is the same history.
    @Test func historiesRepeat() throws {
        func trace() throws -> UInt64 {
            let world = World(seed: 9)
            let host = world.host("node")
            try world.run {
                let repository = try TestRepository.make(on: host.system)
                let acknowledged = Acknowledged()
                try await work(5, operations: 60, repository, acknowledged)
            }
            return world.trace.hash
        }
        #expect(try trace() == trace())
    }
}
