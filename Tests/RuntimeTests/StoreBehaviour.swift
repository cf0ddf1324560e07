import Testing
import WaggleBase
import WaggleTestSupport

/// What stores do, in both worlds.
@Suite struct StoreBehaviour {
    static let t = Table("t")
    static let u = Table("u")

    static func open(_ scene: Stage.Scene, capacity: Int = 1 << 30) throws -> any KeyValueStore {
        try scene.near.openStore(scene.directory + "/store", tables: [t, u], capacity: capacity)
    }

    static func key(_ number: Int) -> Bytes { Bytes(count: 8) { $0.storeBytes(of: UInt64(number).bigEndian, as: UInt64.self); return 8 } }

    @Test(arguments: Stage.allCases) func valuesAreKept(_ stage: Stage) async throws {
        try await stage.play { scene in
            var store = try Self.open(scene)
            #expect(throws: StoreError.inUse(path: scene.directory + "/store")) { try Self.open(scene) }
            try await store.write(durable: false) { writer in
                try writer.put("a", "1", in: Self.t)
                try writer.put("a", "2", in: Self.u)
                try writer.put("empty", "", in: Self.t)
                #expect(try writer.value(of: "a", in: Self.t) == "1")
            }
            #expect(try store.read { try $0.value(of: "a", in: Self.t) } == "1")
            await store.close()
            #expect(throws: StoreError.closed) { try store.read { _ in } }
            await #expect(throws: StoreError.closed) { try await store.write(durable: true) { _ in } }
            store = try Self.open(scene)
            try store.read { reader throws -> Void in
                #expect(try reader.value(of: "a", in: Self.t) == "1")
                #expect(try reader.value(of: "a", in: Self.u) == "2")
                #expect(try reader.value(of: "empty", in: Self.t) == "")
                #expect(try reader.value(of: "b", in: Self.t) == nil)
                #expect(try reader.contains("empty", in: Self.t))
                #expect(try reader.count(Self.t) == 2)
                #expect(throws: StoreError.self) { try reader.count(Table("other")) }
            }
            let removed = try await store.write(durable: true) { writer in
                [try writer.remove("a", in: Self.t), try writer.remove("a", in: Self.t)]
            }
            #expect(removed == [true, false])
            #expect(try store.read { try $0.count(Self.t) } == 1)
            #expect(store.sizeOnDevice > 0)
            await store.close()
            await store.close()
        }
    }

    @Test(arguments: Stage.allCases) func failedBodiesLeaveNoTrace(_ stage: Stage) async throws {
        struct Oops: Error {}
        try await stage.play { scene in
            let store = try Self.open(scene)
            // Together in one commit, some of them failing after a change.
            try await withThrowingTaskGroup(of: Void.self) { group in
                for index in 0..<60 {
                    group.addTask {
                        do {
                            try await store.write(durable: index % 7 == 0) { writer in
                                try writer.put(Self.key(index), "x", in: Self.t)
                                if index % 3 == 0 { throw Oops() }
                            }
                            #expect(index % 3 != 0)
                        } catch is Oops { #expect(index % 3 == 0) }
                    }
                }
                try await group.waitForAll()
            }
            let present = try store.read { reader in try (0..<60).filter { try reader.contains(Self.key($0), in: Self.t) } }
            #expect(present == (0..<60).filter { $0 % 3 != 0 })
            await #expect(throws: StoreError.self) { try await store.write(durable: false) { try $0.put("", "x", in: Self.t) } }
            await #expect(throws: StoreError.self) {
                try await store.write(durable: false) { try $0.put(Bytes(pattern(512)), "x", in: Self.t) }
            }
            try await store.write(durable: false) { try $0.put(Bytes(pattern(511)), "x", in: Self.t) }
            await store.close()
        }
    }

    @Test(arguments: Stage.allCases) func writesComeInOrder(_ stage: Stage) async throws {
        try await stage.play { scene in
            let store = try Self.open(scene)
            // Counters added up by many writers, each seeing what the ones before it did.
            try await withThrowingTaskGroup(of: Void.self) { group in
                for index in 0..<200 {
                    group.addTask {
                        try await store.write(durable: index % 10 == 0) { writer in
                            let count = try writer.value(of: "n", in: Self.t).map { $0.utf8.flatMap { Int($0) } ?? 0 } ?? 0
                            try writer.put("n", Bytes(utf8: String(count + 1)), in: Self.t)
                        }
                    }
                }
                try await group.waitForAll()
            }
            #expect(try store.read { try $0.value(of: "n", in: Self.t) } == "200")
            await store.close()
        }
    }

    @Test(arguments: Stage.allCases) func scansAreOrdered(_ stage: Stage) async throws {
        try await stage.play { scene in
            let store = try Self.open(scene)
            try await store.write(durable: false) { writer in
                for index in 0..<2000 { try writer.put(Self.key(index * 7919 % 2000), Self.key(index), in: Self.t) }
            }
            func keys(from start: Bytes, limit: Int) throws -> [Int] {
                var found: [Int] = []
                try store.read { reader throws -> Void in
                    try start.withUnsafeBytes { start in
                        try reader.scan(Self.t, from: start) { key, _ in
                            found.append(Int(UInt64(bigEndian: key.loadUnaligned(as: UInt64.self))))
                            return found.count < limit
                        }
                    }
                }
                return found
            }
            #expect(try keys(from: "", limit: .max) == Array(0..<2000))
            #expect(try keys(from: Self.key(500), limit: 3) == [500, 501, 502])
            #expect(try keys(from: Self.key(5000), limit: 3) == [])
            // Removing while scanning.
            let removed = try await store.write(durable: false) { writer in
                var seen = 0
                try Bytes().withUnsafeBytes { start in
                    try writer.scan(Self.t, from: start) { key, _ in
                        seen += 1
                        let number = UInt64(bigEndian: key.loadUnaligned(as: UInt64.self))
                        if number % 2 == 1 { try writer.remove(Bytes(copying: key), in: Self.t) }
                        return true
                    }
                }
                return seen
            }
            #expect(removed == 2000)
            #expect(try keys(from: "", limit: .max) == Array(stride(from: 0, to: 2000, by: 2)))
            await store.close()
        }
    }

    @Test(arguments: Stage.allCases) func bigValues(_ stage: Stage) async throws {
        try await stage.play { scene in
            let store = try Self.open(scene)
            let value = Bytes(pattern(3_000_001))
            try await withThrowingTaskGroup(of: Void.self) { group in
                for index in 0..<12 {
                    group.addTask {
                        try await store.write(durable: false) { writer in
                            try Self.key(index).withUnsafeBytes { key in
                                try writer.put(key, size: value.count, in: Self.t) { room in
                                    value.withUnsafeBytes { room.copyMemory(from: $0) }
                                }
                            }
                        }
                    }
                }
                try await group.waitForAll()
            }
            for index in 0..<12 { #expect(try store.read { try $0.value(of: Self.key(index), in: Self.t) } == value) }
            await store.close()
        }
    }

    /// A reader sees one state, whatever is written meanwhile.
    @Test(arguments: Stage.allCases) func snapshots(_ stage: Stage) async throws {
        try await stage.play { scene in
            let store = try Self.open(scene)
            try await store.write(durable: false) { try $0.put("a", "1", in: Self.t) }
            let scope = TaskScope()
            scope.spawn(on: scene.near.loops[scene.near.loops.count - 1]) {
                do {
                    for index in 0..<50 {
                        try await store.write(durable: false) { writer in
                            try writer.put("a", Self.key(index), in: Self.t)
                            try writer.put("b", Self.key(index), in: Self.t)
                        }
                    }
                } catch { Issue.record(error) }
            }
            while scope.count > 0 {
                try store.read { reader throws -> Void in
                    let first = try reader.value(of: "b", in: Self.t)
                    let second = try reader.value(of: "a", in: Self.t)
                    #expect(first == second || (first == nil && second == "1"))
                }
                try await scene.loop.sleep(until: scene.loop.now + .microseconds(50))
            }
            await store.close()
        }
    }

    @Test(arguments: Stage.allCases) func aFullStoreSaysSoAndGoesOn(_ stage: Stage) async throws {
        try await stage.play { scene in
            let store = try Self.open(scene, capacity: 2 << 20)
            try await store.write(durable: false) { try $0.put("small", "1", in: Self.t) }
            await #expect(throws: StoreError.full) {
                try await store.write(durable: true) { writer in
                    for index in 0..<40 { try writer.put(Self.key(index), Bytes(pattern(100_000)), in: Self.t) }
                }
            }
            try await store.write(durable: true) { try $0.put("small2", "2", in: Self.t) }
            try store.read { reader throws -> Void in
                #expect(try reader.count(Self.t) == 2)
                #expect(try reader.value(of: "small", in: Self.t) == "1")
            }
            await store.close()
        }
    }
}
