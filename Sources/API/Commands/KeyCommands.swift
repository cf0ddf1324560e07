import WaggleAssembly
import WaggleBase
import WaggleContent
import WaggleCryptography
import WaggleFormats
import WaggleNetwork

/// `key`: the keys that names are published with, and the node's own.
enum KeyCommands {
    static let command: Command = Command(
        "key", "Create and list IPNS name keypairs",
        description: """
            'key gen' generates a new keypair for usage with IPNS and 'name publish'. The types are \(KeyChoice.names). Those of ML-DSA and SLH-DSA
            stand against quantum computers; other IPFS programs cannot verify them yet.

            Keys are files in the folder 'keystore' of the repository. 'self' is the node's own key.
            """,
        example: """
            > waggle key gen --type=rsa --size=2048 mykey
            > waggle key gen --type=ml-dsa-65 future
            > waggle key ls -l
            """,
        subcommands: [
            gen, KeyFileCommands.export, KeyFileCommands.importing, list("list", "Deprecated: use 'key ls' instead."), list("ls", "List all local keypairs."),
            rename, remove, KeyRotateCommand.command, KeySignatureCommands.sign, KeySignatureCommands.verify,
        ])

    private static let gen = Command(
        "gen", "Create a new keypair", description: "Makes a key, stores it under a name and prints the IPNS name that belongs to it.",
        example: "> waggle key gen mykey\n> waggle key gen --type=slh-dsa-shake-128s vault", arguments: [.string("name", "name of key to create")],
        options: [
            .string("type", "t", about: "type of the key to create: \(KeyChoice.names)", default: "ed25519"),
            .integer("size", "s", about: "size of the key to generate in bits, for rsa: 2048 to 8192"), KeyText.option,
        ],
        text: { value, _ in "\(value["Id"]?.string ?? "")\n" }
    ) { request, session, emitter in
        let name = request.arguments[0]
        guard name != Keystore.ownName else { throw CommandError("cannot create key with name 'self'") }
        let show = try KeyText(request)
        let choice = try KeyChoice(type: request.string("type") ?? "ed25519", size: request.integer("size"))
        let keystore = try session.node.keystore
        // Before the work; adding looks again.
        guard try !keystore.contains(name) else { throw KeystoreError.exists(name) }
        let key = try await choice.generate(on: session.system)
        try keystore.add(key, named: name)
        try await emitter.emitOnce(entry(name, show(key)))
    }

    private static func list(_ name: String, _ tagline: String) -> Command {
        Command(
            name, tagline, description: "The node's own key comes first, the others by name.", example: "> waggle key ls -l",
            options: [.flag("l", about: "Show extra information about keys."), KeyText.option], text: { value, request in table(value, request) }
        ) { request, session, emitter in
            let show = try KeyText(request)
            let node = try session.node
            var keys = [entry(Keystore.ownName, show(node.identity.peer))]
            for name in try node.keystore.list() where name != Keystore.ownName {
                do { keys.append(entry(name, show(try node.keystore.key(named: name)))) } catch {
                    // One damaged file hides no other key.
                    Log("keystore", to: session.system.log)(.error, "key not listed", [LogField("name", name), LogField("error", "\(error)")])
                }
            }
            try await emitter.emitOnce(["Keys": .array(keys)])
        }
    }

    private static let rename = Command(
        "rename", "Rename a keypair.", description: "The key stays the same, and so does its IPNS name.", example: "> waggle key rename mykey blog",
        arguments: [.string("name", "name of key to rename"), .string("newName", "new name of the key")],
        options: [.flag("force", "f", about: "Allow to overwrite an existing key."), KeyText.option],
        text: { value, _ in
            let ending = value["Overwrite"]?.bool == true ? " with overwriting" : ""
            return "Key \(value["Id"]?.string ?? "") renamed to \(KeyText.printable(value["Now"]?.string ?? ""))\(ending)\n"
        }
    ) { request, session, emitter in
        let (old, new) = (request.arguments[0], request.arguments[1])
        guard old != Keystore.ownName else { throw CommandError("cannot rename key with name 'self'") }
        guard new != Keystore.ownName else { throw CommandError("cannot overwrite key with name 'self'") }
        let show = try KeyText(request)
        do {
            let (key, replaced) = try session.node.keystore.rename(old, to: new, replacing: request.flag("force"))
            try await emitter.emitOnce(["Was": .string(old), "Now": .string(new), "Id": .string(show(key)), "Overwrite": .bool(replaced)])
        } catch KeystoreError.missing {
            throw CommandError("no key named \(old) was found")
        } catch KeystoreError.exists {
            throw CommandError("key by that name already exists, refusing to overwrite")
        }
    }

    private static let remove = Command(
        "rm", "Remove a keypair.", description: "What was published under its name can never be changed again: export the key first.",
        example: "> waggle key rm mykey", arguments: [.string("name", "names of keys to remove", variadic: true, input: true)],
        options: [.flag("l", about: "Show extra information about keys."), KeyText.option], text: { value, request in table(value, request) }
    ) { request, session, emitter in
        let show = try KeyText(request)
        var keys: [JSON] = []
        for name in request.arguments {
            guard name != Keystore.ownName else { throw CommandError("cannot remove key with name 'self'") }
            do { keys.append(entry(name, show(try session.node.keystore.remove(name)))) } catch KeystoreError.missing {
                throw CommandError("no key named \(name) was found")
            }
        }
        try await emitter.emitOnce(["Keys": .array(keys)])
    }

    /// `{"Name": …, "Id": …}`.
    static func entry(_ name: String, _ id: String) -> JSON { ["Name": .string(name), "Id": .string(id)] }

    /// A name a line; with `-l` the id before it, in columns.
    private static func table(_ value: JSON, _ request: Request) -> String {
        let rows = (value["Keys"]?.array ?? []).map { (id: $0["Id"]?.string ?? "", name: KeyText.printable($0["Name"]?.string ?? "")) }
        guard request.flag("l") else { return rows.map { "\($0.name)\n" }.joined() }
        let widths = (rows.map(\.id.count).max() ?? 0, rows.map(\.name.count).max() ?? 0)
        func padded(_ text: String, _ width: Int) -> String { text + String(repeating: " ", count: width + 1 - text.count) }
        return rows.map { "\(padded($0.id, widths.0))\(padded($0.name, widths.1))\n" }.joined()
    }
}
