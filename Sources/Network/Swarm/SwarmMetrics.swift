import Synchronization
import WaggleBase
import WaggleFormats

/// What a swarm counts for its operators. The labels of every series are names of this program, never texts of a remote.
final class SwarmMetrics: Sendable {
    /// What tells kinds of connections apart.
    struct Kind: Hashable {
        let direction: Direction
        let transport: String
        let security: ProtocolID
        let muxer: ProtocolID

        init(_ connection: Connection) {
            direction = connection.direction
            transport = connection.remoteAddress.transportName
            security = connection.security.channel
            muxer = connection.muxer
        }

        var labels: KeyValuePairs<String, String> {
            ["dir": direction.rawValue, "transport": transport, "security": security.text, "muxer": muxer.text]
        }
    }

    private struct Counts {
        var secured: [SecurityInfo: UInt64] = [:]
        var downgrades: [Direction: UInt64] = [:]
        var opened: [Kind: UInt64] = [:]
        var closed: [Kind: UInt64] = [:]
        var duration = Histogram(bounds: Histogram.lifetimeBounds)
        var roundTrips = Histogram(bounds: Histogram.latencyBounds)
        var dialLatency: [Bool: Histogram] = [:]
        var handshakeLatency = Histogram(bounds: Histogram.latencyBounds)
        var dialErrors: [DialErrorKey: UInt64] = [:]
        var handshakeErrors: [String: UInt64] = [:]
        var refusals: [Refusal: UInt64] = [:]
        var bytesOfClosed = (received: UInt64(0), sent: UInt64(0))
    }

    private struct DialErrorKey: Hashable {
        let transport: String
        let error: String
    }

    private let counts = Mutex(Counts())

    func opened(_ connection: Connection) {
        counts.withLock {
            $0.opened[Kind(connection), default: 0] += 1
            $0.secured[connection.security, default: 0] += 1
        }
    }

    /// A connection was given up because the negotiation had been tampered with.
    func downgraded(_ direction: Direction) { counts.withLock { $0.downgrades[direction, default: 0] += 1 } }

    /// Under the lock of the connection table, so that no bytes are missed or counted twice.
    func closed(_ connection: Connection, at now: Instant) {
        counts.withLock { counts in
            counts.closed[Kind(connection), default: 0] += 1
            counts.duration.record(now - connection.openedAt)
            counts.bytesOfClosed.received += UInt64(clamping: connection.bytesIn)
            counts.bytesOfClosed.sent += UInt64(clamping: connection.bytesOut)
        }
    }

    func measured(_ roundTrip: Duration) { counts.withLock { $0.roundTrips.record(roundTrip) } }

    func refused(_ refusal: Refusal) { counts.withLock { $0.refusals[refusal, default: 0] += 1 } }

    func shookHands(_ result: Result<Void, TransportError>, in time: Duration) {
        counts.withLock { counts in
            switch result {
            case .success: counts.handshakeLatency.record(time)
            case .failure(let error): counts.handshakeErrors[error.label, default: 0] += 1
            }
        }
    }

    func dialed(_ address: Multiaddr, _ result: Result<Connection, TransportError>, in time: Duration) {
        counts.withLock { counts in
            var isSuccess = false
            switch result {
            case .success: isSuccess = true
            case .failure(.cancelled): return
            case .failure(let error): counts.dialErrors[DialErrorKey(transport: address.transportName, error: error.label), default: 0] += 1
            }
            counts.dialLatency[isSuccess, default: Histogram(bounds: Histogram.latencyBounds)].record(time)
        }
    }

    /// Adds everything; `live` are the bytes of the open connections.
    func report(to report: inout MetricReport, live: (received: UInt64, sent: UInt64)) {
        let counts = counts.withLock { $0 }
        report.declare("libp2p_swarm_connections_opened_total", "Connections opened.", .counter)
        report.declare("libp2p_swarm_connections_closed_total", "Connections closed.", .counter)
        report.declare("libp2p_swarm_dial_errors_total", "Dials of single addresses that failed.", .counter)
        report.declare("libp2p_swarm_dial_latency_seconds", "How long dials of single addresses took, handshake included.", .histogram)
        for (kind, count) in counts.opened.sorted(by: { $0.key.order < $1.key.order }) {
            report.counter("libp2p_swarm_connections_opened_total", "Connections opened.", count, kind.labels)
        }
        for (kind, count) in counts.closed.sorted(by: { $0.key.order < $1.key.order }) {
            report.counter("libp2p_swarm_connections_closed_total", "Connections closed.", count, kind.labels)
        }
        for (security, count) in counts.secured.sorted(by: { $0.key.order < $1.key.order }) {
            report.counter("waggle_security_connections_total", "Connections opened, by how they are secured.", count, security.labels)
        }
        for direction in [Direction.inbound, .outbound] {
            report.counter(
                "waggle_security_downgrades_total", "Connections given up because someone tampered with the negotiation.",
                counts.downgrades[direction] ?? 0, ["dir": direction.rawValue])
        }
        report.histogram("libp2p_swarm_connection_duration_seconds", "How long closed connections stood.", counts.duration)
        report.histogram(
            "libp2p_swarm_handshake_latency_seconds", "How long handshakes of inbound connections took.", counts.handshakeLatency)
        // An attack shall be seen as a step from 0.
        report.counter("libp2p_swarm_handshake_errors_total", "Inbound handshakes that failed.", 0, ["error": "downgraded"])
        for (error, count) in counts.handshakeErrors.sorted(by: { $0.key < $1.key }) {
            report.counter("libp2p_swarm_handshake_errors_total", "Inbound handshakes that failed.", count, ["error": error])
        }
        for (isSuccess, latency) in counts.dialLatency.sorted(by: { $0.key && !$1.key }) {
            report.histogram(
                "libp2p_swarm_dial_latency_seconds", "How long dials of single addresses took, handshake included.", latency,
                ["outcome": isSuccess ? "success" : "failed"])
        }
        for (key, count) in counts.dialErrors.sorted(by: { ($0.key.transport, $0.key.error) < ($1.key.transport, $1.key.error) }) {
            report.counter("libp2p_swarm_dial_errors_total", "Dials of single addresses that failed.", count, ["transport": key.transport, "error": key.error])
        }
        for refusal in Refusal.allCases {
            let count = counts.refusals[refusal] ?? 0
            report.counter("libp2p_rcmgr_blocked_resources_total", "What limits and rules refused.", count, ["resource": refusal.rawValue])
            report.counter("p2p_rejects_total", "What was rejected, by reason.", count, ["reason": refusal.rawValue])
        }
        report.histogram("p2p_rtt_seconds", "Round-trip times of connections.", counts.roundTrips)
        report.counter("p2p_bytes_total", "Bytes on the network, encryption included.", counts.bytesOfClosed.received + live.received, ["dir": "in"])
        report.counter("p2p_bytes_total", "Bytes on the network, encryption included.", counts.bytesOfClosed.sent + live.sent, ["dir": "out"])
    }
}

extension SwarmMetrics.Kind {
    var order: String { "\(direction.rawValue) \(transport) \(security.text) \(muxer.text)" }
}

extension SecurityInfo {
    fileprivate var order: String { "\(channel.text) \(keyExchange) \(signature) \(transcriptVerified)" }

    fileprivate var labels: KeyValuePairs<String, String> {
        ["channel": channel.text, "kem": keyExchange, "signature": signature, "verified": transcriptVerified ? "yes" : "no"]
    }
}

extension Multiaddr {
    /// The outermost transport, one of a few names.
    var transportName: String {
        if contains(.p2pCircuit) { return "relay" }
        for kind in [MultiaddrProtocol.webRTCDirect, .webRTC, .webTransport, .quicV1, .quic, .wss, .ws, .memory, .tcp, .unix] where contains(kind) {
            return kind.name
        }
        return "other"
    }
}

extension TransportError {
    /// The kind of the error, without what a remote may choose.
    var label: String {
        switch self {
        case .network(let error):
            switch error {
            case .connectionRefused: "connection_refused"
            case .unreachable, .addressNotAvailable: "unreachable"
            case .timedOut: "timeout"
            case .outOfDescriptors: "out_of_descriptors"
            case .addressInUse, .permissionDenied, .cancelled, .other: "network"
            }
        case .handshake(let error):
            switch error {
            case .negotiation: "negotiation"
            case .handshake(.downgraded): "downgraded"
            case .handshake: "handshake"
            case .record: "record"
            case .noCommonChannel: "no_common_channel"
            case .classicalPeer: "classical_peer"
            case .turnedAway: "turned_away"
            case .noCommonMuxer: "no_common_muxer"
            case .timedOut: "timeout"
            case .truncated: "truncated"
            }
        case .wrongPeer: "wrong_peer"
        case .refused: "refused"
        case .unsupportedAddress: "unsupported_address"
        case .unresolved: "unresolved"
        case .timedOut: "timeout"
        case .backOff: "back_off"
        case .cancelled: "cancelled"
        }
    }
}

/// Reports for a swarm without keeping it.
final class SwarmSource: MetricSource {
    private weak let swarm: Swarm?

    init(_ swarm: Swarm) { self.swarm = swarm }

    func report(to report: inout MetricReport) { swarm?.report(to: &report) }
}

/// The numbers of connections, dials, limits and peers.
extension Swarm {
    func report(to report: inout MetricReport) {
        let (ledger, peers) = table.withLock { table in
            var live = (received: UInt64(0), sent: UInt64(0))
            for entry in table.entries.values {
                live.received += UInt64(clamping: entry.connection.bytesIn)
                live.sent += UInt64(clamping: entry.connection.bytesOut)
            }
            // Inside, so that no connection is live and closed at once.
            counting.report(to: &report, live: live)
            return (table.ledger, table.peerCount)
        }
        report.gauge("p2p_peers", "Peers by state.", peers, ["state": "connected"])
        report.gauge("p2p_peers", "Peers by state.", addressBook.count, ["state": "known"])
        report.gauge("p2p_peers", "Peers by state.", dialer.attemptCount, ["state": "dialing"])
        reputation.report(to: &report)
        let connections = "libp2p_rcmgr_connections"
        report.gauge(connections, "Connections, by scope.", ledger.inbound, ["dir": "inbound", "scope": "system"])
        report.gauge(connections, "Connections, by scope.", ledger.outbound, ["dir": "outbound", "scope": "system"])
        report.gauge(connections, "Connections, by scope.", ledger.pendingInbound, ["dir": "inbound", "scope": "transient"])
        report.gauge(connections, "Connections, by scope.", ledger.pendingOutbound, ["dir": "outbound", "scope": "transient"])
        let streams = "libp2p_rcmgr_streams"
        report.gauge(streams, "Inbound streams, by scope.", ledger.inboundStreams, ["dir": "inbound", "scope": "system", "protocol": ""])
        for (id, count) in services.withLock({ $0.streamCounts }) {
            report.gauge(streams, "Inbound streams, by scope.", count, ["dir": "inbound", "scope": "protocol", "protocol": id])
        }
        report.gauge("libp2p_rcmgr_memory", "Bytes that the buffers of streams take.", memory.used.bytes, ["scope": "system"])
        let limits = ledger.limits
        report.queue("connections", length: ledger.connections, limit: limits.connections)
        report.queue("inbound handshakes", length: ledger.pendingInbound, limit: limits.pendingInbound)
        report.queue("dials under way", length: ledger.pendingOutbound, limit: limits.pendingOutbound)
        report.queue("dials in line", length: dialer.queueCount, limit: configuration.dialing.queue)
        report.queue("inbound streams", length: ledger.inboundStreams, limit: limits.streams)
        report.queue("stream buffers in bytes", length: memory.used.bytes, limit: memory.limit.bytes)
        for (resource, limit) in [
            ("connections", limits.connections), ("inbound_connections", limits.inboundConnections),
            ("outbound_connections", limits.outboundConnections), ("streams", limits.streams), ("memory", memory.limit.bytes),
        ] {
            report.gauge("libp2p_rcmgr_limit", "Limits of the whole node.", limit, ["resource": resource])
        }
    }
}
