import WaggleBase

/// Bounds of the address book. A row takes about one kilobyte in memory, and what a post-quantum signature adds to its record: 6 KiB with ML-DSA-65.
public struct AddressBookLimits: Sendable {
    /// Peers remembered; the least useful go first.
    public var peers = 2048
    /// Addresses of one peer; the least trusted go first.
    public var addressesPerPeer = 32
    /// Bytes of one address. Real ones, certificate hashes included, stay under 200.
    public var addressLength = 512
    /// Protocols remembered of one peer.
    public var protocolsPerPeer = 256
    /// Bytes of a version text.
    public var versionLength = 128
    /// Bytes of a certified record that is kept for passing on.
    public var signedRecordLength = SignedEnvelope.maximumLength
    /// How long a change waits for others before it is written.
    public var writeDelay = Duration.milliseconds(500)
    /// How often expired addresses are swept out.
    public var sweepInterval = Duration.seconds(600)

    public init() {}
}

/// Where an address comes from, the least trusted first.
public enum AddressSource: UInt8, Comparable, Sendable, CaseIterable {
    /// Somebody said so: routing, another peer.
    case hint = 0
    /// The user or a program asked us to dial it.
    case dialed = 1
    /// The peer told it, unsigned.
    case identified = 2
    /// A connection to it stood.
    case connected = 3
    /// The peer signed it.
    case certified = 4
    /// From the configuration; never expires.
    case configured = 5

    public static func < (left: AddressSource, right: AddressSource) -> Bool { left.rawValue < right.rawValue }

    /// How long an address is remembered after it was last confirmed; nil for ever.
    public var lifetime: Duration? {
        switch self {
        case .hint: .seconds(30 * 60)
        case .dialed: .seconds(60 * 60)
        case .identified: .seconds(2 * 3600)
        case .connected, .certified: .seconds(48 * 3600)
        case .configured: nil
        }
    }
}
