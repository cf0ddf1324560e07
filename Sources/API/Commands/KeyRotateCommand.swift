import WaggleAssembly
import WaggleBase
import WaggleContent
import WaggleCryptography
import WaggleFormats
import WaggleNetwork

/// `key rotate`: a new identity for the node.
enum KeyRotateCommand {
    static let command = Command(
        "rotate", "Rotates the IPFS identity.",
        description: """
            Makes a new identity and puts it in place of the node's key. The one so far is kept in the keystore under the name that '--oldkey' gives. A
            node with two identities gets two new ones, and the second is kept under that name with '-second' at its end. The daemon must not be
            running.
            """,
        example: "> waggle key rotate --oldkey=before --type=ml-dsa-65",
        options: [
            .string("oldkey", "o", about: "Keystore name to use for backing up your existing identity"),
            .string("type", "t", about: "type of the key to create: \(KeyChoice.names)", default: "ed25519"),
            .integer("size", "s", about: "size of the key to generate in bits, for rsa: 2048 to 8192"),
        ],
        place: .client, needs: .configuration
    ) { request, session, _ in
        guard let backup = request.string("oldkey") else { throw CommandError("keystore name for backing up old key must be provided") }
        guard backup != Keystore.ownName else { throw CommandError("keystore name for back up cannot be named 'self'") }
        let choice = try KeyChoice(type: request.string("type") ?? "ed25519", size: request.integer("size"))
        let (path, system) = (session.repositoryPath, session.system)
        let lock: any FileLock
        do { lock = try system.files.lock("\(path)/repo.lock") } catch FileError.locked {
            throw CommandError("ipfs daemon is running. please stop it to run this command")
        }
        defer { lock.release() }
        let old = try IdentityFile.load(from: path, on: system)
        let oldSecond = try IdentityFile.loadSecond(from: path, on: system)
        if oldSecond != nil, choice.kind != .ed25519 { throw CommandError("a node with two identities has a first one of type ed25519") }
        let backups = [(name: backup, key: old.key)] + (oldSecond.map { [(name: "\(backup)-second", key: $0)] } ?? [])
        let keystore = Keystore(at: path, own: old, on: system)
        for (name, _) in backups { guard try !keystore.contains(name) else { throw KeystoreError.exists(name) } }
        try session.console?.print(choice.announcement)
        let key = try await choice.generate(on: system)
        var second: IdentityKeyPair?
        if let kind = oldSecond?.publicKey.kind { second = try await IdentityKeyPair.generate(kind, on: system) }
        // The old keys are safe before the new ones take their place, and the configuration follows.
        for (name, key) in backups { try keystore.add(key, named: name) }
        if let second { try IdentityFile.storeSecond(second, in: path, on: system) }
        let identity = try IdentityFile.store(key, in: path, on: system)
        try session.changeConfiguration { try $0.set("Identity.PeerID", to: .string(identity.peer.description)) }
        try session.console?.print("done\npeer identity: \(identity.peer)\n")
    }
}
