import WaggleAssembly
import WaggleBase
import WaggleFormats
import WaggleNetwork

/// `swarm resources`.
enum SwarmResourcesCommand {
    static let command = Command(
        "resources", "Get a summary of all resources accounted for by the resource limits.",
        description: "The limits of the whole node and what is used of them. 'transient' are connections whose handshake is under way.",
        example: "> waggle swarm resources",
        text: { value, _ in
            var text = "Scope\tLimit Name\tLimit Value\tLimit Usage Amount\tLimit Usage Percent\t\n"
            for (scope, title) in [("System", "system"), ("Transient", "transient")] {
                for name in names {
                    guard let limit = value[scope]?[name]?.integer, let used = value[scope]?[name + "Usage"]?.integer else { continue }
                    text += "\(title)\t\(name)\t\(limit)\t\(used)\t\(percent(used, of: limit))\t\n"
                }
            }
            return AlignedText.lay(text, minimum: 20, padding: 2)
        }
    ) { _, session, emitter in
        let online = try session.online
        let report = await online.node.metrics.collect()
        func value(_ name: String, _ labels: KeyValuePairs<String, String>) -> Int { Int(report.value(name, labels) ?? 0) }
        func connections(_ direction: String, _ scope: String) -> Int { value("libp2p_rcmgr_connections", ["dir": direction, "scope": scope]) }
        func limit(_ resource: String) -> Int { value("libp2p_rcmgr_limit", ["resource": resource]) }
        func entries(_ entries: [(String, Int, Int)]) -> JSON {
            .object(OrderedMap(entries.flatMap { [($0.0, JSON($0.1)), ($0.0 + "Usage", JSON($0.2))] }))
        }
        let (inbound, outbound) = (connections("inbound", "system"), connections("outbound", "system"))
        let limits = online.swarm.configuration.limits
        try await emitter.emitOnce([
            "System": entries([
                ("Memory", limit("memory"), value("libp2p_rcmgr_memory", ["scope": "system"])), ("Conns", limit("connections"), inbound + outbound),
                ("ConnsInbound", limit("inbound_connections"), inbound), ("ConnsOutbound", limit("outbound_connections"), outbound),
                ("StreamsInbound", limit("streams"), value("libp2p_rcmgr_streams", ["dir": "inbound", "scope": "system", "protocol": ""])),
            ]),
            "Transient": entries([
                ("ConnsInbound", limits.pendingInbound, connections("inbound", "transient")),
                ("ConnsOutbound", limits.pendingOutbound, connections("outbound", "transient")),
            ]),
        ])
    }

    private static let names = ["Memory", "Conns", "ConnsInbound", "ConnsOutbound", "StreamsInbound"]

    /// With one digit after the point, as Kubo.
    private static func percent(_ used: Int64, of limit: Int64) -> String {
        guard used > 0, limit > 0 else { return "0%" }
        let tenths = (used * 1000 + limit / 2) / limit
        return "\(tenths / 10).\(tenths % 10)%"
    }
}
