import WaggleCryptography
import WaggleNetwork
import WaggleStack

/// The chain network that a node belongs to; it makes the node offer and accept `/animica/1`.
public struct ChainConfiguration: Sendable {
    public var network: AnimicaChannel.Network
    /// Where the chain's channel stands among the others.
    public var place: ChannelCatalog.ChainPlace

    public init(_ network: AnimicaChannel.Network, place: ChannelCatalog.ChainPlace = .first) {
        self.network = network
        self.place = place
    }

    /// The channel for a node with this identity.
    func channel(_ identity: LocalIdentity, _ bindings: IdentityBindings) throws(ChainError) -> AnimicaChannel {
        let channel = AnimicaChannel(identity: identity, network: network, transports: Catalog.transports.map(\.name), bindings: bindings)
        guard let channel else {
            throw ChainError(
                identity: identity.key.publicKey.kind,
                allowed: network.policy.algorithms.filter { $0.category == .signature }.map(\.name))
        }
        return channel
    }
}

/// The node's identity is of a kind that its chain network does not allow.
public struct ChainError: Error, Hashable, Sendable, CustomStringConvertible {
    public let identity: KeyKind
    public let allowed: [String]

    public var description: String {
        "the chain network needs an identity of \(allowed.joined(separator: " or ")), and this node's is \(identity.name); "
            + "make one with 'init --identity \(allowed.first?.lowercased() ?? "ml-dsa-65")' in another directory"
    }
}
