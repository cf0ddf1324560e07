import WaggleAssembly
import WaggleBase
import WaggleContent
import WaggleCryptography
import WaggleFormats

/// The program's version, in one place.
package enum WaggleVersion {
    package static let number = NodeConfiguration.version
    package static let repository = "\(Repository.formatVersion)"
    package static let system = {
        #if arch(x86_64)
            "amd64/linux"
        #elseif arch(arm64)
            "arm64/linux"
        #else
            "other/linux"
        #endif
    }()
}

/// `version`.
enum VersionCommand {
    static let command: Command = Command(
        "version", "Show IPFS version information.", description: "Returns the current version and exits.",
        example: "> waggle version --all",
        options: [
            .flag("number", "n", about: "Only show the version number."),
            .flag("commit", about: "Show the commit hash."),
            .flag("repo", about: "Show repo version."),
            .flag("all", about: "Show all version information."),
        ],
        needs: .nothing,
        text: { value, request in
            let version = value["Version"]?.string ?? ""
            if request.flag("all") {
                return """
                    Waggle version: \(version)
                    Repo version: \(value["Repo"]?.string ?? "")
                    System version: \(value["System"]?.string ?? "")
                    Swift version: \(value["Swift"]?.string ?? "")
                    Crypto library: \(value["Libcrypto"]?.string ?? "")
                    \((value["Cryptography"]?.object?.entries ?? []).map { "  \($0.key): \($0.value.string ?? "")" }.joined(separator: "\n"))

                    """
            }
            if request.flag("repo") { return "\(value["Repo"]?.string ?? "")\n" }
            if request.flag("number") { return "\(version)\n" }
            return "ipfs version \(version)\n"
        }
    ) { _, session, emitter in
        applyConfiguration(session)
        try await emitter.emitOnce([
            "Version": .string(WaggleVersion.number), "Commit": "", "Repo": .string(WaggleVersion.repository),
            "System": .string(WaggleVersion.system), "Golang": "", "Swift": "6.3",
            "Libcrypto": .string(PostQuantum.libcryptoVersion), "Cryptography": cryptography,
        ])
    }

    /// Who computes what: this program or the crypto library.
    private static var cryptography: JSON {
        var table = OrderedMap<JSON>()
        for primitive in PostQuantum.Primitive.allCases {
            let isAvailable = PostQuantum.libcryptoHas(primitive)
            let implementation = PostQuantum.implementation(of: primitive)
            table[primitive.rawValue] = .string(
                implementation == .openssl ? "openssl" : isAvailable ? "waggle (openssl has it too)" : "waggle")
        }
        for name in ["SHA-3, SHAKE, BLAKE2, BLAKE3"] { table[name] = "waggle" }
        for name in ["X25519, Ed25519, ECDSA, RSA", "ChaCha20-Poly1305, AES-GCM", "SHA-2, HMAC, HKDF"] { table[name] = "openssl" }
        return .object(table)
    }

    /// What the repository's configuration chooses, where there is one; a daemon has done so at its start.
    private static func applyConfiguration(_ session: Session) {
        guard session.daemon == nil else { return }
        do {
            if let choice = PostQuantum.Implementation(rawValue: try session.configuration.postQuantum) { PostQuantum.use(choice) }
        } catch {}  // No repository, no choice.
    }
}
