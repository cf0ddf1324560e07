/// A kind of misbehaviour, and how much it counts.
///
/// Only what is *proven* may be reported: something that arrived inside the authenticated connection of the peer itself and that no correct
/// implementation sends. Nothing that somebody between the two could cause (a broken record, a lost connection), nothing that a peer
/// was told by others and passed on in good faith, and nothing that is only said about a peer: else anybody could get a third party banned.
public struct Offence: Sendable {
    /// What logs and metrics call it: lower case, words joined by hyphens.
    public let name: StaticString
    /// Points, of which `ReputationLimits.ban` together lead to a ban; negative ones count as none.
    public let weight: Double

    public init(_ name: StaticString, weight: Double) {
        self.name = name
        self.weight = weight
    }

    /// Frames that break the rules of the muxer. The peer must connect anew to do it again: the third time within a half-life bans.
    public static let muxerViolation = Offence("muxer-violation", weight: 40)
    /// A signed record that is not the sender's own or whose signature is wrong, or a foreign key presented as its own.
    public static let forgedRecord = Offence("forged-record", weight: 50)
    /// Blocks that nobody asked for, more than can be explained by cancelled wants.
    public static let unrequestedBlocks = Offence("unrequested-blocks", weight: 40)
    /// Wants far beyond what is kept of one peer.
    public static let wantlistFlood = Offence("wantlist-flood", weight: 10)
    /// A stream beyond the limit of one peer. One is nothing, thousands are an attack.
    public static let streamFlood = Offence("stream-flood", weight: 0.01)
    /// A message that does not follow its protocol's format.
    public static let malformedMessage = Offence("malformed-message", weight: 10)
}
