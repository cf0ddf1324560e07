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
    /// There is a key already where a new one was to be stored.
    case exists(path: String)
    case file(FileError)

    public var description: String {
        switch self {
        case .missing(let path):
            "the node's key \(path) is missing; restore it from a backup, or make a new identity with 'init' in another directory"
        case .unreadable(let path):
            "the node's key \(path) is damaged or not a key; restore it from a backup, it was left as it is"
        case .mismatch(let path, let found, let expected):
            "the key in \(path) belongs to \(found), but the configuration names \(expected); put the right key back or correct Identity.PeerID"
        case .exists(let path): "there is a key already, \(path), which would be overwritten; move it away first"
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

    static func secondPath(_ repository: String) -> String { "\(repository)/identity.second" }

    /// Throws when the repository holds a node's key, which a new one would overwrite: keys outlive a configuration that was lost.
    public static func checkIsMissing(in repository: String, on system: any System) throws(IdentityFileError) {
        for path in [path(repository), secondPath(repository)] {
            let status: FileStatus?
            do { status = try system.files.status(path) } catch { throw .file(error) }
            guard status == nil else { throw .exists(path: path) }
        }
    }

    /// Stores a node's key, in place of one that is there.
    public static func store(_ key: IdentityKeyPair, in repository: String, on system: any System) throws(IdentityFileError) -> LocalIdentity {
        try write(key, to: path(repository), in: repository, on: system)
        return LocalIdentity(key.hedged(on: system))
    }

    /// Stores the node's second, post-quantum key beside the first, in the same form.
    public static func storeSecond(_ key: IdentityKeyPair, in repository: String, on system: any System) throws(IdentityFileError) {
        try write(key, to: secondPath(repository), in: repository, on: system)
    }

    /// Reads the key. `expected` is the PeerID that the configuration names, if it names one.
    public static func load(from repository: String, expecting expected: String? = nil, on system: any System) throws(IdentityFileError) -> LocalIdentity {
        let path = path(repository)
        guard let key = try read(path, on: system) else { throw .missing(path: path) }
        let identity = LocalIdentity(key)
        if let expected, !expected.isEmpty {
            let named = try? PeerID(expected)
            guard named == identity.peer else { throw .mismatch(path: path, found: identity.peer, expected: expected) }
        }
        return identity
    }

    /// Reads the second key; nil when the node has none.
    public static func loadSecond(from repository: String, on system: any System) throws(IdentityFileError) -> IdentityKeyPair? {
        try read(secondPath(repository), on: system)
    }

    private static func write(_ key: IdentityKeyPair, to path: String, in repository: String, on system: any System) throws(IdentityFileError) {
        let text = SecretBase64.encode(key.encoded)
        let line = SecureBytes(count: text.count + 1) { line in
            text.withUnsafeBytes { line.copyMemory(from: $0) }
            line[text.count] = UInt8(ascii: "\n")
        }
        do {
            try system.files.makeDirectory(repository, mode: 0o700)
            try system.files.replace(path, withSecret: line)
        } catch {
            throw .file(error)
        }
    }

    /// The key of a file; nil when there is no file.
    private static func read(_ path: String, on system: any System) throws(IdentityFileError) -> IdentityKeyPair? {
        let text: SecureBytes
        do { text = try system.files.readSecret(path, limit: limit) } catch {
            if case .notFound = error { return nil }
            throw .file(error)
        }
        guard let encoded = withoutBlanks(text).withUnsafeBytes(SecretBase64.decode) else { throw .unreadable(path: path) }
        do { return try IdentityKeyPair(decoding: encoded).hedged(on: system) } catch { throw .unreadable(path: path) }
    }

    private static func withoutBlanks(_ text: SecureBytes) -> SecureBytes {
        var length = 0
        let room = SecureBytes(count: text.count) { output in
            text.withUnsafeBytes { text in
                for byte in text where byte > UInt8(ascii: " ") {
                    output[length] = byte
                    length += 1
                }
            }
        }
        return SecureBytes(room.span.extracting(first: length))
    }
}
