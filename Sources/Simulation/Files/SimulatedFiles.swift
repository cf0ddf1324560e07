import WaggleBase

/// The file system of one start of a host, on the host's disk.
struct SimulatedFiles: FileSystem, @unchecked Sendable {
    let disk: Disk
    let session: UInt64

    /// What calls after the end of the host meet (Linux: EIO).
    private static let ioError: Int32 = 5
    /// Too many symbolic links (Linux: ELOOP).
    private static let linkLoop: Int32 = 40
    /// Directory not empty (Linux: ENOTEMPTY).
    private static let notEmpty: Int32 = 39

    func status(_ path: String) throws(FileError) -> FileStatus? {
        try checkAlive(path)
        guard let node = try findIfThere(path, followLast: false) else { return nil }
        let (kind, size): (FileStatus.Kind, Int64) =
            switch node.kind {
            case .file(let content): (.file, Int64(content.bytes.count))
            case .directory: (.directory, 4096)
            case .symbolicLink(let target): (.symbolicLink(target: target), Int64(target.utf8.count))
            case .other: (.other, 0)
            }
        return FileStatus(kind: kind, size: size, mode: node.mode, modified: node.modified)
    }

    func read(_ path: String, limit: Int) throws(FileError) -> Bytes {
        let content = try content(of: find(path), path)
        if content.bytes.count > limit { throw .tooLarge(path: path, limit: limit) }
        return Bytes(content.bytes)
    }

    func replace(_ path: String, with bytes: UnsafeRawBufferPointer, mode: UInt32) throws(FileError) {
        try checkWritable(path)
        let (parent, name, old) = try place(path)
        if let old, case .directory = old.kind { throw .isDirectory(path: path) }
        // Both versions are on the device until the rename.
        guard disk.grow(by: bytes.count) else { throw .full(path: path) }
        if let old, case .file(let content) = old.kind { _ = disk.grow(by: -content.bytes.count) }
        parent.setEntry(name, node(.file(FileContent(bytes: [UInt8](bytes), isSynced: true)), mode: mode))
    }

    func create(_ path: String, mode: UInt32, exclusive: Bool) throws(FileError) -> any OpenFile {
        try checkWritable(path)
        let (parent, name, old) = try place(path)
        if let old {
            if exclusive { throw .exists(path: path) }
            let size = try content(of: old, path).bytes.count
            old.withContent { $0.truncate() }
            _ = disk.grow(by: -size)
            old.modified = disk.wallTime()
            return SimulatedFile(files: self, node: old, path: path, isWritable: true)
        }
        guard disk.free > 0 else { throw .full(path: path) }
        let new = node(.file(FileContent(bytes: [], isSynced: false)), mode: mode)
        parent.setEntry(name, new)
        return SimulatedFile(files: self, node: new, path: path, isWritable: true)
    }

    func open(_ path: String) throws(FileError) -> any OpenFile {
        let node = try find(path)
        _ = try content(of: node, path)
        return SimulatedFile(files: self, node: node, path: path, isWritable: false)
    }

    func makeDirectory(_ path: String, mode: UInt32) throws(FileError) {
        try checkWritable(path)
        var sofar = ""
        for part in Disk.components(path) {
            sofar += "/" + part
            if let node = try findIfThere(sofar) {
                guard case .directory = node.kind else { throw .notDirectory(path: sofar) }
                continue
            }
            let (parent, name, _) = try place(sofar)
            parent.setEntry(name, node(.directory([:]), mode: mode))
        }
    }

    func makeSymbolicLink(_ path: String, target: String) throws(FileError) {
        try checkWritable(path)
        if try findIfThere(path, followLast: false) != nil { throw .exists(path: path) }
        let (parent, name, _) = try place(path, followLast: false)
        parent.setEntry(name, node(.symbolicLink(target), mode: 0o777))
    }

    func setStatus(_ path: String, mode: UInt32?, modified: WallTime?) throws(FileError) {
        try checkWritable(path)
        let node = try find(path)
        if let mode { node.mode = mode }
        if let modified { node.modified = modified }
    }

    func list(_ path: String) throws(FileError) -> [String] {
        guard case .directory(let entries) = try find(path).kind else { throw .notDirectory(path: path) }
        return entries.keys.sorted { $0.utf8.lexicographicallyPrecedes($1.utf8) }
    }

    func remove(_ path: String) throws(FileError) {
        try checkWritable(path)
        let (parent, name, old) = try place(path, followLast: false)
        switch old?.kind {
        case .none: throw .notFound(path: path)
        case .directory(let entries): if !entries.isEmpty { throw .other(path: path, errno: Self.notEmpty) }
        case .file(let content): _ = disk.grow(by: -content.bytes.count)
        case .symbolicLink, .other: break
        }
        parent.setEntry(name, nil)
    }

    func space(_ path: String) throws(FileError) -> (free: Int64, total: Int64) {
        try checkAlive(path)
        return (disk.free, disk.size)
    }

    func lock(_ path: String) throws(FileError) -> any FileLock {
        try checkWritable(path)
        let (parent, name, old) = try place(path)
        let held = old ?? node(.file(FileContent(bytes: [], isSynced: true)), mode: 0o600)
        if old == nil { parent.setEntry(name, held) }
        guard disk.lock(held, holder: session) else { throw .locked(path: path) }
        return SimulatedLock(disk: disk, node: held, session: session)
    }

    // MARK: Finding things

    func checkAlive(_ path: String) throws(FileError) {
        if disk.session != session { throw .other(path: path, errno: Self.ioError) }
    }

    func checkWritable(_ path: String) throws(FileError) {
        try checkAlive(path)
        if disk.isReadOnly { throw .readOnly(path: path) }
    }

    private func node(_ kind: FileNode.Kind, mode: UInt32) -> FileNode {
        let node = FileNode(kind, mode: mode)
        node.modified = disk.wallTime()
        return node
    }

    private func findIfThere(_ path: String, followLast: Bool = true) throws(FileError) -> FileNode? {
        switch disk.walk(path, followLast: followLast) {
        case .found(let node): return node
        case .missing, .notFound: return nil
        case .notDirectory: throw .notDirectory(path: path)
        case .loop: throw .other(path: path, errno: Self.linkLoop)
        }
    }

    private func find(_ path: String) throws(FileError) -> FileNode {
        try checkAlive(path)
        guard let node = try findIfThere(path) else { throw .notFound(path: path) }
        return node
    }

    /// The directory that holds `path`, and what is there already.
    private func place(_ path: String, followLast: Bool = true) throws(FileError) -> (FileNode, String, FileNode?) {
        switch disk.walk(path, followLast: followLast) {
        case .missing(let parent, let name): return (parent, name, nil)
        case .notFound: throw .notFound(path: path)
        case .notDirectory: throw .notDirectory(path: path)
        case .loop: throw .other(path: path, errno: Self.linkLoop)
        case .found(let node):
            var parts = Disk.components(path)
            guard let name = parts.popLast() else { throw .isDirectory(path: path) }
            let directory = try find("/" + parts.joined(separator: "/"))
            // Through a link the entry is elsewhere; then the link itself stands for the file.
            if case .directory(let entries) = directory.kind, let entry = entries[name] { return (directory, name, followLast ? node : entry) }
            throw .notFound(path: path)
        }
    }

    private func content(of node: FileNode, _ path: String) throws(FileError) -> FileContent {
        switch node.kind {
        case .file(let content): return content
        case .directory: throw .isDirectory(path: path)
        case .symbolicLink, .other: throw .other(path: path, errno: Self.ioError)
        }
    }
}

final class SimulatedFile: OpenFile, @unchecked Sendable {
    private let files: SimulatedFiles
    private let node: FileNode
    private let path: String
    private let isWritable: Bool
    private var isClosed = false

    init(files: SimulatedFiles, node: FileNode, path: String, isWritable: Bool) {
        self.files = files
        self.node = node
        self.path = path
        self.isWritable = isWritable
    }

    func read(into buffer: UnsafeMutableRawBufferPointer, at offset: Int64) throws(FileError) -> Int {
        try check()
        guard case .file(let content) = node.kind, offset >= 0, offset < Int64(content.bytes.count) else { return 0 }
        let count = min(buffer.count, content.bytes.count - Int(offset))
        content.bytes.withUnsafeBytes {
            UnsafeMutableRawBufferPointer(rebasing: buffer[0..<count])
                .copyMemory(from: UnsafeRawBufferPointer(rebasing: $0[Int(offset)..<Int(offset) + count]))
        }
        return count
    }

    func write(_ buffer: UnsafeRawBufferPointer, at offset: Int64) throws(FileError) {
        try check()
        if files.disk.isReadOnly { throw .readOnly(path: path) }
        guard isWritable, offset >= 0, case .file(let content) = node.kind else { throw .other(path: path, errno: Errno.badDescriptor) }
        let growth = max(0, Int(offset) + buffer.count - content.bytes.count)
        guard files.disk.grow(by: growth) else { throw .full(path: path) }
        node.withContent { $0.write(buffer, at: Int(offset)) }
        node.modified = files.disk.wallTime()
    }

    func synchronize() throws(FileError) {
        try check()
        node.withContent { $0.synchronize() }
    }

    func close() { isClosed = true }

    private func check() throws(FileError) {
        try files.checkAlive(path)
        if isClosed { throw .other(path: path, errno: Errno.badDescriptor) }
    }
}

final class SimulatedLock: FileLock, @unchecked Sendable {
    private let disk: Disk
    private let node: FileNode
    private let session: UInt64

    init(disk: Disk, node: FileNode, session: UInt64) {
        self.disk = disk
        self.node = node
        self.session = session
    }

    func release() { disk.unlock(node, holder: session) }
}
