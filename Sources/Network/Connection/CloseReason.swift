/// Why a connection ended, or is to end.
public enum CloseReason: Hashable, Sendable {
    /// The program wanted it.
    case normal
    /// The node goes down.
    case shutdown
    /// Nobody used it, or it had to make room for others.
    case trimmed
    /// The session's keys were used for as long as they may be (`SecurityInfo.lifetime`).
    case expired
    /// Another connection to the same peer takes its place.
    case supplanted
    /// The gate forbids the peer or its address.
    case gated
    /// A limit of ours forbids it.
    case limitReached
    /// The remote broke a protocol.
    case violation
    /// The remote stopped answering.
    case timedOut
    /// The remote said farewell; the code says why (see `code`, 0 for no reason).
    case remote(code: UInt32)
    /// The network connection broke; `errno` is Linux's, 0 when the remote just ended it.
    case lost(errno: Int32)

    /// What the remote is told, in yamux in the length of a go-away frame.
    ///
    /// 1 is yamux's own "protocol error". Spec: libp2p error-codes, section "Connection Error Codes".
    public var code: UInt32 {
        switch self {
        case .normal, .lost: 0
        case .violation: 1
        case .limitReached: 0x1001
        case .supplanted: 0x1004
        case .trimmed, .expired, .timedOut: 0x1005
        case .shutdown: 0x1006
        case .gated: 0x1007
        case .remote(let code): code
        }
    }
}

/// Who began a connection or a stream.
public enum Direction: String, Hashable, Sendable {
    /// The remote did.
    case inbound
    /// We did.
    case outbound
}
