import WaggleFormats

/// Why a graph cannot be read or written as UnixFS.
public enum UnixFSError: Error, Equatable, Sendable {
    /// The block is not UnixFS: another codec, or a dag-pb block without UnixFS data.
    case notUnixFS(CID)
    /// The block contradicts the format or what its parent says about it.
    case malformed(CID, UnixFSFault)
    /// Content was asked of a directory.
    case isDirectory(CID)
    /// An entry was asked of something that is no directory, or content of something that is no file.
    case wrongKind(CID, UnixFSNode.Kind)
    /// There is no such entry.
    case noLink(name: String, under: CID)
    /// A name that no file can have: empty, `.`, `..`, with `/` or NUL.
    case unsafeName(String)
    /// The directory has an entry by that name already.
    case exists(String)
    /// A block would be larger than others accept, or a chain of links longer than `UnixFSLimits` allows.
    case limit(bytes: Int)
}

/// What is wrong with a block.
public enum UnixFSFault: Error, Equatable, Sendable {
    case dagPB(DagPBError)
    case data(ProtobufError)
    /// As many `blocksizes` as links are needed in a file.
    case blockSizes
    /// Content of another size than the parent or the node itself states.
    case size
    /// Deeper than `UnixFSLimits` allows.
    case depth
    /// A shard whose fan-out, hash function or bit field cannot be.
    case shard
    /// An entry in a shard where its name's hash does not put it.
    case misplaced(String)
    /// A leaf that is a directory, a symlink or of another codec.
    case leaf
}

extension UnixFSError: CustomStringConvertible {
    public var description: String {
        switch self {
        case .notUnixFS(let cid): "\(cid) is not a UnixFS node"
        case .malformed(let cid, let fault): "\(cid) is malformed: \(fault)"
        case .isDirectory: "this dag node is a directory"
        case .wrongKind(let cid, let kind): "\(cid) is a \(kind)"
        case .noLink(let name, let cid): "no link named \(quoted(name)) under \(cid)"
        case .unsafeName(let name): "\(quoted(name)) is not a safe file name"
        case .exists(let name): "directory already has entry by that name: \(quoted(name))"
        case .limit(let bytes): "object size limit exceeded: \(bytes) bytes"
        }
    }
}

extension UnixFSFault: CustomStringConvertible {
    public var description: String {
        switch self {
        case .dagPB(let error): "dag-pb: \(error)"
        case .data(let error): "UnixFS data: \(error)"
        case .blockSizes: "not one block size for each link"
        case .size: "content of another size than stated"
        case .depth: "nested too deep"
        case .shard: "impossible shard"
        case .misplaced(let name): "entry \(quoted(name)) is in the wrong shard"
        case .leaf: "not a file's content"
        }
    }
}

/// `text` in double quotes, with quotes, backslashes and control characters escaped as Go's `%q` does.
func quoted(_ text: String) -> String {
    var result = "\""
    for scalar in text.unicodeScalars {
        switch scalar {
        case "\"": result += "\\\""
        case "\\": result += "\\\\"
        case "\n": result += "\\n"
        case "\r": result += "\\r"
        case "\t": result += "\\t"
        case _ where scalar.value < 32 || scalar.value == 127:
            let hex = String(scalar.value, radix: 16)
            result += "\\x" + String(repeating: "0", count: 2 - hex.count) + hex
        default: result.unicodeScalars.append(scalar)
        }
    }
    return result + "\""
}
