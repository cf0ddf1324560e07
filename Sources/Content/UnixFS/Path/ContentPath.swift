import WaggleFormats

/// A path to content: a namespace, a root and names below it.
///
/// Text: `/ipfs/CID/a/b`, `/ipld/CID/a/b`, `/ipns/NAME/a/b`, or `CID/a/b` for the first. Repeated slashes, `.` and `..` are resolved as in a
/// file system. Spec: specs.ipfs.tech/http-gateways/path-gateway.
public struct ContentPath: Hashable, Sendable {
    public enum Namespace: String, Hashable, Sendable {
        /// Names of files; UnixFS directories are looked into.
        case ipfs
        /// A key or a domain that stands for a path.
        case ipns
        /// Fields of blocks.
        case ipld
    }

    public var namespace: Namespace
    /// The CID, key or domain as it was written.
    public var root: String
    /// The names below the root.
    public var segments: [String]
    /// Whether the text ended with a slash: only a directory will do.
    public var hasTrailingSlash: Bool

    /// `/ipfs/CID` and names below it.
    public init(_ cid: CID, _ segments: [String] = []) {
        namespace = .ipfs
        root = cid.description
        self.segments = segments
        hasTrailingSlash = false
    }

    /// Reads a path, an `ipfs://` or `ipns://` address, or a bare CID with names behind it.
    public init(parsing text: String) throws(ContentPathError) {
        guard text.utf8.count <= UnixFSLimits.pathBytes else { throw .tooLong(bytes: text.utf8.count) }
        var path = text
        for namespace in ["ipfs", "ipns", "ipld"] where text.hasPrefix("\(namespace)://") {
            path = "/\(namespace)/" + text.dropFirst(namespace.count + 3)
        }
        do {
            try self.init(strict: path, text)
        } catch {
            do { try self.init(strict: "/ipfs/" + path, text) } catch _ { throw error }
        }
    }

    private init(strict path: String, _ text: String) throws(ContentPathError) {
        guard path.hasPrefix("/") else { throw .incomplete(text) }
        let parts = ContentPath.clean(path)
        guard parts.count >= 2 else { throw .incomplete(text) }
        guard let namespace = Namespace(rawValue: parts[0]) else { throw .unknownNamespace(parts[0], text) }
        guard parts.count <= UnixFSLimits.pathDepth else { throw .tooLong(bytes: text.utf8.count) }
        if namespace != .ipns {
            do { _ = try CID(parsing: parts[1]) } catch { throw .cid(error, text) }
        }
        self.namespace = namespace
        root = parts[1]
        segments = Array(parts.dropFirst(2))
        hasTrailingSlash = path.hasSuffix("/")
    }

    /// The components without empty ones, `.` and what `..` takes back.
    private static func clean(_ path: String) -> [String] {
        var parts: [String] = []
        for part in path.split(separator: "/") where part != "." {
            if part == ".." { _ = parts.popLast() } else { parts.append(String(part)) }
        }
        return parts
    }

    /// The root as a CID; nil for a name that has to be resolved first.
    public var cid: CID? { namespace == .ipns ? nil : CID(root) }
}

extension ContentPath: CustomStringConvertible {
    /// The path as text, clean.
    public var description: String {
        (["", namespace.rawValue, root] + segments).joined(separator: "/") + (hasTrailingSlash ? "/" : "")
    }
}

/// Why text is not a path to content.
public enum ContentPathError: Error, Equatable, Sendable {
    /// No namespace or no root in this text.
    case incomplete(String)
    case unknownNamespace(String, String)
    case cid(CIDError, String)
    case tooLong(bytes: Int)
}

extension ContentPathError: CustomStringConvertible {
    public var description: String {
        switch self {
        case .incomplete(let text): "invalid path \(quoted(text)): path does not have enough components"
        case .unknownNamespace(let name, let text): "invalid path \(quoted(text)): unknown namespace: \(quoted(name))"
        case .cid(let error, let text): "invalid path \(quoted(text)): invalid cid: \(error)"
        case .tooLong(let bytes): "invalid path: \(bytes) bytes are too long"
        }
    }
}
