import Glibc
import Testing
import WaggleBase
@testable import WaggleRuntime
import WaggleTestSupport

/// What only the real store has: crashes of the machine, damaged files.
@Suite struct LMDBStoreTests {
    static let t = Table("t")

    /// Without flushes that nobody asked for.
    static func open(_ path: String, boot: String = "this") throws -> LMDBStore {
        try LMDBStore(path: path, tables: [t], capacity: 1 << 28, boot: boot, flushInterval: 1 << 60)
    }

    static func fill(_ store: LMDBStore, _ numbers: Range<Int>, durable: Bool, salt: UInt64 = 0) async throws {
        for number in numbers {
            try await store.write(durable: durable && number == numbers.upperBound - 1) { writer in
                try writer.put(StoreBehaviour.key(number), Bytes(pattern(1500 + number * 37 % 9000, seed: UInt64(number) + salt)), in: t)
            }
        }
    }

    static func check(_ store: LMDBStore, _ numbers: Range<Int>, salt: UInt64 = 0) throws -> Bool {
        try store.read { reader in
            for number in numbers {
                let expected = Bytes(pattern(1500 + number * 37 % 9000, seed: UInt64(number) + salt))
                if try reader.value(of: StoreBehaviour.key(number), in: t) != expected { return false }
            }
            return try reader.count(t) == numbers.count
        }
    }

    static func copy(_ path: String, to copy: String) throws {
        let files = LinuxFiles()
        try files.makeDirectory(copy, mode: 0o700)
        for name in ["data.mdb", "durable"] { try files.replace(copy + "/" + name, with: files.read(path + "/" + name, limit: 1 << 28), mode: 0o600) }
    }

    /// A power cut after a durable commit and many that were not: the kernel has written some of the newer pages, the newest meta
    /// page among them, and not others. What comes back must be the durable state, whole.
    @Test(arguments: 0..<8) func powerCuts(_ seed: Int) async throws {
        try await Stage.linux.play { scene in
            let path = scene.directory + "/store"
            let store = try Self.open(path)
            try await Self.fill(store, 0..<150, durable: true)
            let durable = try LinuxFiles().read(path + "/data.mdb", limit: 1 << 28)
            try await Self.fill(store, 0..<150, durable: false, salt: 1)
            try await store.write(durable: false) { writer in
                for number in 0..<100 { try writer.remove(StoreBehaviour.key(number), in: Self.t) }
            }
            try await Self.fill(store, 300..<320, durable: false)
            let copy = scene.directory + "/copy"
            try Self.copy(path, to: copy)
            await store.close()

            let newest = try LinuxFiles().read(copy + "/data.mdb", limit: 1 << 28).array
            var random = UInt64(seed)
            var torn = newest
            for page in 2..<newest.count / 4096 {
                random = random &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
                guard random >> 63 == 0 else { continue }
                let range = page * 4096..<(page + 1) * 4096
                let old = range.upperBound <= durable.count ? durable[range].array : [UInt8](repeating: 0, count: 4096)
                torn.replaceSubrange(range, with: old)
            }
            try LinuxFiles().replace(copy + "/data.mdb", with: Bytes(torn), mode: 0o600)
            let recovered = try Self.open(copy, boot: "next")
            #expect(try Self.check(recovered, 0..<150))
            // And it goes on from there.
            try await Self.fill(recovered, 150..<200, durable: true)
            await recovered.close()
            let again = try Self.open(copy, boot: "after")
            #expect(try Self.check(again, 0..<200))
            await again.close()
        }
    }

    /// A process that dies loses nothing that readers could see, as long as the machine runs.
    @Test func deadProcessesLoseNothing() async throws {
        try await Stage.linux.play { scene in
            let path = scene.directory + "/store"
            let store = try Self.open(path)
            try await Self.fill(store, 0..<50, durable: false)
            try Self.copy(path, to: scene.directory + "/copy")
            await store.close()
            let copy = try Self.open(scene.directory + "/copy")
            #expect(try Self.check(copy, 0..<50))
            await copy.close()
        }
    }

    /// A torn write of the mark leaves the one before it in force.
    @Test func tornMarks() async throws {
        try await Stage.linux.play { scene in
            let path = scene.directory + "/store"
            let store = try Self.open(path)
            try await Self.fill(store, 0..<20, durable: true)
            await store.close()
            let mark = path + "/durable"
            var bytes = try LinuxFiles().read(mark, limit: 1 << 20).array
            // Both slots hold a state; the newer one of them is damaged.
            #expect(bytes.count > 4096)
            let newer = bytes[8..<16].elementsEqual(bytes[4104..<4112]) ? 0 : (bytes[8] > bytes[4104] ? 0 : 4096)
            bytes[newer + 100] ^= 1
            try LinuxFiles().replace(mark, with: Bytes(bytes), mode: 0o600)
            let again = try Self.open(path, boot: "next")
            _ = try again.read { try $0.count(Self.t) }
            await again.close()
        }
    }

    @Test func foreignFilesAreRefused() async throws {
        try await Stage.linux.play { scene in
            let path = scene.directory + "/store"
            try LinuxFiles().makeDirectory(path, mode: 0o700)
            try LinuxFiles().replace(path + "/data.mdb", with: Bytes(pattern(100_000)), mode: 0o600)
            #expect(throws: StoreError.self) { try Self.open(path) }
            try LinuxFiles().remove(path + "/data.mdb")
            let store = try Self.open(path)
            await store.close()
        }
    }

    /// A store that could not be opened can be opened when what was in the way is gone: its lock does not stay.
    @Test func aFailedOpeningLetsGoOfTheLock() async throws {
        try await Stage.linux.play { scene in
            let path = scene.directory + "/store"
            try LinuxFiles().makeDirectory(path + "/durable", mode: 0o700)
            #expect(throws: StoreError.self) { try Self.open(path) }
            try LinuxFiles().remove(path + "/durable")
            let store = try Self.open(path)
            await store.close()
        }
    }

    /// What a transaction has just written is read from memory of its own, which is not given back as the map's pages are.
    @Test func writersReadTheirOwnBigValues() async throws {
        try await Stage.linux.play { scene in
            let store = try Self.open(scene.directory + "/store")
            let value = Bytes(pattern(256 << 10, seed: 1))
            try await store.write(durable: false) { writer in
                try writer.put(StoreBehaviour.key(1), value, in: Self.t)
                for _ in 0..<100 {
                    let found = try StoreBehaviour.key(1).withUnsafeBytes { key in try writer.withValue(of: key, in: Self.t) { Bytes(copying: $0) } }
                    #expect(found == value)
                }
            }
            await store.close()
        }
    }

    /// Reading large values does not keep them mapped.
    @Test func readingKeepsMemoryLow() async throws {
        try await Stage.linux.play { scene in
            let store = try Self.open(scene.directory + "/store")
            let value = Bytes(pattern(1 << 20))
            for number in 0..<128 {
                try await store.write(durable: false) { try $0.put(StoreBehaviour.key(number), value, in: Self.t) }
            }
            let before = scene.near.residentMemory
            for number in 0..<128 {
                let same = try store.read { try $0.withValue(of: UnsafeRawBufferPointer(start: nil, count: 0), in: Self.t) { _ in false } }
                #expect(same == nil)
                let sum = try store.read { reader in
                    try StoreBehaviour.key(number).withUnsafeBytes { key in
                        try reader.withValue(of: key, in: Self.t) { bytes in stride(from: 0, to: bytes.count, by: 4096).reduce(0) { $0 &+ Int(bytes[$1]) } }
                    }
                }
                #expect(sum != nil)
            }
            #expect(scene.near.residentMemory - before < 64 << 20)
            await store.close()
        }
    }
}
