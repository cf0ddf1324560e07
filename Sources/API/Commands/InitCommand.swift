import WaggleAssembly
import WaggleBase
import WaggleContent
import WaggleCryptography
import WaggleFormats
import WaggleNetwork

/// `init`: a new repository with a new identity.
enum InitCommand {
    static let command: Command = Command(
        "init", "Initializes local IPFS configuration.",
        description: """
            Makes a repository with a new identity and the default configuration. What is there already is never overwritten.

            The identity is the key that the node proves itself with, and its PeerID is a hash of it. Ed25519, the default, is what every peer
            understands. With ml-dsa-44, ml-dsa-65, ml-dsa-87 or slh-dsa-shake-128s nobody can pose as this node even with a quantum computer, but
            only peers that know these signatures can connect: other IPFS programs refuse them. With dual the node has both, an Ed25519 identity for
            everybody and one of ML-DSA-65, which peers that know it verify too, and a certificate that says that they are one node.

            Profiles change the configuration:
            \(ConfigurationDefaults.profiles.map { "  \($0.name): \($0.description)" }.joined(separator: "\n"))
            """,
        example: """
            > waggle init
            > waggle init --identity=ml-dsa-65
            > waggle init --identity=dual
            > waggle init --profile=server,post-quantum
            """,
        arguments: [.file("default-config", "Initialize with the given configuration.", required: false)],
        options: [
            .string("algorithm", "identity", "a", about: "Cryptographic algorithm to use for key generation: \(KeyChoice.names), or dual for ed25519 and ml-dsa-65.", default: "ed25519"),
            .integer("bits", "b", about: "Number of bits to use in the generated RSA private key."),
            .flag("empty-repo", "e", about: "Don't add and pin help files to the local storage.", default: true),
            .string("profile", "p", about: "Apply profile settings to config. Multiple profiles can be separated by ','."),
        ],
        place: .client, needs: .nothing
    ) { request, session, emitter in
        let path = session.repositoryPath
        if try await RemoteAPI.isRunning(at: path, on: session.system) {
            throw CommandError("ipfs daemon is running. please stop it to run this command")
        }
        let isDual = request.string("algorithm") == "dual"
        let choice = try KeyChoice(type: isDual ? "ed25519" : request.string("algorithm") ?? "ed25519", size: request.integer("bits"), others: ", dual")
        guard try !Repository.exists(at: path, on: session.system) else {
            throw CommandError("ipfs configuration file already exists!\nReinitializing would overwrite your keys")
        }
        let given = try await givenConfiguration(request)
        try await create(at: path, choice, isDual: isDual, profiles: request.string("profile"), given: given, session: session)
    }

    private static func givenConfiguration(_ request: Request) async throws -> Configuration? {
        guard let files = request.files, try await files.next() != nil else { return nil }
        var text: [UInt8] = []
        while let bytes = try await files.read() {
            text += bytes.array
            guard text.count <= Repository.configurationLimit else { throw CommandError("the configuration is larger than 4 MiB") }
        }
        return try Configuration(parsing: Bytes(text), path: "that was given")
    }

    static func create(at path: String, _ choice: KeyChoice, isDual: Bool = false, profiles: String?, given: Configuration?, session: Session) async throws {
        try IdentityFile.checkIsMissing(in: path, on: session.system)
        // Profiles are checked before anything is written.
        var configuration = given ?? ConfigurationDefaults.make(peerID: "")
        if let profiles { try ConfigurationDefaults.apply(profiles, to: &configuration) }
        try session.console?.print(choice.announcement)
        let identity = try IdentityFile.store(await choice.generate(on: session.system), in: path, on: session.system)
        if isDual {
            let second = try KeyChoice(type: KeyKind.mlDSA65.option, size: nil)
            try session.console?.print(second.announcement)
            try IdentityFile.storeSecond(await second.generate(on: session.system), in: path, on: session.system)
        }
        try configuration.set("Identity.PeerID", to: .string(identity.peer.description))
        try Repository.initialize(at: path, configuration: Bytes(utf8: configuration.text), on: session.system)
        try session.console?.print("done\npeer identity: \(identity.peer)\ninitializing IPFS node at \(path)\n")
        try await pinEmptyDirectory(at: path, session.system)
    }

    /// As Kubo does, so that the empty directory can always be read.
    private static func pinEmptyDirectory(at path: String, _ system: any System) async throws {
        let node = try await ContentNode.open(path, on: system)
        do {
            try await node.repository.blocks.guarded { blockGuard in
                try await BlockWriter.run(into: node.repository.blocks, under: blockGuard) { writer in
                    var block: Block?
                    let root = try DirectoryBuilder(ImportOptions()).finish { block = $0 }
                    if let block { try await writer.write([block]) }
                    try await writer.finish(pins: [Pin(root.cid, .recursive)])
                }
            }
        } catch {
            await node.close()
            throw error
        }
        await node.close()
    }
}
