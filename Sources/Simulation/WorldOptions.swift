import WaggleBase

/// How a link between two hosts behaves.
public struct LinkOptions: Sendable {
    /// Time one way.
    public var latency: Duration
    /// Each segment takes up to this much longer; order is kept.
    public var jitter: Duration
    /// Bytes a second each way; nil for no limit.
    public var bandwidth: Int?
    /// The share of datagrams that is lost, and that comes twice. Byte streams do not notice.
    public var loss = 0.0
    public var duplication = 0.0

    public init(latency: Duration = .milliseconds(5), jitter: Duration = .milliseconds(1), bandwidth: Int? = nil) {
        self.latency = latency
        self.jitter = jitter
        self.bandwidth = bandwidth
    }
}

/// What holds for a whole world. The defaults resemble Linux.
public struct WorldOptions: Sendable {
    /// The link between hosts that have no link of their own.
    public var link = LinkOptions()
    /// The link of a host to itself.
    public var loopback = LinkOptions(latency: .microseconds(20), jitter: .microseconds(5))
    /// Bytes that a socket keeps for sending before `write` says `wouldBlock`.
    public var sendBuffer = 64 << 10
    /// Bytes that a socket takes in before its owner reads.
    public var receiveWindow = 128 << 10
    /// Segments have a random size in this range, so frames arrive split anywhere.
    public var segmentSize = 1...16_384
    /// Every so many segments one of at most 16 bytes, on average; 0 for never.
    public var tinySegmentEvery = 8
    /// After this long without an answer an attempt to connect gives up (Linux: 127 s).
    public var connectTimeout: Duration = .seconds(127)
    /// After this long without an acknowledgement a connection is given up (Linux: about 15 minutes).
    public var retransmissionTimeout: Duration = .seconds(924)
    /// What a commit costs, without and with a flush of the device.
    public var commitTime: Duration = .microseconds(50)
    public var flushTime: Duration = .milliseconds(1)
    /// What offloaded work costs.
    public var offloadTime: Duration = .microseconds(100)
    /// What work costs of each host's processor; nil for nothing.
    public var processor: ProcessorOptions?
    /// Size of each host's disk in bytes; change it on the host.
    public var diskSize: Int64 = 1 << 40
    /// The time of day at the start: 2026-01-01.
    public var wallTime = WallTime(nanoseconds: 1_767_225_600_000_000_000)
    /// Keeps the trace as text too.
    public var keepsTraceLines = false
    /// Records at this level and above are kept in `World.logLines`; nil for none.
    public var logLevel: LogLevel?

    public init() {}
}

/// Why a run ended before its body did. Every case names the seed, with which the run can be repeated.
public enum WorldError: Error, Equatable, Sendable, CustomStringConvertible {
    /// No task is ready and no timer is armed, but the body has not ended. A task that waits outside of the world, for example in
    /// `Task.sleep`, counts as not ready.
    case deadlock(seed: UInt64, at: Instant)
    /// The body took longer than the limit in virtual time.
    case timeLimit(seed: UInt64, limit: Duration)
    /// Tasks kept running without time going on.
    case livelock(seed: UInt64, at: Instant)

    public var description: String {
        switch self {
        case .deadlock(let seed, let at):
            "deadlock at \(at.nanoseconds / 1000) µs: nothing is left to run, but the body waits (seed \(seed))"
        case .timeLimit(let seed, let limit): "the body did not end within \(limit) of virtual time (seed \(seed))"
        case .livelock(let seed, let at): "tasks spin at \(at.nanoseconds / 1000) µs without time going on (seed \(seed))"
        }
    }
}
