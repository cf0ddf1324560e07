/// Why two sides could not agree on a protocol.
public enum NegotiationError: Error, Hashable, Sendable {
    /// Not multistream-select: a bad length, a line without its newline, an answer to something that was not proposed.
    case malformed
    /// A line of this many bytes, more than `NegotiationLimits.lineBytes`.
    case tooLong(bytes: UInt64)
    /// The other side begins with something else than `/multistream/1.0.0`.
    case unknownHeader
    /// The listener speaks none of the protocols that were proposed.
    case refused
    /// The dialer proposed `NegotiationLimits.proposals` protocols in vain.
    case tooManyProposals
}
