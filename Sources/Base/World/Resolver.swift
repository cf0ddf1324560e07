/// Asks the domain name system.
public protocol NameResolver: Sendable {
    /// The addresses of `name`; never empty. Cancelling the task gives up.
    func addresses(of name: String, _ family: AddressFamily) async throws(ResolveError) -> [NameRecord<IPAddress>]

    /// The texts (TXT records) of `name`; never empty. The strings of a record are joined; bytes that are no UTF-8 are replaced. Cancelling the task
    /// gives up.
    func texts(of name: String) async throws(ResolveError) -> [NameRecord<String>]
}

/// Which addresses of a name are wanted.
public enum AddressFamily: Hashable, Sendable {
    case v4, v6, any
}

/// One answer of the domain name system.
public struct NameRecord<Value: Sendable & Hashable>: Hashable, Sendable {
    public let value: Value
    /// How long the answer may be kept.
    public let timeToLive: Duration

    public init(_ value: Value, timeToLive: Duration) {
        self.value = value
        self.timeToLive = timeToLive
    }
}

/// Why a name was not resolved.
public enum ResolveError: Error, Hashable, Sendable {
    /// The name, or the wanted kind of record, does not exist.
    case notFound
    /// No name at all: too long, an empty label.
    case invalidName
    case timedOut
    /// The servers do not know, do not want to, or cannot be reached.
    case serverFailure
    /// More questions wait than the system takes.
    case busy
    case cancelled
    case other(detail: String)
}
