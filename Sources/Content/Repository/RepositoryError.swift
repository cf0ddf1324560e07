import WaggleBase

/// Why a repository cannot be made, opened or used: each case is one sentence that says what and what to do.
public enum RepositoryError: Error, Hashable, Sendable {
    case notInitialized(path: String)
    case alreadyInitialized(path: String)
    /// Another process has it open.
    case inUse(path: String)
    case readOnly(path: String)
    case full(path: String)
    /// The directory belongs to another program, or to a version that this one does not know.
    case foreign(path: String, detail: String)
    case damaged(path: String, detail: String)
    case other(path: String, detail: String)

    init(_ error: FileError, at path: String) {
        switch error {
        case .readOnly, .permissionDenied: self = .readOnly(path: path)
        case .full: self = .full(path: path)
        case .locked: self = .inUse(path: path)
        case .notFound(let file): self = .damaged(path: path, detail: "\(file) is missing")
        case .tooLarge(let file, let limit): self = .damaged(path: path, detail: "\(file) is larger than \(limit) bytes")
        case .isDirectory(let file): self = .damaged(path: path, detail: "\(file) is a directory")
        case .notDirectory(let file): self = .damaged(path: path, detail: "\(file) is not a directory")
        case .exists(let file): self = .damaged(path: path, detail: "\(file) exists already")
        case .other(let file, let errno): self = .other(path: path, detail: "\(file): error \(errno) of the operating system")
        }
    }

    init(_ error: StoreError, at path: String) {
        switch error {
        case .inUse: self = .inUse(path: path)
        case .full: self = .full(path: path)
        case .readOnly: self = .readOnly(path: path)
        case .corrupted(_, let detail): self = .damaged(path: path, detail: detail)
        case .closed: self = .other(path: path, detail: "the repository is closed")
        case .other(let detail): self = .other(path: path, detail: detail)
        }
    }
}

extension RepositoryError: CustomStringConvertible {
    public var description: String {
        switch self {
        case .notInitialized(let path): "no repository found in \(path); run 'waggle init' first"
        case .alreadyInitialized(let path): "a repository exists already in \(path); it is left as it is"
        case .inUse(let path): "the repository in \(path) is in use by another process; stop the other daemon or use another directory"
        case .readOnly(let path): "the repository in \(path) cannot be written; check the permissions of the directory"
        case .full(let path): "the disk that holds \(path) is full; free some space, nothing that was stored is lost"
        case .foreign(let path, let detail): "\(path) is not a repository of this program (\(detail)); use another directory"
        case .damaged(let path, let detail): "the repository in \(path) is damaged: \(detail)"
        case .other(let path, let detail): "the repository in \(path) cannot be used: \(detail)"
        }
    }
}
