import WaggleBase
import WaggleCryptography

/// One invocation of a command, from the command line or from the RPC API.
package struct Request: Sendable {
    package var path: [String]
    package var command: Command
    package var arguments: [String]
    /// By the first name of each option; defaults are filled in.
    package var options: [String: OptionValue]
    /// The files of a command that takes some.
    package var files: (any FileTree)?
    /// When the command line was read; nil in a daemon.
    package var startedAt: WallTime?

    package init(path: [String], command: Command, arguments: [String], options: [String: OptionValue], files: (any FileTree)? = nil) {
        self.path = path
        self.command = command
        self.arguments = arguments
        self.options = options
        self.files = files
    }

    package func flag(_ name: String) -> Bool { flagIfGiven(name) ?? false }

    package func flagIfGiven(_ name: String) -> Bool? { if case .bool(let value)? = options[name] { value } else { nil } }

    package func string(_ name: String) -> String? { if case .string(let value)? = options[name] { value } else { nil } }

    package func strings(_ name: String) -> [String] { if case .array(let values)? = options[name] { values } else { [] } }

    package func integer(_ name: String) -> Int64? {
        switch options[name] {
        case .integer(let value): value
        case .unsigned(let value): Int64(exactly: value)
        default: nil
        }
    }

    package func unsigned(_ name: String) -> UInt64? {
        switch options[name] {
        case .integer(let value): UInt64(exactly: value)
        case .unsigned(let value): value
        default: nil
        }
    }

    /// Adds the defaults of options that were not given.
    package mutating func fillDefaults(_ definitions: [Option]) {
        for option in definitions where options[option.name] == nil {
            if let fallback = option.fallback { options[option.name] = fallback }
        }
    }
}

/// Files as they come in, from a disk or from a multipart body, in depth-first order: a directory before what is in it.
///
/// For each entry of kind file, `read` must be called until it says nil before `next` is called again; other entries have no bytes.
package protocol FileTree: AnyObject, Sendable {
    func next() async throws -> FileTreeEntry?
    /// The next bytes of the entry that `next` gave last; nil at its end.
    func read() async throws -> Bytes?
    /// Bytes of all files together when that is known without reading them.
    func totalSize() async throws -> Int64?
}

extension FileTree {
    /// All bytes of the current entry.
    package func readAll(limit: ByteCount) async throws -> Bytes {
        var writer = ByteWriter()
        while let bytes = try await read() {
            guard writer.count + bytes.count <= limit.bytes else { throw CommandError("the data is larger than the limit of \(limit.bytes) bytes") }
            writer.write(bytes)
        }
        return writer.finish()
    }

    /// The same of a secret, into memory that is wiped. The pieces that it comes in, which nobody else reads, are overwritten.
    package func readSecret(limit: ByteCount) async throws -> SecureBytes {
        var secret = SecureBytes([])
        while let bytes = try await read() {
            guard secret.count + bytes.count <= limit.bytes else { throw CommandError("the data is larger than the limit of \(limit.bytes) bytes") }
            secret = SecureBytes(count: secret.count + bytes.count) { output in
                secret.withUnsafeBytes { output.copyMemory(from: $0) }
                bytes.withUnsafeBytes { UnsafeMutableRawBufferPointer(rebasing: output[secret.count...]).copyMemory(from: $0) }
            }
            bytes.withUnsafeBytes { wipe(UnsafeMutableRawBufferPointer(mutating: $0)) }
        }
        return secret
    }
}

/// One file, directory or symbolic link.
package struct FileTreeEntry: Sendable {
    package enum Kind: Hashable, Sendable { case file, directory, symbolicLink(target: String) }
    /// Relative, with "/" between the parts; "" for data without a name (standard input).
    package var path: String
    package var kind: Kind
    /// Permission bits where the source knows them.
    package var mode: UInt32?
    package var modified: WallTime?
    /// Where it came from, if it came from a disk.
    package var absolutePath: String?

    package init(path: String, kind: Kind, mode: UInt32? = nil, modified: WallTime? = nil, absolutePath: String? = nil) {
        self.path = path
        self.kind = kind
        self.mode = mode
        self.modified = modified
        self.absolutePath = absolutePath
    }
}
