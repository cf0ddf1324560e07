import WaggleBase
import WaggleNetwork

/// What a session knows of one stream.
struct YamuxStream {
    /// We opened it.
    let isOutbound: Bool

    // Our side.
    /// How much the remote lets us send, in bytes; at most 2^32 - 1.
    var sendWindow = YamuxLimits.initialWindow
    /// Written and not yet sent.
    var queue = ByteQueue()
    /// SYN (outbound) or ACK (inbound) has still to be sent.
    var owesFlag = true
    /// We end after the queue.
    var isFinishing = false
    var isFinSent = false
    /// Tell when the queue has fallen to so many bytes; -1 for never.
    var mark = -1

    // The remote's side.
    /// The remote has acknowledged the stream (outbound).
    var isAcknowledged = false
    /// The receive window that this stream has earned, in bytes.
    var window = YamuxLimits.initialWindow
    /// What the remote may still send, in bytes. `credit + unread` is at most `window`.
    var credit = YamuxLimits.initialWindow
    /// Arrived and not yet consumed, in bytes.
    var unread = 0
    /// Increase of the window that has still to be told, in bytes; contained in `credit`.
    var grant = 0
    /// When the window was last increased.
    var grantedAt: Instant
    var isFinReceived = false
    /// The reader has gone; what arrives is thrown away.
    var isStopped = false
    var stopCode: UInt32 = 0
    var discarded = 0

    // Places in the session's queues.
    var isInTouched = false
    var isInReady = false

    init(isOutbound: Bool, at now: Instant) {
        self.isOutbound = isOutbound
        grantedAt = now
    }

    /// Whether it has a frame without payload to send.
    var needsControl: Bool {
        (owesFlag && isOutbound) || grant > 0 || (isFinishing && !isFinSent && queue.isEmpty)
            || (owesFlag && !queue.isEmpty)
    }

    var canSendData: Bool { !queue.isEmpty && sendWindow > 0 }
}
