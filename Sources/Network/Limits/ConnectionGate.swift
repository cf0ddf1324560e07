import Synchronization
import WaggleBase
import WaggleFormats

/// Who may connect: allow and deny lists of peers and IP ranges, changeable at any time from any thread.
///
/// Deny wins over allow. As soon as one peer is allowed by name, only allowed peers are; the same for ranges. A change applies to new
/// connections, and the swarm closes the open ones that it forbids.
public final class ConnectionGate: Sendable {
    /// The lists, as they can be configured.
    public struct Rules: Sendable, Equatable {
        public var allowedPeers: Set<PeerID> = []
        public var deniedPeers: Set<PeerID> = []
        public var allowedRanges: Set<IPRange> = []
        public var deniedRanges: Set<IPRange> = []

        public init() {}

        /// Why an address is refused; nil when it may connect. An address without an IP is never in a range.
        public func refusal(of ip: IPAddress?) -> Refusal? {
            guard let ip else { return allowedRanges.isEmpty ? nil : .addressDenied }
            if deniedRanges.contains(where: { $0.contains(ip) }) { return .addressDenied }
            if !allowedRanges.isEmpty, !allowedRanges.contains(where: { $0.contains(ip) }) { return .addressDenied }
            return nil
        }

        /// Why a peer is refused; nil when it may connect.
        public func refusal(of peer: PeerID) -> Refusal? {
            if deniedPeers.contains(peer) { return .peerDenied }
            if !allowedPeers.isEmpty, !allowedPeers.contains(peer) { return .peerDenied }
            return nil
        }
    }

    private struct State {
        var rules: Rules
        var changed: (@Sendable (Rules) -> Void)?
    }

    private let state: Mutex<State>

    public init(_ rules: Rules = Rules()) { state = Mutex(State(rules: rules)) }

    /// The lists now.
    public var rules: Rules { state.withLock { $0.rules } }

    /// Changes the lists in one step.
    public func update(_ change: (inout Rules) -> Void) {
        let (rules, changed) = state.withLock { state in
            change(&state.rules)
            return (state.rules, state.changed)
        }
        changed?(rules)
    }

    public func deny(_ peer: PeerID) { update { $0.deniedPeers.insert(peer) } }
    public func deny(_ range: IPRange) { update { $0.deniedRanges.insert(range) } }
    public func allow(_ peer: PeerID) { update { $0.allowedPeers.insert(peer) } }
    public func allow(_ range: IPRange) { update { $0.allowedRanges.insert(range) } }

    /// Takes a peer off both lists.
    public func forget(_ peer: PeerID) {
        update {
            $0.allowedPeers.remove(peer)
            $0.deniedPeers.remove(peer)
        }
    }

    /// Takes a range off both lists.
    public func forget(_ range: IPRange) {
        update {
            $0.allowedRanges.remove(range)
            $0.deniedRanges.remove(range)
        }
    }

    func refusal(of ip: IPAddress?) -> Refusal? { state.withLock { $0.rules.refusal(of: ip) } }
    func refusal(of peer: PeerID) -> Refusal? { state.withLock { $0.rules.refusal(of: peer) } }

    /// Who hears of changes: the swarm.
    func onChange(_ changed: (@Sendable (Rules) -> Void)?) { state.withLock { $0.changed = changed } }
}
