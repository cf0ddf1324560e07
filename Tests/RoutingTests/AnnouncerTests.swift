import Synchronization
import Testing
import WaggleAssembly
import WaggleBase
import WaggleCryptography
import WaggleFormats
import WaggleNetwork
import WaggleSimulation

@testable import WaggleContent

/// A node that announces to a board.
private struct AnnouncingNode: Sendable {
    let node: Node
    let repository: Repository
    let announcer: Announcer
    let board: AnnouncementBoard

    static func start(
        _ system: some System, _ strategy: ProvideStrategy.Scope = .all, board: AnnouncementBoard? = nil, fresh: Bool = true, resumes: Bool = true
    ) async throws -> AnnouncingNode {
        if fresh { try Repository.initialize(at: "/repo", configuration: "{}", on: system) }
        let repository = try Repository.open("/repo", on: system)
        var configuration = NodeConfiguration.preset(.client)
        configuration.policy = .classical
        let node = try await Node(configuration, on: system)
        let board = board ?? AnnouncementBoard(system.home)
        var options = Announcer.Options()
        options.strategy = ProvideStrategy(strategy)
        options.resumes = resumes
        let announcer = try Announcer(repository, routing: board, options: options)
        node.add(announcer)
        try await node.start()
        return AnnouncingNode(node: node, repository: repository, announcer: announcer, board: board)
    }

    func stop() async {
        await node.close()
        await repository.close()
    }

    /// A graph of `leaves` raw blocks below one root.
    func add(_ seed: String, leaves: Int, pinned: Bool = true) async throws -> (root: CID, leaves: [CID]) {
        let blocks = (0..<leaves).map { Bytes(utf8: "\(seed) \($0)") }.map { Block(cid: cid($0, .raw), bytes: $0) }
        let bytes = PBNode(links: blocks.map { PBLink(hash: $0.cid, name: "", size: 0) }, data: nil).encode()
        let root = Block(cid: cid(bytes, .dagPB), bytes: bytes)
        try await repository.blocks.guarded { blockGuard in
            try await BlockWriter.run(into: repository.blocks, under: blockGuard) { writer in
                try await writer.write(blocks + [root])
                try await writer.finish(pins: pinned ? [Pin(root.cid, .recursive)] : [])
            }
        }
        return (root.cid, blocks.map(\.cid))
    }

    private func cid(_ bytes: Bytes, _ codec: Multicodec) -> CID {
        try! CID(codec: codec, hash: Multihash(.sha2_256, digest: Bytes(SHA256.hash(bytes).bytes.span)))
    }
}

@Suite struct AnnouncerTests {
    private func pause(_ system: any System, _ seconds: Int) async throws { try await system.home.sleep(until: system.home.now + .seconds(seconds)) }

    @Test func newBlocksAreAnnouncedSoonAndAllAgainEveryDay() throws {
        try withHost { system, _ in
            let node = try await AnnouncingNode.start(system)
            let (root, leaves) = try await node.add("a", leaves: 20)
            // Whoever waits for an empty queue after an add does not see one before the blocks are in it.
            let waiting = await node.announcer.statistics()
            #expect(waiting.queuedKeys > 0 || !node.board.keys.isEmpty)
            try await pause(system, 5)
            #expect(Set(node.board.keys) == Set(([root] + leaves).map(\.multihash)))
            #expect(await node.announcer.statistics().queuedKeys == 0)
            node.board.forget()
            try await pause(system, 33 * 3600)
            #expect(Set(node.board.keys) == Set(([root] + leaves).map(\.multihash)))
            let statistics = await node.announcer.statistics()
            #expect(statistics.scheduledKeys == 21 && statistics.keysAnnounced >= 42 && statistics.cycles >= 1)
            await node.stop()
        }
    }

    @Test(arguments: [ProvideStrategy.Scope.roots, .pinned]) func onlyWhatIsPinned(scope: ProvideStrategy.Scope) throws {
        try withHost { system, _ in
            let node = try await AnnouncingNode.start(system, scope)
            let (root, leaves) = try await node.add("a", leaves: 5)
            _ = try await node.add("b", leaves: 5, pinned: false)
            let wanted = Set((scope == .roots ? [root] : [root] + leaves).map(\.multihash))
            try await pause(system, 5)
            #expect(Set(node.board.keys) == wanted)
            node.board.forget()
            try await pause(system, 33 * 3600)
            #expect(Set(node.board.keys) == wanted)
            await node.stop()
        }
    }

    @Test func theQueueOutlivesARestart() throws {
        try withHost { system, _ in
            let board = AnnouncementBoard(system.home)
            board.isDown = true
            let first = try await AnnouncingNode.start(system, board: board)
            let (root, leaves) = try await first.add("a", leaves: 10)
            try await pause(system, 5)
            #expect(board.keys.isEmpty)
            #expect(await first.announcer.statistics().queuedKeys == 11)
            #expect(await first.announcer.statistics().isConnected == false)
            await first.stop()
            board.isDown = false
            let second = try await AnnouncingNode.start(system, board: board, fresh: false)
            #expect(await second.announcer.statistics().queuedKeys == 11)
            try await pause(system, 5)
            #expect(Set(board.keys) == Set(([root] + leaves).map(\.multihash)))
            // By hand, and by hand not.
            board.isDown = true
            try await second.announcer.announce([root])
            try await second.announcer.announce(below: [root])
            #expect(try await second.announcer.clear() >= 1)
            #expect(await second.announcer.statistics().queuedKeys == 0)
            await second.stop()
        }
    }

    @Test(arguments: [true, false]) func theCycleGoesOnAfterARestart(resumes: Bool) throws {
        try withHost { system, _ in
            let board = AnnouncementBoard(system.home)
            board.isDown = true
            let first = try await AnnouncingNode.start(system, board: board)
            _ = try await first.add("a", leaves: 3)
            try await pause(system, 100)
            #expect(await first.announcer.statistics().cycleElapsed >= .seconds(100))
            #expect(await first.announcer.statistics().queuedKeys == 4)
            await first.stop()
            try await pause(system, 50)
            let second = try await AnnouncingNode.start(system, board: board, fresh: false, resumes: resumes)
            try await pause(system, 1)
            let statistics = await second.announcer.statistics()
            #expect(resumes ? statistics.cycleElapsed >= .seconds(150) : statistics.cycleElapsed < .seconds(50))
            #expect(statistics.queuedKeys == (resumes ? 4 : 0))
            board.isDown = false
            try await pause(system, 700)
            #expect(Set(board.keys).count == 4)
            await second.stop()
        }
    }

    @Test func theQueueIsBounded() throws {
        try withHost { system, _ in
            let store = try system.openStore("/data", tables: [ProvideQueue.table], capacity: 1 << 24)
            let queue = try ProvideQueue(store, limit: 100)
            let outcome = try await queue.append((0..<150).map { testHash($0) })
            #expect(outcome.taken == 100 && outcome.dropped == 50 && queue.count == 100)
            // The same once more is not queued again, unless that is asked for.
            try await queue.remove(try queue.first(50).map(\.number))
            #expect(try await queue.append((0..<50).map { testHash($0) }).taken == 0)
            #expect(try await queue.append((0..<10).map { testHash($0) }, again: true).taken == 10)
            try await queue.saveSweep(start: newYear, position: 7)
            let again = try ProvideQueue(store, limit: 100)
            #expect(again.count == 60)
            #expect(try again.first(1000).map(\.hash) == (50..<100).map { testHash($0) } + (0..<10).map { testHash($0) })
            #expect(try again.loadSweep().map { $0.start == newYear && $0.position == 7 } == true)
            #expect(try await again.clear() == 60)
            #expect(try again.loadSweep() != nil)
        }
    }
}
