/// Bounds of the protocol negotiation.
public enum NegotiationLimits {
    /// Longest line in bytes, the newline included and the length prefix not: what the other implementations allow.
    public static let lineBytes = 1024

    /// Proposals a listener answers before it gives up on a dialer. An honest dialer has a handful of versions of one protocol.
    public static let proposals = 64
}
