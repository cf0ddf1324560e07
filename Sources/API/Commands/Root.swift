/// The command tree: one line for each group, in the order in which help shows them.
package enum Commands {
    package static let root: Command = Command(
        "", "A post-quantum IPFS node and peer-to-peer stack.",
        description: """
            Waggle stores content under its hash and exchanges it with other IPFS nodes, over channels that are post-quantum by default.
            Commands, flags and output follow Kubo's 'ipfs', so what you know works here.

            The repository is in ~/.waggle, or where $WAGGLE_PATH says; called under the name 'ipfs' the program uses $IPFS_PATH.
            """,
        example: """
            Make a repository, start the node, add a file from another terminal and read it:

              > waggle init
              > waggle daemon
              > waggle add hello.txt
              > waggle cat <cid>
            """,
        options: [
            .string("repo-dir", about: "Path to the repository directory to use."),
            .string("config-file", about: "Path to the configuration file to use."),
            .string("config", "c", about: "Deprecated: the same as --config-file."),
            .flag("debug", "D", about: "Write debug records to the log."),
            .flag("help", about: "Show the full command help text."),
            .flag("h", about: "Show a short version of the command help text."),
            .flag("local", "L", about: "Run the command here, not on the daemon."),
            .flag("offline", about: "Run the command without asking the network."),
            .string("api", about: "Use a specific API instance, for example /ip4/127.0.0.1/tcp/5101."),
            .string("api-auth", about: "Authorization secret for the RPC API."),
            .string("cid-base", about: "Multibase encoding used for version 1 CIDs in output."),
            .flag("upgrade-cidv0-in-output", about: "Upgrade version 0 to version 1 CIDs in output."),
            .string("encoding", "enc", about: "The encoding type the output should be encoded with (json or text).", default: "text"),
            .flag("stream-channels", about: "Stream channel output."),
            .string("timeout", about: "Set a global timeout on the command, for example 30s."),
        ],
        subcommands: basic + data + network + tools)

    private static let basic: [Command] = [InitCommand.command, AddCommand.command, CatCommand.command, GetCommand.command, LsCommand.command, RefsCommands.command, ResolveCommand.command]
    private static let data: [Command] = [
        BlockCommands.command, DagCommands.command, PinCommands.command, RepoCommands.command, StatsCommands.command,
    ]
    private static let network: [Command] = [
        DaemonCommand.command, P2PCommand.command, IDCommand.command, SwarmCommands.command, PingCommand.command, BitswapCommands.command, PubSubCommands.command,
        BootstrapCommands.command, RendezvousCommands.command, RoutingCommands.command, NameCommands.command, KeyCommands.command, ProvideCommands.command, DHTCommands.command,
        ShutdownCommand.command,
    ]
    private static let tools: [Command] = [
        ConfigCommands.command, VersionCommand.command, CommandsCommand.command, CIDCommands.command, MultibaseCommands.command, LogCommands.command,
        DiagCommands.command,
    ]
}
