/// The benchmarks: `waggle-bench <name>` runs one group, without a name all of them.
///
/// Every line is the best of several rounds, with its ratio to a limit that was measured in the same run.
@main
struct Benchmarks {
    /// One line for each group.
    nonisolated static let groups: [(name: String, run: @Sendable () async throws -> Void)] = [
        ("crypto", { try CryptographyBenchmark.run() }),
        ("channel", { try ChannelBenchmark.run() }),
        ("handshake", { try HandshakeBenchmark.run() }),
        ("flood", { try FloodBenchmark.run() }),
        ("connection", { try ConnectionBenchmark.run() }),
        ("content", { try await ContentBenchmark.run() }),
        ("loop", { try LoopBenchmark.run() }),
        ("bitswap", { try await BitswapBenchmark.run() }),
        ("gossip", { try await GossipBenchmark.run() }),
        ("store", { try StoreBenchmark.run() }),
        ("kad", { try KademliaBenchmark.run() }),
    ]

    nonisolated static func main() async {
        do { try await run() } catch {
            PeerOutput.complain("waggle-bench: \(error)\n")
            PeerOutput.exit(2)
        }
    }

    private nonisolated static func run() async throws {
        let wanted = CommandLine.arguments.dropFirst()
        if wanted.first == BenchmarkPeer.argument {
            return try BenchmarkPeer.run(chain: wanted.contains("chain"), counted: wanted.contains("counted"))
        }
        if wanted.first == FloodAttacker.argument { return try FloodAttacker.run(Array(wanted.dropFirst())) }
        if wanted.first == "peer" { return try PeerCommand.run(Array(wanted.dropFirst())) }
        if wanted.first == "idle-peers" { return try IdlePeers.run(Array(wanted.dropFirst())) }
        for group in groups where wanted.isEmpty || wanted.contains(group.name) {
            print("# \(group.name)")
            try await group.run()
        }
        let unknown = wanted.filter { name in !groups.contains { $0.name == name } }
        if !unknown.isEmpty { throw UnknownGroups(names: unknown) }
    }
}

private struct UnknownGroups: Error, CustomStringConvertible {
    let names: [String]

    var description: String {
        "no group \(names.joined(separator: ", ")); there are: \(Benchmarks.groups.map(\.name).joined(separator: ", "))"
    }
}
