import WaggleBase
import WaggleCryptography
import WaggleFormats
import WaggleNetwork

/// Why a node's key cannot be read or made.
public enum IdentityFileError: Error, Hashable, Sendable, CustomStringConvertible {
    case missing(path: String)
    /// Not a key, or cut short.
    case unreadable(path: String)
    /// The key is not the one that the configuration names.
    case mismatch(path: String, found: PeerID, expected: String)
    case file(FileError)

    public var description: String {
        switch self {
        case .missing(let path):
            "the node's key \(path) is missing; restore it from a backup, or make a new identity with 'init' in another directory"
        case .unreadable(let path):
            "the node's key \(path) is damaged or not a key; restore it from a backup, it was left as it is"
        case .mismatch(let path, let found, let expected):
            "the key in \(path) belongs to \(found), but the configuration names \(expected); put the right key back or correct Identity.PeerID"
        case .file(let error): "the node's key cannot be read or written: \(error)"
        }
    }
}

/// The file `identity` of a repository: the private key in libp2p's protobuf form (specs: peer-ids, section "Keys"), base64 as in Kubo's
/// `Identity.PrivKey`, one line, mode 0600.
public enum IdentityFile {
    /// Longest key file in bytes: an RSA key of 8192 bits in base64 with room to spare.
    static let limit = 16 << 10

    static func path(_ repository: String) -> String { "\(repository)/identity" }

    /// Stores a node's key, in place of one that is there.
    public static func store(_ key: IdentityKeyPair, in repository: String, on system: any System) throws(IdentityFileError) -> LocalIdentity {
        let text = key.encoded.withUnsafeBytes { Multibase.base64pad.encode($0, prefixed: false) } + "\n"
        do {
            try system.files.makeDirectory(repository, mode: 0o700)
            try system.files.replace(path(repository), with: Bytes(utf8: text), mode: 0o600)
        } catch {
            throw .file(error)
        }
        return LocalIdentity(key)
    }

    static func secondPath(_ repository: String) -> String { "\(repository)/identity.second" }

    /// Stores the node's second, post-quantum key beside the first, in the same form.
    public static func storeSecond(_ key: IdentityKeyPair, in repository: String, on system: any System) throws(IdentityFileError) {
        let text = key.encoded.withUnsafeBytes { Multibase.base64pad.encode($0, prefixed: false) } + "\n"
        do {
            try system.files.makeDirectory(repository, mode: 0o700)
            try system.files.replace(secondPath(repository), with: Bytes(utf8: text), mode: 0o600)
        } catch {
            throw .file(error)
        }
    }

    /// Reads the second key; nil when the node has none.
    public static func loadSecond(from repository: String, on system: any System) throws(IdentityFileError) -> IdentityKeyPair? {
        let path = secondPath(repository)
        let bytes: Bytes
        do { bytes = try system.files.read(path, limit: limit) } catch {
            if case .notFound = error { return nil }
            throw .file(error)
        }
        let text = String((bytes.utf8 ?? "").filter { !$0.isWhitespace })
        do {
            let raw = try Multibase.base64pad.decode(unprefixed: text)
            return try IdentityKeyPair(decoding: raw.span)
        } catch {
            throw .unreadable(path: path)
        }
    }

    /// Reads the key. `expected` is the PeerID that the configuration names, if it names one.
    public static func load(from repository: String, expecting expected: String? = nil, on system: any System) throws(IdentityFileError) -> LocalIdentity {
        let path = path(repository)
        let bytes: Bytes
        do { bytes = try system.files.read(path, limit: limit) } catch {
            if case .notFound = error { throw .missing(path: path) }
            throw .file(error)
        }
        let text = String((bytes.utf8 ?? "").filter { !$0.isWhitespace })
        let identity: LocalIdentity
        do {
            let raw = try Multibase.base64pad.decode(unprefixed: text)
            identity = LocalIdentity(try IdentityKeyPair(decoding: raw.span))
        } catch {
            throw .unreadable(path: path)
        }
        if let expected, !expected.isEmpty {
            let named = try? PeerID(expected)
            guard named == identity.peer else { throw .mismatch(path: path, found: identity.peer, expected: expected) }
        }
        return identity
    }
}
