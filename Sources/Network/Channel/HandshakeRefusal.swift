/// Why one side of a channel would not go on with a handshake before any cryptography, in words for both operators.
public struct HandshakeRefusal: Hashable, Sendable, CustomStringConvertible {
    /// What does not fit. The value is what `/animica/1` sends.
    public enum Reason: UInt8, Sendable, CaseIterable {
        /// The versions of the channel differ.
        case version = 1
        /// The two nodes belong to different chains.
        case chain = 2
        /// The two nodes allow different algorithms.
        case policy = 3
        /// The two have no algorithm in common, or one uses one that the other does not allow.
        case algorithm = 4
        /// The node has no time for another handshake now.
        case busy = 5
    }

    public let reason: Reason
    /// What this node has, and what the other has; empty where it is not known. The other side's word about itself is not authenticated.
    public let ours: String
    public let theirs: String
    /// Whether the other side refused; else this node did.
    public let isByPeer: Bool

    public init(_ reason: Reason, ours: String, theirs: String, isByPeer: Bool = false) {
        self.reason = reason
        self.ours = ours
        self.theirs = theirs
        self.isByPeer = isByPeer
    }

    public var description: String {
        let what =
            switch reason {
            case .version: "this node speaks version \(ours) of the channel, the peer version \(theirs)"
            case .chain: "this node is on chain \(ours), the peer on chain \(theirs)"
            case .policy: "this node's algorithm policy has the root \(ours), the peer's \(theirs)"
            case .algorithm: "the algorithms do not fit: here \(ours), there \(theirs)"
            case .busy: "too many handshakes at once"
            }
        return isByPeer ? "the peer refused: \(what)" : "refused: \(what)"
    }
}
