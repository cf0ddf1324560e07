import Synchronization
import WaggleBase
import WaggleFormats
import WaggleNetwork

/// `/libp2p/fetch/0.0.1`: asks one peer for the value of one key, and answers from handlers that are registered by prefix.
///
/// Spec: libp2p/specs fetch. Keys look like `/ipns/…`. Values are not checked here: who asks verifies what comes.
public final class Fetch: Service {
    public static let protocolID: ProtocolID = "/libp2p/fetch/0.0.1"

    /// Says what stands under a key; nil for nothing.
    public typealias Lookup = @Sendable (_ key: Bytes, _ peer: PeerID) async throws -> Bytes?

    private let exchange: RequestResponse<Bytes, FetchResult>
    private let registry = Registry()

    public init() {
        var limits = RequestLimits()
        limits.request = FetchLimits.key
        limits.response = FetchLimits.value
        limits.deadline = FetchLimits.timeout
        limits.serving = FetchLimits.timeout
        limits.concurrent = FetchLimits.concurrent
        limits.servedPerPeer = FetchLimits.servedPerPeer
        exchange = RequestResponse(Fetch.protocolID, request: FetchMessage.request, response: FetchMessage.response, limits: limits) { [registry] key, peer in
            try await registry.answer(key, to: peer)
        }
    }

    // MARK: Asking

    /// Asks `peer` for the value of `key`; nil when it has none.
    public func fetch(_ key: Bytes, from peer: PeerID, deadline: Duration? = nil) async throws(RequestError) -> Bytes? {
        switch try await exchange.request(key, to: peer, deadline: deadline) {
        case .found(let data): data
        case .notFound: nil
        case .failed: throw .failed(.closed)
        }
    }

    // MARK: Serving

    /// Answers keys that begin with `prefix`, in place of an earlier handler of the same prefix; nil for none. Of several prefixes that fit the longest
    /// counts.
    public func handle(_ prefix: Bytes, _ lookup: Lookup?) { registry.set(prefix, lookup) }

    public var protocols: [ProtocolID] { exchange.protocols }
    public var limits: ServiceLimits { exchange.limits }
    public func registered(on swarm: Swarm) { exchange.registered(on: swarm) }
    public func serve(_ stream: Stream, from peer: PeerID) async throws { try await exchange.serve(stream, from: peer) }

    /// The handlers by prefix.
    private final class Registry: Sendable {
        private let handlers = Mutex<[(prefix: Bytes, lookup: Lookup)]>([])

        func set(_ prefix: Bytes, _ lookup: Lookup?) {
            handlers.withLock { handlers in
                handlers.removeAll { $0.prefix == prefix }
                guard let lookup else { return }
                handlers.append((prefix, lookup))
                handlers.sort { $0.prefix.count > $1.prefix.count }
            }
        }

        func answer(_ key: Bytes, to peer: PeerID) async throws -> FetchResult {
            let lookup = handlers.withLock { handlers in handlers.first { key.prefix($0.prefix.count) == $0.prefix }?.lookup }
            guard let lookup else { return .notFound }
            do {
                guard let value = try await lookup(key, peer), value.count < FetchLimits.value.bytes - 16 else { return .notFound }
                return .found(value)
            } catch is CancellationError {
                throw CancellationError()
            } catch {
                return .failed
            }
        }
    }
}

/// Bounds of fetch.
public enum FetchLimits {
    /// The longest request: keys are names of records.
    static let key = ByteCount.kibibytes(4)
    /// The longest response: records of names are below 10 KiB.
    static let value = ByteCount.mebibytes(1)
    static let timeout = Duration.seconds(10)
    /// How long one of many peers that are asked for a value may take: the others' answers shall not wait for it.
    static let searchTimeout = Duration.seconds(3)
    /// Requests of ours at once.
    static let concurrent = 32
    /// Requests that one remote may have us serve at once.
    static let servedPerPeer = 8
    /// Connected peers that are asked for one value.
    static let askedPeers = 16
}
