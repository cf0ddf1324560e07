import CLinux
import Glibc
import WaggleBase

/// Files on Linux.
struct LinuxFiles: FileSystem {
    func status(_ path: String) throws(FileError) -> FileStatus? {
        var info = stat()
        guard lstat(path, &info) == 0 else {
            if errno == ENOENT { return nil }
            throw FileError(errno: errno, path)
        }
        let kind: FileStatus.Kind
        switch info.st_mode & S_IFMT {
        case S_IFREG: kind = .file
        case S_IFDIR: kind = .directory
        case S_IFLNK: kind = .symbolicLink(target: try linkTarget(path))
        default: kind = .other
        }
        let modified = WallTime(seconds: Int64(info.st_mtim.tv_sec), nanoseconds: Int64(info.st_mtim.tv_nsec))
        return FileStatus(kind: kind, size: Int64(info.st_size), mode: info.st_mode & 0o7777, modified: modified)
    }

    private func linkTarget(_ path: String) throws(FileError) -> String {
        var buffer = [CChar](repeating: 0, count: Int(PATH_MAX) + 1)
        let count = readlink(path, &buffer, buffer.count - 1)
        if count < 0 { throw FileError(errno: errno, path) }
        return String(decoding: buffer[..<count].map { UInt8(bitPattern: $0) }, as: UTF8.self)
    }

    func read(_ path: String, limit: Int) throws(FileError) -> Bytes {
        let file = try LinuxFile(path, O_RDONLY, mode: 0)
        defer { file.close() }
        let size = try file.size()
        if size > Int64(limit) { throw .tooLarge(path: path, limit: limit) }
        // A file of /proc has no size, and any file may grow while it is read.
        var writer = ByteWriter(capacity: Int(size) + 1)
        var buffer = [UInt8](repeating: 0, count: min(max(Int(size) + 1, 4096), 1 << 20))
        var offset = 0
        while true {
            let result = buffer.withUnsafeMutableBytes { pointer in Result { () throws(FileError) in try file.read(into: pointer, at: Int64(offset)) } }
            let count = try result.get()
            if count == 0 { return writer.finish() }
            offset += count
            if offset > limit { throw .tooLarge(path: path, limit: limit) }
            buffer.withUnsafeBytes { writer.write(UnsafeRawBufferPointer(rebasing: $0[..<count])) }
        }
    }

    func replace(_ path: String, with bytes: UnsafeRawBufferPointer, mode: UInt32) throws(FileError) {
        var tag: UInt64 = 0
        _ = withUnsafeMutableBytes(of: &tag) { buffer in buffer.baseAddress.map { clinux_random($0, buffer.count) } }
        let temporary = "\(path).\(String(tag, radix: 36)).tmp"
        do throws(FileError) {
            let file = try LinuxFile(temporary, O_WRONLY | O_CREAT | O_EXCL, mode: mode)
            defer { file.close() }
            try file.write(bytes, at: 0)
            // Not subject to the umask: a key file is 0600 whatever the shell says, a shared one stays shared.
            fchmod(file.descriptor, mode_t(mode))
            try file.synchronize()
            if rename(temporary, path) != 0 { throw FileError(errno: errno, path) }
        } catch {
            unlink(temporary)
            throw error.renamed(path)
        }
        try Self.synchronizeDirectory(of: path)
    }

    /// Makes the entry of `path` in its directory durable.
    static func synchronizeDirectory(of path: String) throws(FileError) {
        let directory = path.lastIndex(of: "/").map { $0 == path.startIndex ? "/" : String(path[..<$0]) } ?? "."
        let file = try LinuxFile(directory, O_RDONLY | O_DIRECTORY, mode: 0)
        defer { file.close() }
        // Some file systems have no such thing.
        if fsync(file.descriptor) != 0, errno != EINVAL, errno != EROFS { throw FileError(errno: errno, directory) }
    }

    func create(_ path: String, mode: UInt32, exclusive: Bool) throws(FileError) -> any OpenFile {
        try LinuxFile(path, O_RDWR | O_CREAT | (exclusive ? O_EXCL : O_TRUNC), mode: mode)
    }

    func open(_ path: String) throws(FileError) -> any OpenFile {
        let file = try LinuxFile(path, O_RDONLY, mode: 0)
        do throws(FileError) {
            if try file.isDirectory() { throw .isDirectory(path: path) }
        } catch {
            file.close()
            throw error
        }
        return file
    }

    func makeDirectory(_ path: String, mode: UInt32) throws(FileError) {
        if mkdir(path, mode_t(mode)) == 0 { return }
        switch errno {
        case EEXIST:
            var info = stat()
            if stat(path, &info) == 0, info.st_mode & S_IFMT == S_IFDIR { return }
            throw .notDirectory(path: path)
        case ENOENT:
            guard let slash = path.lastIndex(of: "/"), slash > path.startIndex else { throw .notFound(path: path) }
            try makeDirectory(String(path[..<slash]), mode: mode)
            if slash == path.index(before: path.endIndex) || mkdir(path, mode_t(mode)) == 0 || errno == EEXIST { return }
            throw FileError(errno: errno, path)
        default: throw FileError(errno: errno, path)
        }
    }

    func makeSymbolicLink(_ path: String, target: String) throws(FileError) {
        if symlink(target, path) != 0 { throw FileError(errno: errno, path) }
    }

    func setStatus(_ path: String, mode: UInt32?, modified: WallTime?) throws(FileError) {
        if let mode, chmod(path, mode_t(mode)) != 0 { throw FileError(errno: errno, path) }
        guard let modified else { return }
        let (seconds, nanoseconds) = modified.parts
        let times = [timespec(tv_sec: 0, tv_nsec: Int((1 << 30) - 2)), timespec(tv_sec: Int(seconds), tv_nsec: Int(nanoseconds))]
        // A symbolic link gets the time itself.
        if utimensat(AT_FDCWD, path, times, AT_SYMLINK_NOFOLLOW) != 0 { throw FileError(errno: errno, path) }
    }

    func list(_ path: String) throws(FileError) -> [String] {
        guard let directory = opendir(path) else { throw FileError(errno: errno, path) }
        defer { closedir(directory) }
        var names: [String] = []
        while true {
            errno = 0
            guard let entry = readdir(directory) else {
                if errno != 0 { throw FileError(errno: errno, path) }
                break
            }
            let name = withUnsafeBytes(of: &entry.pointee.d_name) { String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self) }
            if name != ".", name != ".." { names.append(name) }
        }
        return names.sorted { $0.utf8.lexicographicallyPrecedes($1.utf8) }
    }

    func remove(_ path: String) throws(FileError) {
        // remove(3) takes files and empty directories.
        if Glibc.remove(path) != 0 { throw FileError(errno: errno, path) }
    }

    func space(_ path: String) throws(FileError) -> (free: Int64, total: Int64) {
        var info = statvfs()
        if statvfs(path, &info) != 0 { throw FileError(errno: errno, path) }
        // Some file systems in user space claim more blocks than can be counted in bytes.
        func bytes(_ blocks: UInt) -> Int64 {
            let (bytes, overflow) = UInt64(blocks).multipliedReportingOverflow(by: UInt64(info.f_frsize))
            return overflow ? .max : Int64(clamping: bytes)
        }
        return (bytes(UInt(info.f_bavail)), bytes(UInt(info.f_blocks)))
    }

    func lock(_ path: String) throws(FileError) -> any FileLock {
        let file = try LinuxFile(path, O_RDWR | O_CREAT, mode: 0o600)
        guard flock(file.descriptor, LOCK_EX | LOCK_NB) == 0 else {
            let code = errno
            file.close()
            throw code == EWOULDBLOCK ? .locked(path: path) : FileError(errno: code, path)
        }
        return HeldLock(file)
    }
}

extension FileError {
    init(errno: Int32, _ path: String) {
        switch errno {
        case ENOENT: self = .notFound(path: path)
        case EEXIST: self = .exists(path: path)
        case EACCES, EPERM: self = .permissionDenied(path: path)
        case EROFS: self = .readOnly(path: path)
        case ENOSPC, EDQUOT: self = .full(path: path)
        case EISDIR: self = .isDirectory(path: path)
        case ENOTDIR: self = .notDirectory(path: path)
        default: self = .other(path: path, errno: errno)
        }
    }

    /// The same about another path: nobody needs to know of temporary names.
    func renamed(_ path: String) -> FileError {
        switch self {
        case .notFound: .notFound(path: path)
        case .exists: .exists(path: path)
        case .permissionDenied: .permissionDenied(path: path)
        case .readOnly: .readOnly(path: path)
        case .full: .full(path: path)
        case .isDirectory: .isDirectory(path: path)
        case .notDirectory: .notDirectory(path: path)
        case .tooLarge(_, let limit): .tooLarge(path: path, limit: limit)
        case .locked: .locked(path: path)
        case .other(_, let errno): .other(path: path, errno: errno)
        }
    }
}

/// An open descriptor.
final class LinuxFile: OpenFile {
    let descriptor: Int32
    private let path: String
    private let state = Monitor(false)

    init(_ path: String, _ flags: Int32, mode: UInt32) throws(FileError) {
        self.path = path
        descriptor = clinux_open(path, flags, mode_t(mode))
        if descriptor < 0 { throw FileError(errno: errno, path) }
    }

    func size() throws(FileError) -> Int64 {
        var info = stat()
        if fstat(descriptor, &info) != 0 { throw FileError(errno: errno, path) }
        if info.st_mode & S_IFMT == S_IFDIR { throw .isDirectory(path: path) }
        return Int64(info.st_size)
    }

    func isDirectory() throws(FileError) -> Bool {
        var info = stat()
        if fstat(descriptor, &info) != 0 { throw FileError(errno: errno, path) }
        return info.st_mode & S_IFMT == S_IFDIR
    }

    func read(into buffer: UnsafeMutableRawBufferPointer, at offset: Int64) throws(FileError) -> Int {
        while true {
            let count = pread(descriptor, buffer.baseAddress, buffer.count, off_t(offset))
            if count >= 0 { return count }
            // A pipe has no offsets; what comes next is what is asked for.
            if errno == ESPIPE {
                let count = Glibc.read(descriptor, buffer.baseAddress, buffer.count)
                if count >= 0 { return count }
            }
            if errno != EINTR { throw FileError(errno: errno, path) }
        }
    }

    func write(_ buffer: UnsafeRawBufferPointer, at offset: Int64) throws(FileError) {
        var done = 0
        while done < buffer.count {
            let count = pwrite(descriptor, buffer.baseAddress.map { $0 + done }, buffer.count - done, off_t(offset) + off_t(done))
            if count < 0 {
                if errno == EINTR { continue }
                throw FileError(errno: errno, path)
            }
            done += count
        }
    }

    func synchronize() throws(FileError) {
        if fsync(descriptor) != 0 { throw FileError(errno: errno, path) }
    }

    func close() {
        let wasOpen = state.withLock { isClosed in
            defer { isClosed = true }
            return !isClosed
        }
        if wasOpen { Glibc.close(descriptor) }
    }
}

/// Released with the descriptor, or by the kernel at the end of the process.
final class HeldLock: FileLock {
    private let file: LinuxFile
    init(_ file: LinuxFile) { self.file = file }
    func release() { file.close() }
}
