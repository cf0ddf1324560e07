import WaggleBase
import WaggleFormats

/// One attempt to reach a peer over its addresses: says which to dial when, and when all has been tried.
///
/// ```
/// waiting ──turn comes, or an earlier one failed──▶ dialing ──▶ failed
///                                                     └───────▶ connected (ends the attempt)
/// ```
struct DialMachine: Machine {
    enum Input {
        /// More addresses for the running attempt.
        case add([RankedAddress])
        case failed(Multiaddr, TransportError)
        case connected
        /// The deadline passed.
        case tick
    }

    enum Output: Equatable {
        case dial(Multiaddr)
        /// Every address failed.
        case exhausted([DialFailure])
        /// The attempt took too long; what was still under way counts as timed out.
        case timedOut([DialFailure])
    }

    private let concurrency: Int
    private let limit: Int
    private let end: Instant
    private var waiting: [(address: Multiaddr, at: Instant)] = []
    private var dialing: [Multiaddr] = []
    private var failures: [DialFailure] = []
    private var known: Set<Multiaddr> = []
    private var outputs = Deque<Output>()
    private var ended = false

    /// - Parameters:
    ///   - concurrency: dials at once.
    ///   - addressLimit: addresses tried in all.
    ///   - end: when the attempt is given up.
    init(concurrency: Int, addressLimit: Int, end: Instant) {
        self.concurrency = concurrency
        self.limit = addressLimit
        self.end = end
    }

    mutating func handle(_ input: consuming Input, at now: Instant) {
        guard !ended else { return }
        switch input {
        case .add(let addresses):
            for ranked in addresses where known.count < limit && known.insert(ranked.address).inserted {
                waiting.append((ranked.address, now + ranked.delay))
            }
            waiting.sort { $0.at < $1.at }
        case .failed(let address, let cause):
            guard let index = dialing.firstIndex(of: address) else { return }
            dialing.remove(at: index)
            failures.append(DialFailure(address: address, cause: cause))
            // What failed makes room: the next need not wait for its turn.
            if !waiting.isEmpty { waiting[0].at = now }
        case .connected:
            ended = true
            return
        case .tick:
            break
        }
        advance(now)
    }

    mutating func next() -> Output? { outputs.popFirst() }

    var deadline: Instant? {
        if ended { return nil }
        guard let first = waiting.first, dialing.count < concurrency else { return end }
        return min(first.at, end)
    }

    private mutating func advance(_ now: Instant) {
        if now >= end {
            ended = true
            let late = (dialing + waiting.map(\.address)).map { DialFailure(address: $0, cause: .timedOut) }
            outputs.append(.timedOut(failures + late))
            return
        }
        while dialing.count < concurrency, let first = waiting.first, first.at <= now {
            waiting.removeFirst()
            dialing.append(first.address)
            outputs.append(.dial(first.address))
        }
        if dialing.isEmpty, waiting.isEmpty {
            ended = true
            outputs.append(.exhausted(failures))
        }
    }
}
