import WaggleAssembly
import WaggleBase
import WaggleFormats
import WaggleNetwork
import WaggleServices

/// `p2p`: the interactive mode. A node of its own, with a prompt to talk with others.
enum P2PCommand {
    static let defaultTopic = "quantra-default"

    static let command: Command = Command(
        "p2p", "Talk with other nodes, interactively.",
        description: """
            Starts a node with a new identity and a prompt: peers on the local network are found by themselves, others are dialed. What is typed with 'msg'
            goes to everybody in the topic. 'help' at the prompt lists the commands. It needs no repository and no daemon.

            In a pipe each line of the input is a command, and the next one waits until it is done: a message waits up to ten seconds for
            somebody to be in the topic. The end of the input ends it.
            """,
        example: "> waggle p2p --listen /ip4/0.0.0.0/tcp/9000\n> echo 'msg Hello' | waggle p2p --dial /ip4/10.0.0.7/tcp/9000/p2p/12D3KooW…",
        options: [
            Option("listen", kind: .array, "Address to listen on; may be given several times.", default: .array(["/ip4/0.0.0.0/tcp/0", "/ip6/::/tcp/0"])),
            Option("dial", kind: .array, "Address of a node to connect to at the start; may be given several times."),
            .string("topic", about: "Topic to join at the start.", default: defaultTopic),
            .string("policy", about: "Which channels may be used: classical, prefer or require (post-quantum).", default: "prefer"),
            .flag("mdns", about: "Find peers on the local network.", default: true),
        ],
        place: .client, needs: .nothing
    ) { request, session, _ in
        guard let console = session.console else { throw CommandError("the interactive mode needs a terminal or a pipe") }
        var configuration = NodeConfiguration.preset(.lan)
        configuration.listen = try request.strings("listen").map { try address($0, "listen") }
        let dials = try request.strings("dial").map { try address($0, "dial") }
        guard let policy = SecurityPolicy(rawValue: request.string("policy") ?? "") else {
            throw CommandError.client("--policy is classical, prefer or require")
        }
        configuration.policy = policy
        configuration.pubsub = PubSubConfiguration()
        configuration.multicastDNS = request.flag("mdns")
        let node = try await Node(configuration, on: session.system)
        do { try await node.start() } catch {
            await node.close()
            throw CommandError(SwarmText.explain(error))
        }
        let history = try P2PHistory(session, console)
        let shell = P2PShell(node, console: console, topic: request.string("topic") ?? defaultTopic, history: history.lines)
        await shell.run(dialing: dials)
        await node.close()
        try history.save(shell.typed)
    }

    private static func address(_ text: String, _ option: String) throws(CommandError) -> Multiaddr {
        guard let address = Multiaddr(text) else { throw CommandError.client("--\(option): \"\(text)\" is not an address such as /ip4/0.0.0.0/tcp/9000") }
        return address
    }
}

/// What was typed at the prompt, kept from one run to the next in a file that only its owner can read. Only for a terminal.
struct P2PHistory {
    /// The largest file that is read.
    private static let limit = 1 << 20

    let lines: [String]
    private let path: String?
    private let files: any FileSystem

    init(_ session: Session, _ console: any Console) throws {
        files = session.system.files
        guard console.inputIsTerminal, let home = console.environment["HOME"], !home.isEmpty else {
            path = nil
            lines = []
            return
        }
        // With the repository where there is one.
        let hasRepository = try files.status(session.repositoryPath) != nil
        let path = hasRepository ? session.repositoryPath + "/p2p-history" : home + "/.waggle_p2p_history"
        self.path = path
        lines = try Self.read(path, files)
    }

    private static func read(_ path: String, _ files: any FileSystem) throws -> [String] {
        let size = try files.status(path)?.size ?? 0
        let text = size > 0 && size < limit ? try files.read(path, limit: limit).utf8 : nil
        return (text ?? "").split(separator: "\n").map(String.init)
    }

    /// Adds lines to what the file has by now: others may have been at work meanwhile.
    func save(_ typed: [String]) throws {
        guard let path, !typed.isEmpty else { return }
        let all = (try Self.read(path, files) + typed).suffix(LineEditor.longestHistory)
        try files.replace(path, with: Bytes(utf8: all.map { $0 + "\n" }.joined()), mode: 0o600)
    }
}
