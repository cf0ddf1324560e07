import WaggleAssembly
import WaggleBase
import WaggleFormats
import WaggleNetwork
import WaggleServices

/// `ping`: round trips to a peer.
enum PingCommand {
    /// Between two pings.
    private static let interval = Duration.seconds(1)

    static let command: Command = Command(
        "ping", "Send echo request packets to IPFS hosts.",
        description: "Sends pings to a peer, waits for pongs, and prints out round-trip latency information.",
        example: "> waggle ping -n 3 /ip4/10.0.0.7/tcp/4701/p2p/12D3KooW…",
        arguments: [.string("peer ID", "ID of peer to be pinged.", variadic: true, input: true)],
        options: [.integer("count", "n", about: "Number of ping messages to send.", default: 10)],
        text: { value, _ in
            if let text = value["Text"]?.string, !text.isEmpty { return text + "\n" }
            guard value["Success"] == true else { return "Pong failed\n" }
            return "Pong received: time=\(Decimal.fixed(Double(value["Time"]?.integer ?? 0) / 1e6, places: 2)) ms\n"
        }
    ) { request, session, emitter in
        let online = try session.online
        let (peer, address) = try PeerAddress.parse(request.arguments[0])
        guard peer != online.swarm.localPeer else { throw CommandError("error: can't ping self") }
        let count = Int(request.integer("count") ?? 10)
        guard count > 0 else { throw CommandError("ping count must be greater than 0, was \(count)") }
        do throws(SwarmError) { _ = try await online.swarm.connect(to: peer, addresses: address.map { [$0] } ?? [], ignoringBackOff: true) } catch {
            if case .noAddresses = error {
                try await emitter.emit(result(text: "Looking up peer \(peer)"))
                throw CommandError("peer lookup failed: \(SwarmText.explain(error))")
            }
            try await emitter.emit(result(text: "PING \(peer)."))
            try await emitter.emit(result(success: false, text: "Ping error: \(SwarmText.explain(error))"))
            throw CommandError("ping failed")
        }
        try await emitter.emit(result(text: "PING \(peer)."))
        let told = PingTell(emitter)
        let roundTrips = try await online.ping.pings(to: peer, count: count, interval: interval) { await told.pong($1) }
        let total = roundTrips.reduce(0.0) { $0 + Double($1.wholeNanoseconds) / 1e6 }
        try await emitter.emit(result(text: "Average latency: \(Decimal.fixed(total / Double(max(1, roundTrips.count)), places: 2))ms"))
    }

    fileprivate static func result(success: Bool = true, time: Duration = .zero, text: String = "") -> JSON {
        ["Success": .bool(success), "Time": JSON(time.wholeNanoseconds), "Text": .string(text)]
    }
}

private struct PingTell: Sendable {
    let emitter: any Emitter
    init(_ emitter: any Emitter) { self.emitter = emitter }

    /// A client that has gone ends the command at its next output.
    func pong(_ time: Duration) async { do { try await emitter.emit(PingCommand.result(time: time)) } catch {} }
}

/// Short durations as text.
enum PingText {
    static func duration(_ duration: Duration) -> String {
        let nanoseconds = Double(duration.wholeNanoseconds)
        if nanoseconds < 1e3 { return "\(Int(nanoseconds))ns" }
        if nanoseconds < 1e6 { return "\(Decimal.fixed(nanoseconds / 1e3, places: 3))µs" }
        if nanoseconds < 1e9 { return "\(Decimal.fixed(nanoseconds / 1e6, places: 6))ms" }
        return "\(Decimal.fixed(nanoseconds / 1e9, places: 3))s"
    }
}
