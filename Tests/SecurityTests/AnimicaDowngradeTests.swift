import Testing
import WaggleBase
import WaggleCryptography
import WaggleSimulation

@testable import WaggleNetwork
@testable import WaggleStack

private let animica = AnimicaChannel.id.text

/// What the two sides, which both have `/noise` and its hybrids, have of a chain network.
private enum Chains: String, CaseIterable {
    case same = "the same chain, preferred"
    case dialerLast = "the same chain, the dialer prefers the others"
    case dialerOnly = "the dialer has a chain"
    case listenerOnly = "the listener has a chain"
    case different = "different chains"
    case only = "the same chain and nothing else"

    /// The chain's number and where its channel stands.
    var dialer: (UInt64, ChannelCatalog.ChainPlace)? {
        switch self {
        case .same, .dialerOnly, .different: (1, .first)
        case .dialerLast: (1, .last)
        case .listenerOnly: nil
        case .only: (1, .only)
        }
    }

    var listener: (UInt64, ChannelCatalog.ChainPlace)? {
        switch self {
        case .same, .dialerLast, .listenerOnly: (1, .first)
        case .dialerOnly: nil
        case .different: (2, .first)
        case .only: (1, .only)
        }
    }
}

private enum Attack: String, CaseIterable {
    case none = "passes everything on"
    case stripChain = "answers `na` to `/animica/1` and hides it from the listener"
    case stripAll = "answers `na` to everything but `/noise` and hides it from the listener"
    case exchange = "shows the listener a hybrid id where the dialer proposed `/animica/1`"
    case race = "answers `na` to `/animica/1` while the listener accepts it"

    func treat(_ proposal: String) -> Treatment {
        switch self {
        case .none: .forward(proposal)
        case .stripChain: proposal == animica ? .refuse : .forward(proposal)
        case .stripAll: proposal == "/noise" ? .forward(proposal) : .refuse
        case .exchange: .forward(proposal == animica ? "/noise-mlkem768-hfs/0.2.0" : proposal)
        case .race: proposal == animica ? .race : .forward(proposal)
        }
    }
}

/// The matrix of `DowngradeTests` for nodes of chain networks, whose identities are of ML-DSA-65.
@Suite struct AnimicaDowngradeTests {
    private static let nodes = Swift.Result {
        try [UInt8(1), 2].map { seed in
            let identity = LocalIdentity(try testSecondKey(seed))
            return (identity, try NoiseKeys(identity: identity, secret: SecureBytes([UInt8](repeating: seed + 10, count: 32))))
        }
    }

    private func channels(_ node: (LocalIdentity, NoiseKeys), _ chain: (UInt64, ChannelCatalog.ChainPlace)?) throws -> [any SecureChannel] {
        guard let chain else { return ChannelCatalog.all(node.1) }
        let channel = try #require(AnimicaChannel(identity: node.0, network: AnimicaChannel.Network(chain: chain.0), transports: ["tcp"]))
        return ChannelCatalog.all(node.1, chain: channel, chain.1)
    }

    @Test func theTableHolds() throws {
        let nodes = try AnimicaDowngradeTests.nodes.get()
        let pairs = SecurityPolicy.allCases.flatMap { left in SecurityPolicy.allCases.map { (left, $0) } }
        var lines: [String] = []
        for attack in Attack.allCases {
            lines += ["", "### Chain networks: the attacker \(attack.rawValue)", ""]
            lines.append("| chain | " + pairs.map { "\($0.0.rawValue) → \($0.1.rawValue)" }.joined(separator: " | ") + " |")
            lines.append("| --- |" + String(repeating: " --- |", count: pairs.count))
            for chains in Chains.allCases {
                var cells: [String] = []
                for (left, right) in pairs {
                    var outcomes: [TamperedDial.Outcome] = []
                    for knowledge in Extension.allCases {
                        let (near, far) = (try channels(nodes[0], chains.dialer), try channels(nodes[1], chains.listener))
                        func side(_ index: Int, _ all: [any SecureChannel], _ policy: SecurityPolicy, _ knows: Bool) -> TamperedDial.Side {
                            TamperedDial.Side(
                                identity: nodes[index].0, channels: knows ? all : all.map { WithoutExtension(inner: $0) }, policy: policy)
                        }
                        let result = try TamperedDial.run(
                            side(0, near, left, knowledge.dialerKnows), side(1, far, right, knowledge.listenerKnows),
                            { NegotiationTampering { attack.treat($0) } })
                        outcomes.append(result.outcome)
                        let place = "\(left) to \(right), \(chains.rawValue), \(attack.rawValue), \(knowledge)"
                        let offered = near.map(\.protocolID).filter { id in
                            left.allows(postQuantum: id != "/noise") && far.contains { $0.protocolID == id } && right.allows(postQuantum: id != "/noise")
                        }
                        for security in result.stood {
                            #expect(left.allows(postQuantum: security.isPostQuantum) && right.allows(postQuantum: security.isPostQuantum), "\(place)")
                            if knowledge != .both { #expect(!security.transcriptVerified, "\(place)") }
                        }
                        #expect((result.dialer == nil) == (result.listener == nil), "\(place)")
                        #expect(result.dialer == result.listener, "\(place)")
                        if knowledge == .both, let security = result.dialer {
                            #expect(security.transcriptVerified && security.channel == offered.first, "\(place)")
                        }
                    }
                    let partial = Set(outcomes.dropFirst())
                    #expect(partial.count == 1, "\(left) to \(right), \(chains)")
                    let same = partial == [outcomes[0]]
                    cells.append(same ? outcomes[0].text : "\(outcomes[0].text), else \(partial.map(\.text).sorted().joined(separator: "/"))")
                }
                lines.append("| \(chains.rawValue) | \(cells.joined(separator: " | ")) |")
            }
        }
        try checkSpecification(lines)
    }
}
