import WaggleBase
import WaggleFormats

/// What an attempt is to reach: a peer, or whoever answers at an address.
enum DialTarget: Hashable, Sendable {
    case peer(PeerID)
    case address(Multiaddr)

    var peer: PeerID? { if case .peer(let peer) = self { peer } else { nil } }
}

/// One attempt and everyone who waits for it. Belongs to the home loop.
final class DialAttempt: @unchecked Sendable {
    let target: DialTarget
    /// Counts attempts, so that they can be put in order.
    let number: UInt64
    var machine: DialMachine
    /// Addresses that were not tried because they failed lately.
    let skipped: [DialFailure]
    var dials: [AddressDial] = []
    var outcome: Result<Connection, SwarmError>?
    /// Callers that wait.
    var interested = 0
    let finished: Waiter
    var alarm: Alarm?

    init(_ target: DialTarget, number: UInt64, _ machine: DialMachine, skipped: [DialFailure], on loop: any EventLoop) {
        self.target = target
        self.number = number
        self.machine = machine
        self.skipped = skipped
        finished = Waiter(on: loop)
    }
}

/// One dial of one address, waiting for a free place or under way. Belongs to the home loop.
final class AddressDial: @unchecked Sendable {
    let address: Multiaddr
    let scope = TaskScope()
    var timer: Timer?
    var startedAt = Instant(nanoseconds: 0)
    var hasTimedOut = false
    var isAbandoned = false

    init(_ address: Multiaddr) { self.address = address }
}
