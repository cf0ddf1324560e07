import Synchronization
import WaggleBase
import WaggleNetwork

/// A peer that speaks publish-subscribe, or is being asked whether it does, as the shell sees it: the number that the machine knows it by, and
/// what its writer waits for.
final class PeerLane: Sendable {
    let number: UInt32
    let peer: PeerID

    private struct State {
        var loop: (any EventLoop)?
        var waiter: Waiter?
        var isWriting = false
        var isEnded = false
        var inbound = 0
    }

    private let state = Mutex(State())

    init(_ number: UInt32, _ peer: PeerID) {
        self.number = number
        self.peer = peer
    }

    /// Whether the caller shall open streams to the peer and write: one does at a time, because others reset the older of two streams.
    func beginWriting() -> Bool {
        state.withLock { state in
            if state.isWriting || state.isEnded { return false }
            state.isWriting = true
            return true
        }
    }

    func endWriting() {
        state.withLock { state in
            state.isWriting = false
            state.loop = nil
            state.waiter = nil
        }
    }

    /// What the writer on `loop` waits with.
    func prepare(on loop: any EventLoop) -> Waiter {
        state.withLock { state in
            let waiter = Waiter(on: loop)
            state.loop = loop
            state.waiter = waiter
            return waiter
        }
    }

    /// Something waits to be written.
    func wake() {
        let (loop, waiter) = state.withLock { ($0.loop, $0.waiter) }
        guard let loop, let waiter else { return }
        if loop.isCurrent { waiter.wake() } else { loop.execute { waiter.wake() } }
    }

    var isEnded: Bool { state.withLock { $0.isEnded } }

    func end() {
        state.withLock { $0.isEnded = true }
        wake()
    }

    /// A new inbound stream takes the place of an older one.
    func beginReading() -> Int {
        state.withLock { state in
            state.inbound += 1
            return state.inbound
        }
    }

    /// Whether inbound stream `number` is among the newest.
    func isReading(_ number: Int) -> Bool { state.withLock { $0.inbound - number < PubSubLimits.readStreams && !$0.isEnded } }
}
