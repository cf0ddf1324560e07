import WaggleBase

/// What a host keeps through restarts: its files and stores, and how the device fails.
public final class Disk: @unchecked Sendable {
    /// Bytes that fit; a smaller number makes writes fail with `full`.
    public var size: Int64
    /// Refuses all changes.
    public var isReadOnly = false

    let wallTime: () -> WallTime
    let root = FileNode(.directory([:]), mode: 0o755)
    private(set) var used: Int64 = 0
    private(set) var session: UInt64 = 0
    private var locks: [ObjectIdentifier: UInt64] = [:]
    private var stores: [String: StoreImage] = [:]

    init(size: Int64, wallTime: @escaping () -> WallTime) {
        self.size = size
        self.wallTime = wallTime
    }

    /// Bytes that are still free.
    public var free: Int64 { max(0, size - used) }

    /// Makes the device full after `bytes` more.
    public func fillUp(leaving bytes: Int64) { size = used + bytes }

    /// Flips one bit of a file, as a failing device does. Says false when there is no such byte.
    @discardableResult public func corrupt(_ path: String, at offset: Int) -> Bool {
        guard case .found(let node) = walk(path), case .file(var content) = node.kind, offset < content.bytes.count else { return false }
        node.kind = .other
        content.bytes[offset] ^= 1
        node.kind = .file(content)
        return true
    }

    func openSession() -> UInt64 { session }

    func grow(by bytes: Int) -> Bool {
        guard bytes <= 0 || used + Int64(bytes) <= size else { return false }
        used += Int64(bytes)
        return true
    }

    /// Closes what the ended process held.
    func releaseHandles() {
        session += 1
        locks = [:]
        for store in stores.values { store.isOpen = false }
    }

    func loseUnsynced() {
        Self.loseUnsynced(in: root) { used += Int64($0) }
        for store in stores.values { used += Int64(store.loseUnsynced()) }
    }

    private static func loseUnsynced(in node: FileNode, _ resized: (Int) -> Void) {
        guard case .directory(let entries) = node.kind else { return }
        for (name, child) in entries {
            switch child.kind {
            case .directory: loseUnsynced(in: child, resized)
            case .file(let content):
                if content.isSynced {
                    let before = content.bytes.count
                    var content = content
                    content.undoAll()
                    resized(content.bytes.count - before)
                    child.kind = .file(content)
                } else {
                    resized(-content.bytes.count)
                    node.setEntry(name, nil)
                }
            case .symbolicLink, .other: break
            }
        }
    }

    // MARK: Locks and stores

    func lock(_ node: FileNode, holder: UInt64) -> Bool {
        if locks[ObjectIdentifier(node)] != nil { return false }
        locks[ObjectIdentifier(node)] = holder
        return true
    }

    func unlock(_ node: FileNode, holder: UInt64) {
        if locks[ObjectIdentifier(node)] == holder { locks[ObjectIdentifier(node)] = nil }
    }

    /// The store in the directory `path`, made when it is not there.
    func store(at path: String) -> StoreImage {
        let path = "/" + Self.components(path).joined(separator: "/")
        if let store = stores[path] { return store }
        let store = StoreImage()
        stores[path] = store
        return store
    }

    // MARK: Paths

    enum Walk {
        case found(FileNode)
        /// Only the last component is missing; the directory that would hold it.
        case missing(parent: FileNode, name: String)
        case notFound
        case notDirectory
        case loop
    }

    static func components(_ path: String) -> [String] {
        var parts: [String] = []
        for part in path.split(separator: "/") where part != "." {
            if part == ".." { _ = parts.popLast() } else { parts.append(String(part)) }
        }
        return parts
    }

    /// Follows a path from the root; relative paths start there too.
    func walk(_ path: String, followLast: Bool = true) -> Walk {
        var budget = 40
        return walk(Self.components(path), followLast: followLast, &budget)
    }

    private func walk(_ parts: [String], followLast: Bool, _ budget: inout Int) -> Walk {
        var node = root
        for (index, part) in parts.enumerated() {
            guard case .directory(let entries) = node.kind else { return .notDirectory }
            let isLast = index == parts.count - 1
            guard let next = entries[part] else { return isLast ? .missing(parent: node, name: part) : .notFound }
            if case .symbolicLink(let target) = next.kind, !isLast || followLast {
                budget -= 1
                if budget == 0 { return .loop }
                let base = target.hasPrefix("/") ? [] : Array(parts[..<index])
                let path = (base + [target] + parts[(index + 1)...]).joined(separator: "/")
                return walk(Self.components(path), followLast: followLast, &budget)
            }
            node = next
        }
        return .found(node)
    }
}
