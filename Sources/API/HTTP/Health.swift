import WaggleAssembly
import WaggleBase
import WaggleContent
import WaggleFormats
import WaggleNetwork

/// `GET /healthz`: JSON with status, peers, queues, repository size, uptime and memory.
///
/// The status is `ok`, `degraded` with plain reasons (still 200: the node works), or `failing` (503).
struct Health: Sendable {
    static let paths: Set<String> = ["/healthz", "/health"]
    /// Free bytes of the repository's disk below which the node is degraded.
    static let leastFreeSpace = ByteCount.mebibytes(256)

    let node: ContentNode
    let started: Instant
    let isOnline: Bool

    func serve(_ exchange: HTTPExchange) async {
        do {
            let report = try await report()
            exchange.begin(200, [("Content-Type", "application/json"), ("Cache-Control", "no-store")])
            exchange.endAfter(Bytes(utf8: report.text() + "\n"))
        } catch {
            let report: JSON = ["status": "failing", "error": .string(CommandError(explaining: error).message)]
            exchange.begin(503, [("Content-Type", "application/json")])
            exchange.endAfter(Bytes(utf8: report.text() + "\n"))
        }
    }

    private func report() async throws -> JSON {
        let loop = node.system.home
        let statistics = try node.repository.statistics()
        let free = try node.system.files.space(node.repository.path).free
        let queues = await node.online?.node.metrics.collect().queues ?? []
        let reasons = Self.reasons(
            queues: queues, isListening: node.online.map { !$0.swarm.listenAddresses.isEmpty || $0.node.configuration.listen.isEmpty } ?? true, free: Int(clamping: free))
        return [
            "status": .string(reasons.isEmpty ? "ok" : "degraded"), "reasons": .strings(reasons), "online": .bool(isOnline),
            "peers": JSON(node.online?.swarm.peers.count ?? 0),
            "connections": JSON(node.online?.swarm.connections.count ?? 0), "peer_id": .string(node.identity.peer.description),
            "queues": .array(queues.map { ["name": .string($0.name), "length": JSON($0.length), "limit": JSON($0.limit)] }),
            "repo_size": JSON(statistics.bytesOnDevice), "blocks": JSON(statistics.objects), "disk_free": JSON(free),
            "uptime_seconds": JSON((loop.now - started).wholeNanoseconds / 1_000_000_000), "memory_bytes": JSON(node.system.residentMemory),
            "version": .string(WaggleVersion.number),
        ]
    }

    /// Why the node is not at its best; empty when it is.
    static func reasons(queues: [MetricReport.Queue], isListening: Bool, free: Int) -> [String] {
        var reasons = queues.filter(\.isNearlyFull).map { "\($0.name): \($0.length) of at most \($0.limit)" }
        if !isListening { reasons.append("not listening on any address") }
        if free < leastFreeSpace.bytes { reasons.append("only \(free >> 20) MiB are free on the disk of the repository") }
        return reasons
    }
}

