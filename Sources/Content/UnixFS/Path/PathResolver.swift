import WaggleBase
import WaggleFormats

/// Where a path leads.
public struct ResolvedPath: Hashable, Sendable {
    /// The last block on the path.
    public var cid: CID
    /// What is left of the path inside that block; empty when the path ends at the block.
    public var remainder: [String]
    /// What the path ends at, where that is inside a block.
    public var value: Value?
    /// CIDs of all blocks on the path, the root first and `cid` last.
    public var blocks: [CID]
}

/// Follows paths through graphs.
public struct PathResolver: Sendable {
    private let source: any BlockSource

    public init(_ source: any BlockSource) { self.source = source }

    /// Follows a path below a CID. Throws `UnixFSError.noLink` where it does not go on.
    public func resolve(_ path: ContentPath) async throws -> ResolvedPath {
        guard let cid = path.cid else { throw ContentPathError.unknownNamespace(path.namespace.rawValue, path.description) }
        return try await resolve(cid, path.segments, namespace: path.namespace)
    }

    /// Follows names below `root`. In `ipfs`, names in dag-pb blocks are those of links, through sharded directories too; in `ipld` they
    /// are the fields of the block. The block at the end is not fetched.
    public func resolve(
        _ root: CID, _ segments: [String], namespace: ContentPath.Namespace = .ipfs
    ) async throws -> ResolvedPath {
        var blocks = [root]
        var rest = segments[...]
        while let name = rest.first, let cid = blocks.last {
            if cid.codec == .dagPB, namespace == .ipfs {
                blocks.append(try await link(named: name, in: cid))
                rest = rest.dropFirst()
                continue
            }
            let value = try await value(of: cid, namespace)
            guard let value else { throw UnixFSError.noLink(name: name, under: cid) }
            let inside = rest
            switch try PathResolver.walk(value, &rest, cid) {
            case .link(let next): blocks.append(next)
            case let end: return ResolvedPath(cid: cid, remainder: Array(inside), value: end, blocks: blocks)
            }
        }
        return ResolvedPath(cid: blocks[blocks.count - 1], remainder: [], value: nil, blocks: blocks)
    }

    private func link(named name: String, in cid: CID) async throws -> CID {
        let block = try await cid.content(from: source)
        guard let node = try PathResolver.unixFS(cid, block) else {
            // dag-pb with other data has named links all the same.
            let links = try PBNode(block).links
            guard let link = links.first(where: { $0.name ?? "" == name }) else { throw UnixFSError.noLink(name: name, under: cid) }
            return link.hash
        }
        guard node.isDirectory, let entry = try await DirectoryReader.find(name, in: node, from: source) else {
            throw UnixFSError.noLink(name: name, under: cid)
        }
        return entry.cid
    }

    /// The node; nil for a dag-pb block whose data is not UnixFS.
    private static func unixFS(_ cid: CID, _ block: Bytes) throws(UnixFSError) -> UnixFSNode? {
        do {
            return try UnixFSNode(cid: cid, block: block)
        } catch {
            switch error {
            case .notUnixFS, .malformed(_, .data): return nil
            default: throw error
            }
        }
    }

    /// The block in the data model; nil for codecs without fields.
    private func value(of cid: CID, _ namespace: ContentPath.Namespace) async throws -> Value? {
        switch cid.codec {
        case .dagCBOR: try DagCBOR.decode(try await cid.content(from: source), .relaxed)
        case .dagJSON: try DagJSON.decode(try await cid.content(from: source), .relaxed)
        case .dagPB: try PBNode(try await cid.content(from: source)).value
        default: nil
        }
    }

    /// Takes names as long as they lead on inside the block.
    private static func walk(_ value: Value, _ rest: inout ArraySlice<String>, _ cid: CID) throws(UnixFSError) -> Value {
        var value = value
        while let name = rest.first {
            if case .link = value { return value }
            let next: Value? = if case .list = value { Int(name).flatMap { value[$0] } } else { value[name] }
            guard let next else { throw .noLink(name: name, under: cid) }
            value = next
            rest = rest.dropFirst()
        }
        return value
    }
}
