import WaggleAssembly
import WaggleBase
import WaggleFormats
import WaggleNetwork
import WaggleRuntime
import WaggleServices

/// `waggle-bench peer`: a node that is driven by hand or by `scripts/interop`, against peers of other implementations. One JSON object a line.
///
/// ```
/// peer listen [--listen MULTIADDR]… [--policy classical|prefer|require]      until SIGTERM
/// peer dial MULTIADDR [--policy …] ACTION…                                   identify  ping:N  echo:BYTES:STREAMS  halfclose:BYTES:STREAMS  perf:UP:DOWN  streams:N  connects:N
/// ```
/// With `--kad` the node is a server of the hash table `/ipfs/kad/1.0.0`, with all addresses; see `KademliaActions`.
enum PeerCommand {
    static func run(_ arguments: [String]) throws {
        var arguments = arguments[...]
        guard let mode = arguments.popFirst() else { throw PeerCommandError.usage }
        var configuration = NodeConfiguration.preset(.lan)
        configuration.listen = []
        configuration.servesPerf = true
        configuration.gate = ConnectionGate.Rules()
        var rest: [String] = []
        var kademlia: KademliaActions?
        while let argument = arguments.popFirst() {
            switch argument {
            case "--listen":
                guard let address = arguments.popFirst() else { throw PeerCommandError.usage }
                configuration.listen.append(try Multiaddr(parsing: address))
            case "--policy":
                guard let name = arguments.popFirst(), let policy = SecurityPolicy(rawValue: name) else { throw PeerCommandError.usage }
                configuration.policy = policy
            case "--kad": kademlia = KademliaActions()
            default: rest.append(argument)
            }
        }
        LinuxSystem.ignoreBrokenPipes()
        let system = LinuxSystem(log: LinuxLog(level: .warning))
        defer { system.shutdown() }
        let settings = configuration
        let words = rest
        let actions = kademlia
        do { try run(mode, settings, words, actions, system) } catch {
            Line("failed").add("error", "\(error)").print()
            system.shutdown()
            PeerOutput.exit(1)
        }
    }

    private static func run(
        _ mode: String, _ settings: NodeConfiguration, _ words: [String], _ kademlia: KademliaActions?, _ system: LinuxSystem
    ) throws {
        switch mode {
        case "listen":
            var listening = settings
            if listening.listen.isEmpty { listening.listen = [try Multiaddr(parsing: "/ip4/127.0.0.1/tcp/0")] }
            let configuration = listening
            try system.runBlocking { try await listen(configuration, kademlia, system) }
        case "dial": try system.runBlocking { try await dial(settings, words, kademlia, system) }
        default: throw PeerCommandError.usage
        }
    }

    // MARK: Listening

    private static func listen(_ configuration: NodeConfiguration, _ kademlia: KademliaActions?, _ system: LinuxSystem) async throws {
        let node = try await Node(configuration, on: system)
        node.add(EchoService())
        if let kademlia { node.add(kademlia.kademlia) }
        let observation = node.swarm.observe(on: system.home) { event in
            switch event {
            case .connected(let connection): report("connected", connection)
            case .identified(_, let information): report("identified", information)
            default: break
            }
        }
        try await node.run { node in
            Line("ready").add("peer", node.peer.description).add("addresses", node.listenAddresses.map { $0.with(peer: node.peer).description }).print()
            _ = try await system.nextSignal()
        }
        observation.cancel()
    }

    // MARK: Dialing

    private static func dial(
        _ configuration: NodeConfiguration, _ words: [String], _ kademlia: KademliaActions?, _ system: LinuxSystem
    ) async throws {
        guard let target = words.first else { throw PeerCommandError.usage }
        let address = try Multiaddr(parsing: target)
        let node = try await Node(configuration, on: system)
        node.add(EchoService())
        if let kademlia { node.add(kademlia.kademlia) }
        try await node.run { node in
            let start = system.home.now
            let connection = try await node.connect(address)
            report("connected", connection, (await system.home.run { system.home.now }) - start)
            for word in words.dropFirst() {
                let parts = word.split(separator: ":", maxSplits: 1).map(String.init)
                if let fields = try await kademlia?.act(parts[0], parts.count > 1 ? parts[1] : "", node) {
                    fields.reduce(Line(parts[0])) { $0.add($1.0, $1.1) }.print()
                    continue
                }
                try await act(word, node, try await node.swarm.connect(to: connection.peer))
            }
        }
    }

    private static func act(_ word: String, _ node: Node, _ connection: Connection) async throws {
        let parts = word.split(separator: ":").map(String.init)
        func number(_ index: Int, _ standard: Int) throws -> Int {
            guard index < parts.count else { return standard }
            guard let value = Int(parts[index]), value >= 0 else { throw PeerCommandError.usage }
            return value
        }
        switch parts.first {
        case "identify":
            guard let information = try await node.identify?.identify(connection) else { return }
            report("identified", information)
        case "ping":
            guard let ping = node.ping else { return }
            let times = try await ping.pings(to: connection.peer, count: try number(1, 10)).map(\.microseconds).sorted()
            guard let first = times.first, let last = times.last else { return }
            Line("ping").add("count", times.count).add("minimum µs", first).add("median µs", times[times.count / 2]).add("maximum µs", last).print()
        case "echo", "halfclose":
            let transfer = EchoTransfer(
                bytes: try number(1, 1 << 20), streams: max(1, try number(2, 1)), protocolID: "/echo/1.0.0", finishesEarly: parts[0] == "halfclose")
            let time = try await transfer.run(connection)
            Line("echo").add("bytes", transfer.bytes * transfer.streams).add("streams", transfer.streams).add("seconds", time.seconds)
                .add("MB/s each way", Double(transfer.bytes * transfer.streams) / time.seconds / 1e6).print()
        case "perf":
            let (up, down) = (try number(1, 0), try number(2, 0))
            let perf = Perf()
            perf.registered(on: node.swarm)
            let result = try await perf.measure(connection.peer, upload: UInt64(up), download: UInt64(down))
            Line("perf").add("upload MB/s", up == 0 ? 0 : Double(up) / result.upload.seconds / 1e6)
                .add("download MB/s", down == 0 ? 0 : Double(down) / result.download.seconds / 1e6).print()
        case "connects":
            let peer = connection.peer
            let clock = ContinuousClock()
            var times: [Int] = []
            for _ in 0..<max(1, try number(1, 100)) {
                await node.swarm.disconnect(peer)
                times.append(try await clock.measure { _ = try await node.swarm.connect(to: peer, ignoringBackOff: true) }.microseconds)
            }
            times.sort()
            Line("connects").add("count", times.count).add("minimum µs", times[0]).add("median µs", times[times.count / 2])
                .add("maximum µs", times[times.count - 1]).print()
        case "streams":
            let count = try number(1, 1000)
            let time = try await connection.loop.run { () async throws -> Duration in
                let start = connection.loop.now
                for _ in 0..<count {
                    let stream = try await connection.openStream(["/echo/1.0.0"])
                    try await stream.write("x")
                    stream.finish()
                    guard try await stream.readAll(limit: .kibibytes(1)) == "x" else { throw PeerCommandError.mismatch }
                }
                return connection.loop.now - start
            }
            Line("streams").add("count", count).add("per second", Double(count) / time.seconds).print()
        default: throw PeerCommandError.usage
        }
    }

    // MARK: Reports

    private static func report(_ event: String, _ connection: Connection, _ time: Duration? = nil) {
        var line = Line(event).add("peer", connection.peer.description).add("direction", connection.direction.rawValue)
            .add("channel", connection.security.channel.text).add("key exchange", connection.security.keyExchange)
            .add("muxer", connection.muxer.text).add("address", connection.remoteAddress.description)
        if let time { line = line.add("µs", time.microseconds) }
        line.print()
    }

    private static func report(_ event: String, _ information: PeerInformation) {
        Line(event).add("peer", information.peer.description).add("agent", information.agentVersion)
            .add("version", information.protocolVersion).add("protocols", information.protocols.map(\.text))
            .add("addresses", information.listenAddresses.map(\.description)).add("observed", information.observedAddress?.description ?? "")
            .add("certified", information.signedRecord != nil).print()
    }
}

enum PeerCommandError: Error, CustomStringConvertible {
    case usage
    /// What came back is not what was sent.
    case mismatch

    var description: String {
        switch self {
        case .usage: "usage: peer listen [OPTION…] | peer dial MULTIADDR [OPTION…] ACTION… | idle-peers MULTIADDR COUNT"
        case .mismatch: "what came back is not what was sent"
        }
    }
}

extension Duration {
    fileprivate var microseconds: Int { Int(wholeNanoseconds / 1000) }
    fileprivate var seconds: Double { max(Double(wholeNanoseconds), 1) / 1e9 }
}

/// One line of output: a flat JSON object.
private struct Line {
    private var text: String

    init(_ event: String) { text = "{\"event\":" + Line.quoted(event) }

    func add(_ name: String, _ value: String) -> Line { adding(name, Line.quoted(value)) }
    func add(_ name: String, _ value: Int) -> Line { adding(name, String(value)) }
    func add(_ name: String, _ value: Double) -> Line { adding(name, Measure.text(value)) }
    func add(_ name: String, _ value: Bool) -> Line { adding(name, value ? "true" : "false") }
    func add(_ name: String, _ values: [String]) -> Line { adding(name, "[" + values.map(Line.quoted).joined(separator: ",") + "]") }

    func print() { PeerOutput.write(text + "}\n") }

    private func adding(_ name: String, _ value: String) -> Line {
        var line = self
        line.text += "," + Line.quoted(name) + ":" + value
        return line
    }

    private static func quoted(_ text: String) -> String {
        var quoted = "\""
        for scalar in text.unicodeScalars {
            switch scalar {
            case "\"", "\\": quoted += "\\\(scalar)"
            case _ where scalar.value < 0x20:
                let hex = String(scalar.value, radix: 16)
                quoted += "\\u" + String(repeating: "0", count: 4 - hex.count) + hex
            default: quoted.unicodeScalars.append(scalar)
            }
        }
        return quoted + "\""
    }
}
