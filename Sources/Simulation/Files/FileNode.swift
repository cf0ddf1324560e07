import WaggleBase

/// A file, directory or link of a simulated disk.
final class FileNode {
    enum Kind {
        case file(FileContent)
        case directory([String: FileNode])
        case symbolicLink(String)
        case other
    }

    var kind: Kind
    var mode: UInt32
    var modified = WallTime(nanoseconds: 0)

    init(_ kind: Kind, mode: UInt32) {
        self.kind = kind
        self.mode = mode
    }

    func setEntry(_ name: String, _ node: FileNode?) {
        guard case .directory(var entries) = kind else { return }
        kind = .other
        entries[name] = node
        kind = .directory(entries)
    }

    /// Changes the content in place.
    func withContent<R>(_ body: (inout FileContent) -> R) -> R? {
        guard case .file(var content) = kind else { return nil }
        kind = .other
        defer { kind = .file(content) }
        return body(&content)
    }
}

/// The bytes of a file, and how to get back to those that are on the device.
struct FileContent {
    private struct Undo {
        var offset: Int
        var old: [UInt8]
        var oldSize: Int
    }

    var bytes: [UInt8]
    /// Whether a crash leaves the file there at all.
    var isSynced: Bool
    private var undo: [Undo] = []

    init(bytes: [UInt8], isSynced: Bool) {
        self.bytes = bytes
        self.isSynced = isSynced
    }

    mutating func write(_ buffer: UnsafeRawBufferPointer, at offset: Int) {
        let end = offset + buffer.count
        let oldSize = bytes.count
        if isSynced {
            let old = offset < oldSize ? Array(bytes[offset..<min(end, oldSize)]) : []
            undo.append(Undo(offset: offset, old: old, oldSize: oldSize))
        }
        if end > oldSize { bytes.append(contentsOf: repeatElement(0, count: end - oldSize)) }
        bytes.withUnsafeMutableBytes { UnsafeMutableRawBufferPointer(rebasing: $0[offset..<end]).copyMemory(from: buffer) }
    }

    mutating func truncate() {
        if isSynced { undo.append(Undo(offset: 0, old: bytes, oldSize: bytes.count)) }
        bytes = []
    }

    mutating func synchronize() {
        isSynced = true
        undo = []
    }

    mutating func undoAll() {
        for step in undo.reversed() {
            if bytes.count > step.oldSize { bytes.removeLast(bytes.count - step.oldSize) }
            if bytes.count < step.oldSize { bytes.append(contentsOf: repeatElement(0, count: step.oldSize - bytes.count)) }
            bytes.replaceSubrange(step.offset..<step.offset + step.old.count, with: step.old)
        }
        undo = []
    }
}
