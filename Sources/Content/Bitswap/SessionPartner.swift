import WaggleBase
import WaggleFormats
import WaggleNetwork

extension SessionMachine {
    /// A connected peer, as one that may have what we want.
    struct Partner {
        enum State: Equatable {
            /// Connected; nobody wanted anything yet.
            case idle
            /// A stream to it is being opened.
            case opening
            case ready(BitswapVersion)
            /// Speaks no bitswap, or misbehaved until the instant passes.
            case ignored(until: Instant)
        }

        var state = State.idle
        /// In the order in which peers connected.
        let number: UInt64
        /// Blocks asked for, not answered, with the moment of asking.
        var outstanding: [Multihash: Instant] = [:]
        /// Wants the peer keeps for us.
        var told = 0
        /// How many blocks may be outstanding.
        var window = BitswapLimits.initialWindow
        /// From asking to getting, smoothed, in seconds; nil before the first block.
        var delay: Double?
        /// Bytes a second while blocks are outstanding, smoothed.
        var rate: Double?
        /// When it last sent something, or was last asked while nothing was outstanding.
        var lastProgress = Instant(nanoseconds: 0)
        /// Stalls since it last sent a block, and until when others are preferred because of them.
        var stalls = 0
        var avoidedUntil = Instant(nanoseconds: 0)
        /// Blocks it sent that nobody asked for.
        var unrequested = 0
        var duplicates = 0
        /// What is remembered of it from before it connected.
        var prior: ProviderRecord?

        var version: BitswapVersion? { if case .ready(let version) = state { version } else { nil } }
        var hasRoom: Bool { outstanding.count < window }

        /// How long a peer may owe blocks without sending anything.
        var stall: Duration {
            let measured = Duration.seconds((delay ?? 0) * 4)
            return min(max(measured, BitswapLimits.shortestStall), BitswapLimits.longestStall)
        }

        var stallsAt: Instant? { outstanding.isEmpty ? nil : lastProgress + stall }

        /// Blocks arrived at once.
        mutating func received(blocks: Int, bytes: Int, askedAt: Instant?, at now: Instant) {
            let since = max(lastProgress, askedAt ?? lastProgress)
            let seconds = Double(max(1, (now - since).wholeNanoseconds)) / 1e9
            let sample = Double(bytes) / seconds
            rate = rate.map { $0 * 0.75 + sample * 0.25 } ?? sample
            if let askedAt {
                let sample = Double((now - askedAt).wholeNanoseconds) / 1e9
                delay = delay.map { $0 * 0.75 + sample * 0.25 } ?? sample
            }
            // Grows like a slow start as long as the window is what limits.
            if outstanding.count + blocks >= window / 2 { window = min(window + blocks, BitswapLimits.largestWindow) }
            lastProgress = now
            stalls = 0
            avoidedUntil = Instant(nanoseconds: 0)
        }

        mutating func stalled(at now: Instant) {
            stalls = min(stalls + 1, 6)
            avoidedUntil = now + min(BitswapLimits.shortestStall * (1 << stalls), BitswapLimits.longestAvoidance)
            window = max(window / 2, BitswapLimits.smallestWindow)
            rate = rate.map { $0 / 2 }
            lastProgress = now
        }

        /// Bytes a second, as measured now or, before the first block, as remembered.
        var knownRate: Double? { rate ?? prior?.rate }

        /// Seconds until a block asked of it now would be here. An unmeasured peer counts like the best one, to be tried; one that is
        /// remembered counts more or less by how often it answered.
        func expectation(blockSize: Double, bestRate: Double) -> Double {
            let time = (delay == nil && prior == nil ? 0.01 : 0) + Double(outstanding.count + 1) * blockSize / max(1, knownRate ?? bestRate)
            guard delay == nil, let prior else { return time }
            let trust = 2 * prior.reliability
            return time / (trust * trust)
        }
    }
}
