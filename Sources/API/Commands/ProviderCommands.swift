import WaggleAssembly
import WaggleBase
import WaggleContent
import WaggleFormats
import WaggleNetwork

/// `stats providers`: what was learned of those who served us.
enum ProviderCommands {
    static let stat = Command(
        "providers", "Show how peers have served this node.",
        description: """
            Lists the peers that blocks were asked of, best first: the share of answers among all that was asked (older ones count less), how long an
            answer takes, how fast content comes, how much came in all, and how long a usual block will probably take. Those at the top are asked
            first.
            """,
        example: "> waggle stats providers -n 10", options: [.integer("count", "n", about: "Peers shown at most.", default: 100)],
        text: { value, _ in text(value) }
    ) { request, session, emitter in
        let online = try session.online
        let limit = Int(clamping: request.integer("count") ?? 100)
        guard limit > 0 else { throw CommandError("the number of peers must be greater than 0") }
        let rows = online.routing.providers.all.prefix(limit).map { row -> JSON in
            [
                "ID": .string(row.peer.description), "Reliability": .number(row.record.reliability),
                "Latency": row.record.latency.map { JSON(Int64($0 * 1e9)) } ?? .null, "Rate": row.record.rate.map { .number($0) } ?? .null,
                "Bytes": JSON(row.record.bytes), "Expected": JSON(Int64(row.record.expectedTime() * 1e9)),
                "LastUse": .string(row.record.lastUse.rfc3339), "Connected": .bool(online.swarm.isConnected(row.peer)),
            ]
        }
        try await emitter.emitOnce(["Providers": .array(Array(rows))])
    }

    private static func text(_ value: JSON) -> String {
        var rows = "Peer\tReliability\tLatency\tRate\tBytes\tExpected\n"
        for row in value["Providers"]?.array ?? [] {
            let state = row["Connected"] == true ? "@" : " "
            let latency = row["Latency"]?.integer.map { "\(Decimal.fixed(Double($0) / 1e6, places: 1)) ms" } ?? "-"
            let rate = row["Rate"]?.double.map { ByteSize.human(UInt64($0)) + "/s" } ?? "-"
            rows += "\(state) \(row["ID"]?.string ?? "")\t\(Decimal.fixed((row["Reliability"]?.double ?? 0) * 100, places: 0)) %\t\(latency)\t\(rate)\t"
            rows += "\(ByteSize.human(UInt64(clamping: row["Bytes"]?.integer ?? 0)))\t\(Decimal.fixed(Double(row["Expected"]?.integer ?? 0) / 1e6, places: 1)) ms\n"
        }
        return AlignedText.lay(rows, padding: 2)
    }
}
