import WaggleAssembly
import WaggleBase
import WaggleFormats
import WaggleNetwork

/// `diag sys`.
enum DiagCommands {
    static let command: Command = Command(
        "diag", "Generate diagnostic reports.", description: "What to add to a report of a problem.", example: "> waggle diag sys", subcommands: [system])

    private static let system = Command(
        "sys", "Print system diagnostic information.", description: "Prints facts about this computer and this node.", example: "> waggle diag sys",
        text: { value, _ in value.text(.indented) + "\n" }
    ) { _, session, emitter in
        let node = try session.node
        let space = try session.system.files.space(session.repositoryPath)
        let addresses = session.system.network.interfaceAddresses().map { "/\($0.text.contains(":") ? "ip6" : "ip4")/\($0.text)" }
        let platform = WaggleVersion.system.split(separator: "/").map(String.init)
        try await emitter.emitOnce([
            "diskinfo": ["free_space": JSON(space.free), "total_space": JSON(space.total)],
            "environment": ["ipfs_path": .string(session.repositoryPath)], "ipfs_version": .string(WaggleVersion.number), "ipfs_commit": "",
            "memory": ["resident": JSON(session.system.residentMemory), "virt": JSON(session.system.residentMemory)],
            "net": ["interface_addresses": .strings(addresses), "online": .bool(node.online != nil)],
            "runtime": [
                "arch": .string(platform.first ?? ""), "os": .string(platform.last ?? ""), "loops": JSON(session.system.loops.count), "version": "swift 6.3",
            ],
        ])
    }
}
