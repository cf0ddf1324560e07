import Synchronization
import WaggleBase
import WaggleCryptography
import WaggleFormats

/// Which pairs of PeerIDs are one node, as their certificates said in handshakes that both keys signed.
///
/// The rule that makes two keys worth more than one: *a name that is known to have a partner is believed only together with it*. Whoever can forge
/// one of the two signatures can show neither name to somebody who knows the pair. Kept in the table "identities" of a store, so that it
/// holds over restarts. Safe from any thread; nothing waits. Spec: `docs/specs/dual-identity.md`.
public final class IdentityBindings: Sendable {
    public static let table = Table("identities")

    /// One pair.
    public struct Binding: Sendable, Hashable {
        public let classical: PeerID
        public let postQuantum: PeerID
        public let sequence: UInt64
        public let expires: WallTime
        let digest: Digest256
        /// Handshakes that confirmed it, as far as they count.
        var confirmations: Int
    }

    /// By what names a peer is known that proved some.
    public struct Names: Sendable, Hashable {
        /// What the connection goes by.
        public let peer: PeerID
        /// The other name of the same node.
        public let alias: PeerID?

        public init(_ peer: PeerID, alias: PeerID? = nil) {
            self.peer = peer
            self.alias = alias
        }
    }

    private struct State {
        var byClassical: [PeerID: Binding] = [:]
        var byPostQuantum: [PeerID: PeerID] = [:]
        /// What must be written: the certificate, or nil to remove.
        var changed: [PeerID: Bytes?] = [:]

        func binding(of name: PeerID) -> Binding? { byClassical[name] ?? byPostQuantum[name].flatMap { byClassical[$0] } }

        mutating func remove(_ binding: Binding) {
            byClassical[binding.classical] = nil
            byPostQuantum[binding.postQuantum] = nil
            changed.updateValue(nil, forKey: binding.classical)
        }
    }

    private let system: any System
    private let limit: Int
    private let writer: WriteBehind
    private let state: Mutex<State>

    /// Opens what `store` holds; without one it lives as long as the process. Rows that cannot be read or are over are dropped.
    public init(system: any System, store: (any KeyValueStore)? = nil, limit: Int = IdentityCertificateLimits.bindings) throws {
        self.system = system
        self.limit = limit
        let log = Log("identities", to: system.log)
        writer = WriteBehind(IdentityBindings.table, of: store, on: system.home, after: IdentityCertificateLimits.writeDelay, log: log)
        var initial = State()
        let now = system.wallTime
        try store?.read { reader in
            try Bytes().withUnsafeBytes { start in
                try reader.scan(IdentityBindings.table, from: start) { key, value in
                    let key = Bytes(copying: key)
                    do {
                        let peer = try PeerID(bytes: key)
                        do {
                            // Our own store is as trustworthy as our own key, but a certificate proves itself.
                            let certificate = try IdentityCertificate(verifying: Bytes(copying: value), at: now)
                            guard certificate.classicalPeer == peer else { throw IdentityCertificateError.wrongPeer }
                            initial.byClassical[peer] = Binding(certificate)
                            initial.byPostQuantum[certificate.postQuantumPeer] = peer
                        } catch {
                            initial.changed.updateValue(nil, forKey: peer)
                        }
                    } catch {
                        log(.warning, "unreadable row dropped", [LogField("key", key)])
                    }
                    return initial.byClassical.count < limit
                }
            }
        }
        state = Mutex(initial)
    }

    /// The time by which certificates are valid.
    public var now: WallTime { system.wallTime }

    /// The other name of this peer, for as long as its certificate is valid; nil when it is known under one name only.
    public func partner(of peer: PeerID) -> PeerID? {
        guard let binding = binding(of: peer) else { return nil }
        return binding.classical == peer ? binding.postQuantum : binding.classical
    }

    /// The pair that this name belongs to.
    public func binding(of peer: PeerID) -> Binding? {
        let now = system.wallTime
        return state.withLock { $0.binding(of: peer) }.flatMap { $0.expires > now ? $0 : nil }
    }

    /// All pairs, sorted by the classical name.
    public var all: [Binding] {
        let now = system.wallTime
        return state.withLock { Array($0.byClassical.values) }.filter { $0.expires > now }.sorted { $0.classical < $1.classical }
    }

    /// Whether a certificate with this digest is the one that is remembered.
    package func isKnown(_ certificate: Digest256, of peer: PeerID) -> Bool {
        state.withLock { $0.binding(of: peer)?.digest == certificate }
    }

    /// What a peer that proved one name in a handshake may be called; throws when that name has a partner, whose proof is missing.
    package func settle(_ name: PeerID) throws(IdentityRefusal) -> Names {
        if let partner = partner(of: name) { throw IdentityRefusal(name, cause: .partnerMissing(partner)) }
        return Names(name)
    }

    /// What a peer that proved both names of a verified certificate in one handshake may be called.
    ///
    /// A name that is known with another partner is contested, and not believed; what is left is the other one. Throws when nothing is left, or
    /// a newer certificate of the pair is known.
    package func settle(_ certificate: IdentityCertificate) throws(IdentityRefusal) -> Names {
        let now = system.wallTime
        let (first, second) = (certificate.classicalPeer, certificate.postQuantumPeer)
        let outcome: Result<Names, IdentityRefusal> = state.withLock { state in
            let known = (
                first: state.binding(of: first).flatMap { $0.expires > now ? $0 : nil },
                second: state.binding(of: second).flatMap { $0.expires > now ? $0 : nil }
            )
            let contested = (
                first: known.first.map { $0.postQuantum != second } ?? false, second: known.second.map { $0.classical != first } ?? false
            )
            switch contested {
            case (true, true): return .failure(IdentityRefusal(first, cause: .contested))
            case (true, false): return .success(Names(second))
            case (false, true): return .success(Names(first))
            case (false, false): break
            }
            var binding = Binding(certificate)
            if let known = known.first {
                guard known.sequence <= binding.sequence else { return .failure(IdentityRefusal(first, cause: .certificate(.superseded))) }
                binding.confirmations = min(known.confirmations + 1, 1 << 20)
                if known.digest == binding.digest {
                    state.byClassical[first] = binding
                    return .success(Names(first, alias: second))
                }
                // Two certificates with one number: the first stays.
                guard known.sequence < binding.sequence else { return .failure(IdentityRefusal(first, cause: .certificate(.superseded))) }
            }
            // What is over must not linger under one of the names.
            for old in [state.binding(of: first), state.binding(of: second)].compactMap({ $0 }) { state.remove(old) }
            if state.byClassical.count >= limit { evict(&state, now) }
            state.byClassical[first] = binding
            state.byPostQuantum[second] = first
            state.changed.updateValue(certificate.encoded, forKey: first)
            return .success(Names(first, alias: second))
        }
        scheduleWrite()
        return try outcome.get()
    }

    /// Forgets a pair; says whether there was one.
    @discardableResult
    public func forget(_ peer: PeerID) -> Bool {
        let known = state.withLock { state in
            guard let binding = state.binding(of: peer) else { return false }
            state.remove(binding)
            return true
        }
        scheduleWrite()
        return known
    }

    /// Makes room: what is over goes first, then what was confirmed least, so that a flood of new pairs pushes out itself.
    private func evict(_ state: inout State, _ now: WallTime) {
        let worst = state.byClassical.values.min { left, right in
            (left.expires > now ? 1 : 0, left.confirmations, left.expires) < (right.expires > now ? 1 : 0, right.confirmations, right.expires)
        }
        if let worst { state.remove(worst) }
    }

    // MARK: Writing

    /// Writes the rest and ends.
    public func close() async {
        await writer.close { self.takeChanged() }
    }

    private func scheduleWrite() {
        guard state.withLock({ !$0.changed.isEmpty }) else { return }
        writer.schedule { [self] in takeChanged() }
    }

    private func takeChanged() -> [WriteBehind.Row] {
        state.withLock { state in
            defer { state.changed = [:] }
            return state.changed.sorted { $0.key < $1.key }.map { (key: $0.key.bytes, value: $0.value) }
        }
    }
}

extension IdentityBindings.Binding {
    fileprivate init(_ certificate: IdentityCertificate) {
        classical = certificate.classicalPeer
        postQuantum = certificate.postQuantumPeer
        sequence = certificate.sequence
        expires = certificate.expires
        digest = certificate.digest
        confirmations = 1
    }
}

/// Why a peer is not believed the name that it proved.
public struct IdentityRefusal: Error, Hashable, Sendable {
    public enum Cause: Hashable, Sendable {
        /// The name is one of two, and the other was not proven.
        case partnerMissing(PeerID)
        /// Both names are known with other partners.
        case contested
        case certificate(IdentityCertificateError)
    }

    /// The name.
    public let peer: PeerID
    public let cause: Cause

    package init(_ peer: PeerID, cause: Cause) {
        self.peer = peer
        self.cause = cause
    }

    /// A certificate that is refused.
    package init(_ peer: PeerID, _ error: IdentityCertificateError) { self.init(peer, cause: .certificate(error)) }
}
