import WaggleBase

/// Files named on the command line, read from the disk.
package final class DiskFiles: FileTree, @unchecked Sendable {
    package struct Rules: Sendable {
        package var recursive = false
        package var hidden = false
        package var followLinks = false
        package var followNamedLinks = false
        package var ignore = IgnoreRules()

        package init() {}
    }

    /// How much is read from a file at a time.
    static let chunk = ByteCount.mebibytes(1)

    private let system: any System
    private let rules: Rules
    // Only one task walks the tree, so the state needs no lock.
    private var pending: [(disk: String, path: String, named: Bool)]
    private let roots: [(disk: String, path: String)]
    private var current: (file: any OpenFile, path: String, offset: Int64)?

    /// `paths` name files or directories; each must exist.
    package init(_ paths: [String], rules: Rules, workingDirectory: String, system: any System) throws(CommandError) {
        self.system = system
        self.rules = rules
        var roots: [(disk: String, path: String)] = []
        for given in paths {
            let disk = given.hasPrefix("/") ? given : workingDirectory + "/" + given
            let name = DiskFiles.baseName(given == "." ? workingDirectory : given)
            if let other = roots.first(where: { $0.path == name }) {
                if other.disk == disk { continue }
                throw CommandError("file name \(name) repeated under different import directories: \(disk) and \(other.disk)")
            }
            roots.append((disk, name))
        }
        roots.sort { $0.path.utf8.lexicographicallyPrecedes($1.path.utf8) }
        self.roots = roots
        pending = roots.reversed().map { ($0.disk, $0.path, true) }
    }

    static func baseName(_ path: String) -> String {
        path.split(separator: "/").last(where: { $0 != "." }).map(String.init) ?? "/"
    }

    package func next() async throws -> FileTreeEntry? {
        current?.file.close()
        current = nil
        while let (disk, path, named) = pending.popLast() {
            guard let status = try system.files.status(disk) else { throw FileError.notFound(path: disk) }
            var kind = status.kind
            if case .symbolicLink = kind, rules.followLinks || (named && rules.followNamedLinks) {
                kind = try followed(disk)
            }
            if !named, rules.ignore.excludes(path, isDirectory: kind == .directory) { continue }
            switch kind {
            case .directory:
                guard rules.recursive else { throw CommandError("'\(path)' is a directory, use the '-r' flag to specify directories") }
                let names = try system.files.list(disk).filter { rules.hidden || !$0.hasPrefix(".") }
                pending += names.reversed().map { ("\(disk)/\($0)", "\(path)/\($0)", false) }
                return FileTreeEntry(path: path, kind: .directory, mode: status.mode, modified: status.modified, absolutePath: disk)
            case .file:
                current = (try system.files.open(disk), disk, 0)
                return FileTreeEntry(path: path, kind: .file, mode: status.mode, modified: status.modified, absolutePath: disk)
            case .symbolicLink(let target):
                return FileTreeEntry(path: path, kind: .symbolicLink(target: target), mode: status.mode, modified: status.modified, absolutePath: disk)
            case .other:
                // Pipes that are named can be read; inside a directory nobody would expect to wait for one.
                guard named else { throw CommandError("unrecognized file type for \(path)") }
                current = (try system.files.open(disk), disk, 0)
                return FileTreeEntry(path: path, kind: .file, absolutePath: disk)
            }
        }
        return nil
    }

    private func followed(_ disk: String) throws -> FileStatus.Kind {
        if (try? system.files.list(disk)) != nil { return .directory }
        return .file
    }

    package func read() async throws -> Bytes? {
        guard let (file, path, offset) = current else { return nil }
        let bytes = try await system.offload {
            try Bytes(count: DiskFiles.chunk.bytes) { try file.read(into: $0, at: offset) }
        }
        if bytes.isEmpty { return nil }
        current = (file, path, offset + Int64(bytes.count))
        return bytes
    }

    package func totalSize() async throws -> Int64? {
        let (system, rules, roots) = (system, rules, roots)
        return try await system.offload {
            var total: Int64 = 0
            var pending = roots.map { (disk: $0.disk, path: $0.path, isNamed: true) }
            while let (disk, path, isNamed) = pending.popLast() {
                guard let status = try system.files.status(disk) else { continue }
                if !isNamed, rules.ignore.excludes(path, isDirectory: status.kind == .directory) { continue }
                switch status.kind {
                case .file: total += status.size
                case .directory where rules.recursive:
                    let names = try system.files.list(disk).filter { rules.hidden || !$0.hasPrefix(".") }
                    pending += names.map { ("\(disk)/\($0)", "\(path)/\($0)", false) }
                default: break
                }
            }
            return total
        }
    }
}

/// Data from standard input as one file without a directory.
package final class InputFile: FileTree, @unchecked Sendable {
    private let console: any Console
    private let system: any System
    private let name: String
    private var given = false
    private var ended = false

    package init(name: String, console: any Console, system: any System) {
        self.name = name
        self.console = console
        self.system = system
    }

    package func next() async throws -> FileTreeEntry? {
        if given { return nil }
        given = true
        return FileTreeEntry(path: name, kind: .file)
    }

    package func read() async throws -> Bytes? {
        if ended { return nil }
        let console = console
        let bytes = try await system.offload { () throws -> Bytes in
            try Bytes(count: DiskFiles.chunk.bytes) { (buffer) throws -> Int in try InputFile.fill(buffer, from: console) }
        }
        if bytes.isEmpty {
            ended = true
            return nil
        }
        return bytes
    }

    package func totalSize() async throws -> Int64? { nil }

    // Pipes hand over small pieces; chunks should be whole.
    private static func fill(_ buffer: UnsafeMutableRawBufferPointer, from console: any Console) throws -> Int {
        var filled = 0
        while filled < buffer.count {
            let count = try console.read(into: UnsafeMutableRawBufferPointer(rebasing: buffer[filled...]))
            if count == 0 { break }
            filled += count
        }
        return filled
    }
}

/// Rules in the manner of a .gitignore file.
package struct IgnoreRules: Sendable {
    private struct Rule: Sendable {
        var pattern: [UInt8]
        var negated: Bool
        var directoriesOnly: Bool
        var anchored: Bool
    }

    private var rules: [Rule] = []

    package init(_ lines: [String] = []) { for line in lines { add(line) } }

    package mutating func add(_ line: String) {
        var text = Substring(line)
        while let last = text.last, last == " " || last == "\r" { text.removeLast() }
        guard let first = text.first, first != "#" else { return }
        let negated = first == "!"
        if negated { text.removeFirst() }
        let directoriesOnly = text.last == "/"
        if directoriesOnly { text.removeLast() }
        let anchored = text.contains("/")
        if text.first == "/" { text.removeFirst() }
        if !text.isEmpty { rules.append(Rule(pattern: Array(text.utf8), negated: negated, directoriesOnly: directoriesOnly, anchored: anchored)) }
    }

    /// Whether the last rule that matches `path` excludes it. `path` starts with the name of the directory being added.
    package func excludes(_ path: String, isDirectory: Bool) -> Bool {
        let inner = path.split(separator: "/", maxSplits: 1).last.map { Array($0.utf8) } ?? []
        let name = path.split(separator: "/").last.map { Array($0.utf8) } ?? []
        var excluded = false
        for rule in rules where !rule.directoriesOnly || isDirectory {
            let subject = rule.anchored ? inner : name
            if Self.matches(rule.pattern[...], subject[...]) { excluded = !rule.negated }
        }
        return excluded
    }

    // `*` stops at "/", `**` does not; iterative with one level of memory per star kind keeps it linear enough for names.
    private static func matches(_ pattern: ArraySlice<UInt8>, _ text: ArraySlice<UInt8>) -> Bool {
        var reachable: Set<Int> = [pattern.startIndex]
        func closure(_ states: Set<Int>) -> Set<Int> {
            var all = states
            var work = Array(states)
            while let state = work.popLast() {
                if state < pattern.endIndex, pattern[state] == UInt8(ascii: "*"), all.insert(state + 1).inserted { work.append(state + 1) }
            }
            return all
        }
        reachable = closure(reachable)
        for byte in text {
            var next: Set<Int> = []
            for state in reachable where state < pattern.endIndex {
                switch pattern[state] {
                case UInt8(ascii: "*"):
                    let isDouble =
                        (state + 1 < pattern.endIndex && pattern[state + 1] == UInt8(ascii: "*"))
                        || (state > pattern.startIndex && pattern[state - 1] == UInt8(ascii: "*"))
                    if byte != UInt8(ascii: "/") || isDouble { next.insert(state) }
                case UInt8(ascii: "?"): if byte != UInt8(ascii: "/") { next.insert(state + 1) }
                case byte: next.insert(state + 1)
                default: break
                }
            }
            reachable = closure(next)
            if reachable.isEmpty { return false }
        }
        return reachable.contains(pattern.endIndex)
    }
}
