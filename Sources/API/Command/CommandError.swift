import WaggleAssembly
import WaggleBase
import WaggleContent
import WaggleFormats

/// An error as the RPC API shows it: `{"Message": …, "Code": …, "Type": "error"}`.
package struct CommandError: Error, Hashable, Sendable, CustomStringConvertible {
    /// Kubo's codes.
    package enum Code: Int, Sendable { case normal, client, implementation, rateLimited, forbidden }
    package var code: Code
    /// One sentence that says what is wrong and, where it helps, what to do.
    package var message: String

    package init(_ message: String, code: Code = .normal) {
        self.message = message
        self.code = code
    }

    package static func client(_ message: String) -> CommandError { CommandError(message, code: .client) }

    package var description: String { message }

    package var json: JSON { ["Message": .string(message), "Code": JSON(code.rawValue), "Type": "error"] }

    package init?(json: JSON) {
        guard json["Type"]?.string == "error", let message = json["Message"]?.string else { return nil }
        self.init(message, code: json["Code"]?.integer.flatMap { Code(rawValue: Int($0)) } ?? .normal)
    }
}

extension CommandError {
    /// Puts any error of the layers below into a sentence for a person.
    package init(explaining error: any Error) {
        switch error {
        case let error as CommandError: self = error
        case is CancellationError: self.init("context canceled")
        case let error as FileError: self.init(error.sentence)
        case KeystoreError.file(let error): self.init(error.sentence)
        case let error as StoreError: self.init(error.sentence)
        case BlockStoreError.notFound(let cid): self.init("block was not found locally (offline): ipld: could not find \(cid)")
        case let error as PinError: self.init("pin: \(error)")
        case let error as MultipartError: self = .client("the request's multipart body cannot be read: \(error)")
        case let error as any CustomStringConvertible: self.init(error.description)
        default: self.init("\(error)")
        }
    }
}

extension FileError {
    package var sentence: String {
        switch self {
        case .notFound(let path): "lstat \(path): no such file or directory"
        case .exists(let path): "\(path): file exists"
        case .permissionDenied(let path): "open \(path): permission denied"
        case .readOnly(let path): "\(path): the file system is read-only"
        case .full(let path): "\(path): no space left on device; free some space and try again"
        case .isDirectory(let path): "\(path): is a directory"
        case .notDirectory(let path): "\(path): not a directory"
        case .tooLarge(let path, let limit): "\(path): larger than the limit of \(limit) bytes"
        case .locked(let path): "\(path): locked by another process"
        case .other(let path, let errno): "\(path): input/output error (errno \(errno))"
        }
    }
}

extension StoreError {
    package var sentence: String {
        switch self {
        case .inUse(let path): "the store \(path) is in use by another process; stop it first"
        case .full: "no space left on device: the repository cannot grow; free some space, or remove data with 'repo gc', and try again"
        case .readOnly(let path): "the store \(path) is on a read-only file system; mount it writable or use another repository"
        case .corrupted(let path, let detail): "the store \(path) is damaged (\(detail)); restore it from a backup"
        case .closed: "the repository is closed"
        case .other(let detail): "store: \(detail)"
        }
    }
}
