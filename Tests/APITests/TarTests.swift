import Synchronization
import Testing
import WaggleBase
import WaggleSimulation

@testable import WaggleAPI

@Suite final class TarTests {
    private let world = World(seed: 1)
    private let hosts = Mutex(0)

    /// The empty disk of a new host.
    private func files() -> any FileSystem {
        let number = hosts.withLock { $0 += 1; return $0 }
        let files = world.host("node \(number)").system.files
        do { try files.makeDirectory("/out", mode: 0o755) } catch { Issue.record(error) }
        return files
    }

    private static func entry(_ path: String, _ kind: TarFormat.Kind, _ content: [UInt8] = [], mode: UInt32? = nil, seconds: Int64? = nil) -> [UInt8] {
        let header = TarFormat.header(path, kind: kind, size: UInt64(content.count), TarFormat.Metadata(mode: mode, seconds: seconds)).array
        return header + content + [UInt8](repeating: 0, count: (512 - content.count % 512) % 512)
    }

    private static let end = TarFormat.end.array

    private func extract(_ archive: [UInt8], to path: String, _ files: any FileSystem, pieces: Int = .max) throws {
        let extractor = TarExtractor(to: path, files: files)
        var rest = archive[...]
        while !rest.isEmpty {
            try extractor.receive(Bytes(Array(rest.prefix(pieces))))
            rest = rest.dropFirst(pieces)
        }
        try extractor.finish()
    }

    private static let long = String(repeating: "n", count: 150)

    private static func tree() -> [UInt8] {
        entry("root", .directory) + entry("root/a.txt", .file, Array("hello".utf8), mode: 0o600, seconds: 1_000_000_000)
            + entry("root/sub", .directory) + entry("root/sub/\(long)", .file, [UInt8](repeating: 7, count: 1500))
            + entry("root/link", .link(target: "a.txt")) + entry("root/ü", .file, [1]) + end
    }

    private func checkTree(_ files: any FileSystem) throws {
        #expect(try files.read("/out/t/a.txt", limit: 100) == "hello")
        #expect(try files.status("/out/t/a.txt")?.mode == 0o600)
        #expect(try files.status("/out/t/a.txt")?.modified == WallTime(nanoseconds: 1_000_000_000_000_000_000))
        #expect(try files.read("/out/t/sub/\(Self.long)", limit: 2000).count == 1500)
        #expect(try files.status("/out/t/link")?.kind == .symbolicLink(target: "a.txt"))
        #expect(try files.read("/out/t/ü", limit: 10).array == [1])
    }

    @Test(arguments: [1, 7, 511, 512, 513, 4096, .max]) func aTreeInPieces(pieces: Int) throws {
        let files = files()
        try extract(Self.tree(), to: "/out/t", files, pieces: pieces)
        try checkTree(files)
    }

    @Test func everySplitPointOfASmallArchive() throws {
        let archive = Self.entry("f", .file, Array("content".utf8)) + Self.end
        for cut in 0...archive.count {
            let files = files()
            let extractor = TarExtractor(to: "/out/f", files: files)
            try extractor.receive(Bytes(Array(archive[..<cut])))
            try extractor.receive(Bytes(Array(archive[cut...])))
            try extractor.finish()
            #expect(try files.read("/out/f", limit: 100) == "content")
        }
    }

    @Test func truncationIsNoticed() throws {
        let archive = Self.tree()
        for count in stride(from: 0, to: archive.count - 1024, by: 97) {
            #expect(throws: TarError.endsEarly) { try extract(Array(archive[..<count]), to: "/out/t", files()) }
        }
    }

    @Test(arguments: ["root/../../evil", "root/..", "root/./x", "../evil", "root/\u{0}x/..", ".."]) func pathsStayInside(path: String) throws {
        let files = files()
        let archive = Self.entry("root", .directory) + Self.entry(path, .file, [1]) + Self.end
        do {
            try extract(archive, to: "/out/t", files)
        } catch let error as TarError {
            guard case .unsafePath = error else { Issue.record(error); return }
        } catch is FileError {
            // A NUL ends the path early, so that it names the directory itself.
        }
        #expect(try files.status("/evil") == nil)
        #expect(try files.status("/out/evil") == nil)
    }

    @Test func noSymbolicLinkIsFollowed() throws {
        let files = files()
        try files.makeDirectory("/secret", mode: 0o755)
        // A link in the archive, then an entry through it.
        let through = Self.entry("root", .directory) + Self.entry("root/l", .link(target: "/secret")) + Self.entry("root/l/x", .file, [1]) + Self.end
        #expect(throws: TarError.self) { try extract(through, to: "/out/t", files) }
        #expect(try files.status("/secret/x") == nil)
        // A link that stood there before.
        try files.makeDirectory("/out/u", mode: 0o755)
        try files.makeSymbolicLink("/out/u/f", target: "/secret/y")
        let over = Self.entry("root", .directory) + Self.entry("root/f", .file, [1]) + Self.end
        #expect(throws: FileError.self) { try extract(over, to: "/out/u", files) }
        #expect(try files.status("/secret/y") == nil)
    }

    @Test func aFileGoesIntoADirectoryThatIsThere() throws {
        let files = files()
        try extract(Self.entry("name", .file, [1, 2]) + Self.end, to: "/out", files)
        #expect(try files.read("/out/name", limit: 10).array == [1, 2])
    }

    @Test func damagedHeaders() throws {
        var archive = Self.entry("f", .file, [1]) + Self.end
        archive[0] ^= 1
        #expect(throws: TarError.malformed) { try extract(archive, to: "/out/t", files()) }
        // An unknown kind of entry, with a right checksum.
        #expect(throws: TarError.malformed) { try extract([UInt8](repeating: 0x41, count: 512), to: "/out/t", files()) }
        // A pax header of two megabytes.
        var header = TarFormat.header(Self.long, kind: .file, size: 0, TarFormat.Metadata()).array
        header.replaceSubrange(124..<135, with: Array("00010000000".utf8))
        var sum = 0
        for index in 0..<512 { sum += (148..<156).contains(index) ? 0x20 : Int(header[index]) }
        let digits = String(sum, radix: 8)
        header.replaceSubrange(148..<154, with: Array((String(repeating: "0", count: 6 - digits.count) + digits).utf8))
        #expect(throws: TarError.tooLong) { try extract(header, to: "/out/t", files()) }
    }

    @Test func sizesAndTimesBeyondTheOldFields() throws {
        let header = TarFormat.header("f", kind: .file, size: 1 << 40, TarFormat.Metadata(mode: 0o644, seconds: -5)).array
        let text = String(decoding: header, as: UTF8.self)
        #expect(text.contains(" size=1099511627776\n"))
        #expect(text.contains(" mtime=-5\n"))
        #expect(header.count == 1536)
    }
}
