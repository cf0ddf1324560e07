import WaggleBase

/// In Noise the dialer speaks last, so its side of a handshake is done before the other has seen its identity.
extension Connection {
    /// Waits until the remote sent something, the connection ended, or `limit` has passed. Says whether it ended without a byte from the
    /// remote, as with one that does not accept our identity.
    func isTurnedAway(within limit: Duration) async -> Bool {
        await loop.run { [self] in
            let deadline = loop.now + limit
            let waiter = Waiter(on: loop)
            let alarm = Alarm(on: loop) { waiter.wake() }
            alarm.set(deadline)
            defer {
                alarm.stop()
                if firstInput === waiter { firstInput = nil }
            }
            while bytesIn == 0, !isOver, loop.now < deadline {
                firstInput = waiter
                do { try await waiter.wait() } catch { break }
            }
            return bytesIn == 0 && isOver && closeReason?.isByRemote ?? false
        }
    }

    func wakeFirstInput() {
        firstInput?.wake()
        firstInput = nil
    }
}

extension CloseReason {
    fileprivate var isByRemote: Bool {
        switch self {
        case .remote, .lost: true
        default: false
        }
    }
}
