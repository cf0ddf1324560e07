import Testing
import WaggleBase

/// What files do, in both worlds.
@Suite struct FileBehaviour {
    @Test(arguments: Stage.allCases) func filesAreReplaced(_ stage: Stage) async throws {
        try await stage.play { scene in
            let (files, d) = (scene.near.files, scene.directory)
            #expect(try files.status(d + "/a") == nil)
            try files.replace(d + "/a", with: "one", mode: 0o600)
            try files.replace(d + "/a", with: "three", mode: 0o640)
            #expect(try files.read(d + "/a", limit: 5) == "three")
            let status = try #require(try files.status(d + "/a"))
            #expect(status.kind == .file && status.size == 5 && status.mode == 0o640)
            #expect(throws: FileError.tooLarge(path: d + "/a", limit: 4)) { try files.read(d + "/a", limit: 4) }
            #expect(throws: FileError.notFound(path: d + "/b")) { try files.read(d + "/b", limit: 4) }
            #expect(throws: FileError.notFound(path: d + "/x/y")) { try files.replace(d + "/x/y", with: "", mode: 0o600) }
            #expect(try files.list(d) == ["a"])
        }
    }

    @Test(arguments: Stage.allCases) func openFiles(_ stage: Stage) async throws {
        try await stage.play { scene in
            let (files, d) = (scene.near.files, scene.directory)
            let file = try files.create(d + "/f", mode: 0o644, exclusive: true)
            #expect(throws: FileError.exists(path: d + "/f")) { try files.create(d + "/f", mode: 0o644, exclusive: true) }
            let bytes = Bytes((0..<100).map { UInt8($0) })
            try bytes.withUnsafeBytes { buffer throws(FileError) in try file.write(buffer, at: 10) }
            try file.synchronize()
            file.close()
            file.close()
            let reader = try files.open(d + "/f")
            defer { reader.close() }
            var buffer = [UInt8](repeating: 9, count: 200)
            #expect(try buffer.withUnsafeMutableBytes { try reader.read(into: $0, at: 5) } == 105)
            #expect(buffer[0..<5].allSatisfy { $0 == 0 } && buffer[5] == 0 && buffer[104] == 99)
            #expect(try buffer.withUnsafeMutableBytes { try reader.read(into: $0, at: 110) } == 0)
            let again = try files.create(d + "/f", mode: 0o644, exclusive: false)
            again.close()
            #expect(try files.status(d + "/f")?.size == 0)
        }
    }

    @Test(arguments: Stage.allCases) func directoriesAndLinks(_ stage: Stage) async throws {
        try await stage.play { scene in
            let (files, d) = (scene.near.files, scene.directory)
            try files.makeDirectory(d + "/x/y/z", mode: 0o755)
            try files.makeDirectory(d + "/x/y", mode: 0o755)
            try files.replace(d + "/x/file", with: "1", mode: 0o600)
            #expect(throws: FileError.notDirectory(path: d + "/x/file")) { try files.makeDirectory(d + "/x/file", mode: 0o755) }
            try files.makeSymbolicLink(d + "/link", target: "x/file")
            #expect(try files.status(d + "/link")?.kind == .symbolicLink(target: "x/file"))
            #expect(try files.read(d + "/link", limit: 9) == "1")
            #expect(throws: FileError.exists(path: d + "/link")) { try files.makeSymbolicLink(d + "/link", target: "y") }
            #expect(throws: FileError.self) { try files.remove(d + "/x") }
            #expect(throws: FileError.isDirectory(path: d + "/x")) { try files.open(d + "/x") }
            #expect(throws: FileError.isDirectory(path: d + "/x")) { try files.read(d + "/x", limit: 9) }
            try files.remove(d + "/link")
            #expect(try files.list(d + "/x") == ["file", "y"])
            try files.remove(d + "/x/y/z")
            try files.remove(d + "/x/y")
            #expect(throws: FileError.notFound(path: d + "/x/y")) { try files.remove(d + "/x/y") }
            #expect(throws: FileError.notDirectory(path: d + "/x/file")) { try files.list(d + "/x/file") }
            #expect(try files.space(d).total > 0)
        }
    }

    @Test(arguments: Stage.allCases) func statusIsSet(_ stage: Stage) async throws {
        try await stage.play { scene in
            let (files, path) = (scene.near.files, scene.directory + "/f")
            try files.replace(path, with: "1", mode: 0o600)
            for nanoseconds: Int64 in [1_234_567_890_123_456_789, 0, -1_500_000_000] {
                try files.setStatus(path, mode: 0o4711, modified: WallTime(nanoseconds: nanoseconds))
                let status = try files.status(path)
                #expect(status?.mode == 0o4711 && status?.modified.nanoseconds == nanoseconds)
            }
            try files.setStatus(path, mode: nil, modified: nil)
            #expect(try files.status(path)?.mode == 0o4711)
        }
    }

    @Test(arguments: Stage.allCases) func locks(_ stage: Stage) async throws {
        try await stage.play { scene in
            let (files, path) = (scene.near.files, scene.directory + "/lock")
            let lock = try files.lock(path)
            #expect(throws: FileError.locked(path: path)) { try files.lock(path) }
            lock.release()
            try files.lock(path).release()
        }
    }
}
