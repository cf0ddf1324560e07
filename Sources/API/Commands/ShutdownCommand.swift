import WaggleBase

/// `shutdown`: ends the daemon.
enum ShutdownCommand {
    static let command: Command = Command(
        "shutdown", "Shut down the IPFS daemon.", description: "Asks the running daemon to finish what it is doing and to stop.",
        example: "> waggle shutdown", place: .daemon
    ) { _, session, _ in session.shutdown() }
}
