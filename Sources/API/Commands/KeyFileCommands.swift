import WaggleAssembly
import WaggleBase
import WaggleContent
import WaggleCryptography
import WaggleFormats
import WaggleNetwork

/// `key export` and `key import`: keys as files of their own.
enum KeyFileCommands {
    /// How a key is written outside the keystore.
    private enum Form: String, CaseIterable {
        case libp2p = "libp2p-protobuf-cleartext"
        case pem = "pem-pkcs8-cleartext"

        static var names: String { "\(libp2p.rawValue) or \(pem.rawValue)" }

        var fileExtension: String { self == .pem ? "pem" : "key" }
    }

    static let export = Command(
        "export", "Export a keypair",
        description: """
            Exports a named key to a file that only its owner can read: './<key-name>.key', or where '--output=<path>' says. The key is not encrypted.

            With '--format=pem-pkcs8-cleartext' it is PKCS#8, which other programs read: RSA, Ed25519 and elliptic curves with every OpenSSL, ML-DSA
            (RFC 9881, by its seed) and SLH-DSA (RFC 9909) with OpenSSL 3.5 and newer. A key's PeerID follows from how libp2p writes it: where that is PKIX
            for an ML-DSA key, an attribute (friendlyName, 'libp2p-pkix') says so, and 'key import' heeds it.
            """,
        example: """
            > waggle key export testkey --format=pem-pkcs8-cleartext -o privkey.pem
            > openssl pkey -in privkey.pem -pubout > pubkey.pem
            """,
        arguments: [.string("name", "name of key to export", input: true)],
        options: [
            .string("output", "o", about: "The path where the output should be stored."),
            .string("format", "f", about: "The format of the exported private key, \(Form.names).", default: Form.libp2p.rawValue),
        ],
        // Reading takes no lock, so a running daemon does not stand in the way, and a key never travels over the API.
        place: .client, needs: .configuration
    ) { request, session, _ in
        guard let console = session.console else { throw CommandError("keys are exported on the command line only") }
        let name = request.arguments[0]
        guard name != Keystore.ownName else { throw CommandError("cannot export key with name 'self'") }
        let format = request.string("format") ?? ""
        guard let form = Form(rawValue: format) else { throw CommandError("unrecognized export format: \(format)") }
        let key: IdentityKeyPair
        do { key = try Keystore(at: session.repositoryPath, own: nil, on: session.system).key(named: name) } catch KeystoreError.missing {
            throw CommandError("key with name '\(name)' doesn't exist")
        }
        let bytes = form == .pem ? key.pem : key.encoded
        let output = request.string("output") ?? ""
        let file = output.isEmpty ? try fileName(name, form) : output
        try write(bytes, to: file.hasPrefix("/") ? file : "\(console.workingDirectory)/\(file)", console.files)
    }

    /// The last part of the name, so that a name with slashes stays in this directory.
    private static func fileName(_ name: String, _ form: Form) throws(CommandError) -> String {
        guard let last = "\(name).\(form.fileExtension)".split(separator: "/").last else { throw CommandError("--output is needed for this name") }
        return String(last)
    }

    /// Writes a key to a file that appears whole, or not at all. Through a symbolic link the file itself is written.
    private static func write(_ key: SecureBytes, to path: String, links: Int = 8, _ files: any FileSystem) throws {
        switch try files.status(path)?.kind {
        case nil, .file: try files.replace(path, withSecret: key)
        case .symbolicLink(let target) where links > 0:
            let folder = path.lastIndex(of: "/").map { String(path[...$0]) } ?? ""
            try write(key, to: target.hasPrefix("/") ? target : folder + target, links: links - 1, files)
        case .directory: throw FileError.isDirectory(path: path)
        // A device or a pipe: what is behind it takes care of it.
        case .symbolicLink, .other:
            let file = try files.create(path, mode: 0o600, exclusive: false)
            defer { file.close() }
            try key.withUnsafeBytes { try file.write($0, at: 0) }
        }
    }

    static let importing = Command(
        "import", "Import a key and prints imported key id",
        description: """
            Imports a key and stores it under the provided name.

            By default, the key is assumed to be in 'libp2p-protobuf-cleartext' format. Keys of other programs come in as PEM with
            '--format=pem-pkcs8-cleartext': ML-DSA by its seed, its expanded form or both, which must belong together.

            An ML-DSA key in PEM is a peer by libp2p's RFC 0004, unless the file has the attribute that 'key export' writes, or '--key-encoding=pkix' says that
            it is one by its PKIX form: the same key has another PeerID then.
            """,
        example: """
            > openssl genpkey -algorithm ML-DSA-65 > mldsa.pem
            > waggle key import future -f pem-pkcs8-cleartext mldsa.pem
            """,
        arguments: [.string("name", "name to associate with key in keychain"), .file("key", "key provided by generate or export")],
        options: [
            KeyText.option, .string("format", "f", about: "The format of the private key to import, \(Form.names).", default: Form.libp2p.rawValue),
            .flag("allow-any-key-type", about: "Allow importing any key type.", default: false),
            .string("key-encoding", about: "How libp2p writes an ML-DSA key from PEM: libp2p (RFC 0004) or pkix. By default as the file says, else libp2p."),
        ],
        text: { value, _ in "\(value["Id"]?.string ?? "")\n" }
    ) { request, session, emitter in
        let name = request.arguments[0]
        guard name != Keystore.ownName else { throw CommandError("cannot import key with name 'self'") }
        let show = try KeyText(request)
        let format = request.string("format") ?? ""
        guard let form = Form(rawValue: format) else { throw CommandError("unrecognized import format: \(format)") }
        let encoding = try encoding(request, form)
        guard let files = request.files, try await files.next() != nil else { throw CommandError.client("file argument 'key' is required") }
        let key = try read(await files.readSecret(limit: .bytes(KeyLimits.pemLength)), form, encoding)
        guard request.flag("allow-any-key-type") || KeyChoice.kinds.contains(key.publicKey.kind) else {
            throw CommandError(
                "key type \(key.publicKey.kind) is not allowed to be imported, only RSA, Ed25519, or Secp256k1, ML-DSA and SLH-DSA; "
                    + "use flag --allow-any-key-type if you are sure of what you're doing")
        }
        try session.node.keystore.add(key, named: name)
        try await emitter.emitOnce(KeyCommands.entry(name, show(key)))
    }

    /// What `--key-encoding` says; nil for nothing.
    private static func encoding(_ request: Request, _ form: Form) throws(CommandError) -> PublicKey.Form? {
        guard let name = request.string("key-encoding") else { return nil }
        guard form == .pem else { throw CommandError("--key-encoding belongs to format=\(Form.pem.rawValue); the other format has the encoding in it") }
        switch name {
        case "libp2p": return .libp2p
        case "pkix": return .pkix
        default: throw CommandError("unrecognized encoding: \(name); known are libp2p and pkix")
        }
    }

    private static func read(_ data: SecureBytes, _ form: Form, _ encoding: PublicKey.Form?) throws(CommandError) -> IdentityKeyPair {
        let block = PEM.decode(data.span)
        do {
            switch form {
            case .libp2p: return try IdentityKeyPair(decoding: data)
            case .pem:
                guard let block else { throw CommandError("PEM block not found in input data") }
                guard block.label == PEM.privateKey else { throw CommandError("expected PRIVATE KEY type in PEM block but got: \(block.label)") }
                return try IdentityKeyPair(pkcs8: block.contents, form: encoding)
            }
        } catch let error as CommandError {
            throw error
        } catch {
            guard form == .libp2p else { throw CommandError("parsing PKCS8 format: \(error)") }
            guard block == nil else {
                throw CommandError("unexpected PEM block for format=\(Form.libp2p.rawValue): try again with format=\(Form.pem.rawValue)")
            }
            throw CommandError("unable to unmarshall format=\(Form.libp2p.rawValue): \(error)")
        }
    }
}
