import WaggleBase

/// Bounds and times of the rendezvous protocol.
public enum RendezvousLimits {
    /// Bytes of a namespace.
    public static let namespace = 255
    /// Where a client names no time, and the longest and shortest that the server keeps a registration.
    public static let standardTime = Duration.seconds(2 * 3600)
    public static let longestTime = Duration.seconds(72 * 3600)
    public static let shortestTime = Duration.seconds(120)
    /// Registrations of one peer: one in each of so many namespaces.
    public static let perPeer = 64
    /// Registrations of one namespace.
    public static let perNamespace = 10_000
    /// Registrations in all, and the bytes of their records.
    public static let registrations = 100_000
    public static let recordBytes = ByteCount.mebibytes(64)
    /// Addresses of a record without a signature.
    static let unsignedAddresses = 32
    /// Registrations in one answer, and the bytes at which it ends: others take messages of at most 1 MiB.
    public static let page = 1000
    static let pageBytes = 512 << 10
    /// Bytes of a request, and of an answer: others send all they have at once.
    static let request = ByteCount.kibibytes(64)
    static let answer = ByteCount.mebibytes(4)
    /// Bytes of a cookie of another server that we keep.
    static let cookie = 4096
    /// Streams of one peer, and of all.
    static let streamsPerPeer = 4
    static let streams = 512
    /// Questions on one stream, each within the time.
    static let requestsPerStream = 64
    static let timeout = Duration.seconds(10)
    /// Registrations of one peer that are taken: at once, and a second. Each costs a verification and a write.
    static let registrationRate = 8
    /// Peers whose rate is kept.
    static let ratedPeers = 4096
    /// Between two looks for registrations that are over.
    static let sweepInterval = Duration.seconds(60)

    // Clients.

    /// Registrations that a client keeps up.
    public static let kept = 64
    /// A registration is renewed when so many percent of its time are over.
    static let renewPercent = 75
    /// Before a failed registration is tried again; doubles each time.
    static let shortestRetry = Duration.seconds(10)
    static let longestRetry = Duration.seconds(600)
    /// Between two looks for new peers under a name, and peers that one look connects to.
    static let searchInterval = Duration.seconds(60)
    static let searchDials = 8
    /// Pages that `peers` reads.
    public static let pages = 1000
}
