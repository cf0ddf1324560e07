import WaggleAssembly
import WaggleBase
import WaggleContent
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

                    """
            }
            if request.flag("repo") { return "\(value["Repo"]?.string ?? "")\n" }
            if request.flag("number") { return "\(version)\n" }
            return "ipfs version \(version)\n"
        }
    ) { _, _, emitter in
        try await emitter.emitOnce([
            "Version": .string(WaggleVersion.number), "Commit": "", "Repo": .string(WaggleVersion.repository),
            "System": .string(WaggleVersion.system), "Golang": "", "Swift": "6.3",
        ])
    }
}
