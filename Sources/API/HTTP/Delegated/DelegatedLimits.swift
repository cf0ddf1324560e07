import WaggleBase

/// Bounds of delegated routing over HTTP, both sides.
package enum DelegatedLimits {
    /// Bytes of one response that are read: what other implementations read. A stream ends there.
    package static let response = ByteCount.mebibytes(1)
    /// Bytes of one line of a stream; a record with sixty long addresses has about 8 KiB.
    package static let line = 64 << 10
    /// Records taken from one response, and addresses and protocols from one record.
    package static let records = 1000
    package static let addresses = 64
    package static let protocols = 64
    /// How long one question to a router may take, and connecting to it.
    package static let time = Duration.seconds(30)
    package static let connectTime = Duration.seconds(10)
    /// A router that failed is left alone for so long; doubles with each failure up to the second.
    package static let firstRest = Duration.seconds(10)
    package static let longestRest = Duration.seconds(600)
    /// Answers that lead elsewhere are followed so many times.
    package static let redirects = 3

    /// How long the server searches for one question.
    package static let searchTime = Duration.seconds(30)
    /// How long a record that is put here may take to come.
    package static let bodyTime = Duration.seconds(10)
    /// Records in an answer that is not a stream.
    package static let listed = 100
    /// Questions that the server works on at once; more are told to come back.
    package static let searches = 64
    /// Seconds after which they may.
    package static let retryAfter = 5
    /// Seconds for which an answer with records, and one without, may be kept; and for which an old one is better than none.
    package static let fresh = 300
    package static let freshEmpty = 15
    package static let stale = 48 * 3600
}

/// The media types of delegated routing.
package enum DelegatedMedia {
    package static let json = "application/json"
    package static let stream = "application/x-ndjson"
    package static let record = "application/vnd.ipfs.ipns-record"
}
