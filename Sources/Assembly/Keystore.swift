import Synchronization
import WaggleBase
import WaggleCryptography
import WaggleFormats
import WaggleNetwork

/// The keys of a repository by name: files in `keystore`, and `self`, which is the node's own.
///
/// Stored as Kubo does: `keystore/key_` and the name in base32 without padding, the private key in libp2p's protobuf form (specs: peer-ids, section
/// "Keys"), mode 0600.
public final class Keystore: Sendable {
    /// The name of the node's own key, which is not in the folder and cannot be changed here.
    public static let ownName = "self"

    private static let prefix = "key_"
    private let folder: String
    private let system: any System
    private var files: any FileSystem { system.files }
    private let own: LocalIdentity?
    /// Held over a look and the change that follows from it.
    private let changes = Mutex<Void>(())

    /// The keys of the repository at `path`. `own` is the node's identity; without one there is no key `self`.
    public init(at path: String, own: LocalIdentity?, on system: any System) {
        folder = "\(path)/keystore"
        self.own = own
        self.system = system
    }

    /// The names in bytewise order, without `self`. Files that no key store wrote are passed over.
    public func list() throws(KeystoreError) -> [String] {
        let names: [String]
        do { names = try files.list(folder) } catch {
            if case .notFound = error { return [] }
            throw .file(error)
        }
        return names.compactMap(Keystore.name(ofFile:)).sorted { $0.utf8.lexicographicallyPrecedes($1.utf8) }
    }

    /// Whether there is a key of this name.
    public func contains(_ name: String) throws(KeystoreError) -> Bool {
        if name == Keystore.ownName { return own != nil }
        let path = try path(name)
        do { return try files.status(path) != nil } catch { throw .file(error) }
    }

    /// The key of this name, which may be `self`.
    public func key(named name: String) throws(KeystoreError) -> IdentityKeyPair {
        if name == Keystore.ownName, let own { return own.key }
        let path = try path(name)
        let bytes: SecureBytes
        do { bytes = try files.readSecret(path, limit: IdentityKeyPair.maximumLength) } catch {
            if case .notFound = error { throw .missing(name) }
            throw .file(error)
        }
        do { return try IdentityKeyPair(decoding: bytes).hedged(on: system) } catch { throw .unreadable(path: path, error) }
    }

    /// Stores a key under a name that is free.
    public func add(_ key: IdentityKeyPair, named name: String) throws(KeystoreError) {
        try changing { () throws(KeystoreError) in
            guard try !contains(name) else { throw .exists(name) }
            try store(key, name)
        }
    }

    /// Gives a key another name. With `replacing` a key that has it already goes. Returns the key, and whether one went.
    @discardableResult
    public func rename(_ name: String, to newName: String, replacing: Bool = false) throws(KeystoreError) -> (key: IdentityKeyPair, replaced: Bool) {
        guard name != Keystore.ownName, newName != Keystore.ownName else { throw .own }
        return try changing { () throws(KeystoreError) in
            let key = try key(named: name)
            guard name != newName else { return (key, false) }
            let exists = try contains(newName)
            guard replacing || !exists else { throw .exists(newName) }
            // The new file first, in one step: no crash leaves neither.
            try store(key, newName)
            try delete(name)
            return (key, exists)
        }
    }

    /// Removes a key for good and returns it.
    @discardableResult
    public func remove(_ name: String) throws(KeystoreError) -> IdentityKeyPair {
        guard name != Keystore.ownName else { throw .own }
        return try changing { () throws(KeystoreError) in
            let key = try key(named: name)
            try delete(name)
            return key
        }
    }

    private func store(_ key: IdentityKeyPair, _ name: String) throws(KeystoreError) {
        guard name != Keystore.ownName else { throw .own }
        let path = try path(name)
        do {
            try files.makeDirectory(folder, mode: 0o700)
            try files.replace(path, withSecret: key.encoded)
        } catch {
            throw .file(error)
        }
    }

    private func delete(_ name: String) throws(KeystoreError) {
        let path = try path(name)
        do { try files.remove(path) } catch { throw .file(error) }
    }

    private func changing<R>(_ body: () throws(KeystoreError) -> R) throws(KeystoreError) -> R {
        try changes.withLock { _ throws(KeystoreError) in try body() }
    }

    // MARK: Names of files

    private func path(_ name: String) throws(KeystoreError) -> String {
        guard (1...KeystoreLimits.nameLength).contains(name.utf8.count) else { throw .invalidName(name) }
        return "\(folder)/\(Keystore.prefix)\(Multibase.base32.encode(Bytes(utf8: name), prefixed: false))"
    }

    private static func name(ofFile file: String) -> String? {
        guard file.hasPrefix(prefix) else { return nil }
        do { return try Multibase.base32.decode(unprefixed: String(file.dropFirst(prefix.count))).utf8 } catch { return nil }
    }
}

/// Bounds of a key store.
public enum KeystoreLimits {
    /// Bytes of a name: its base32 and the prefix must fit into a file's name, which has 255.
    public static let nameLength = 150
}

/// Why a key store refuses.
public enum KeystoreError: Error, Hashable, Sendable {
    case missing(String)
    case exists(String)
    /// Empty, or longer than `KeystoreLimits.nameLength`.
    case invalidName(String)
    /// The node's own key cannot be made, changed or removed by name.
    case own
    case unreadable(path: String, KeyError)
    case file(FileError)
}

extension KeystoreError: CustomStringConvertible {
    public var description: String {
        switch self {
        case .missing: "no key by the given name was found"
        case .exists(let name): "key with name '\(name)' already exists"
        case .invalidName(let name):
            name.isEmpty ? "key name must be at least one character" : "a key's name has at most \(KeystoreLimits.nameLength) bytes"
        case .own: "the key 'self' is the node's own and cannot be changed by name"
        case .unreadable(let path, let error): "the key in \(path) cannot be read: \(error)"
        case .file(let error): "the keystore cannot be read or written: \(error)"
        }
    }
}
