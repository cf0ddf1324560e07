import Foundation
import Testing
import WaggleBase
import WaggleCryptography
import WaggleFormats
import WaggleSimulation

@testable import WaggleNetwork
@testable import WaggleStack

private let newest: ProtocolID = "/noise-mlkem768-hfs/0.2.0"
private let older: ProtocolID = "/noise-mlkem768-hfs/0.1.0"
private let classical: ProtocolID = "/noise"

/// What the two sides have besides `/noise`.
private enum Availability: String, CaseIterable {
    case both = "both ids, both sides"
    case listenerOlder = "dialer both ids, listener 0.1.0"
    case dialerOlder = "dialer 0.1.0, listener both ids"
    case disjoint = "dialer 0.2.0, listener 0.1.0"
    case listenerNone = "dialer both ids, listener none"
    case dialerNone = "dialer none, listener both ids"
    case none = "none on either side"

    var sides: (dialer: Set<ProtocolID>, listener: Set<ProtocolID>) {
        switch self {
        case .both: ([newest, older], [newest, older])
        case .listenerOlder: ([newest, older], [older])
        case .dialerOlder: ([older], [newest, older])
        case .disjoint: ([newest], [older])
        case .listenerNone: ([newest, older], [])
        case .dialerNone: ([], [newest, older])
        case .none: ([], [])
        }
    }
}

/// What the attacker does to the negotiation.
private enum Attack: String, CaseIterable {
    case none = "passes everything on"
    case stripAll = "answers `na` to every hybrid id and hides it from the listener"
    case stripNewest = "answers `na` to 0.2.0 alone and hides it from the listener"
    case swapIDs = "swaps the two hybrid ids in both directions"
    case weaken = "shows the listener `/noise` where the dialer proposed a hybrid id"
    case strengthen = "shows the listener 0.2.0 where the dialer proposed `/noise`"
    case race = "answers `na` to hybrid ids while the listener accepts them"

    func treat(_ proposal: String) -> Treatment {
        let id = ProtocolID(proposal)
        switch self {
        case .none: return .forward(proposal)
        case .stripAll: return id == classical ? .forward(proposal) : .refuse
        case .stripNewest: return id == newest ? .refuse : .forward(proposal)
        case .swapIDs: return .forward(id == newest ? older.text : id == older ? newest.text : proposal)
        case .weaken: return .forward(classical.text)
        case .strengthen: return .forward(id == classical ? newest.text : proposal)
        case .race: return id == classical ? .forward(proposal) : .race
        }
    }
}

/// Who knows the extension.
enum Extension: CaseIterable {
    case both, dialer, listener, neither
    var dialerKnows: Bool { self == .both || self == .dialer }
    var listenerKnows: Bool { self == .both || self == .listener }
}

/// Every pair of policies, every availability, every attack on the negotiation, every spread of the extension, in a simulated network with
/// the attacker's relay between the two nodes.
@Suite struct DowngradeTests {
    private struct Side {
        var policy: SecurityPolicy
        var hybrids: Set<ProtocolID>
        var knowsExtension: Bool

        func channels(_ keys: NoiseKeys) -> [any SecureChannel] {
            ChannelCatalog.all(keys).filter { $0.protocolID == classical || hybrids.contains($0.protocolID) }
                .map { knowsExtension ? $0 : WithoutExtension(inner: $0) }
        }

        var offered: [ProtocolID] {
            ([newest, older].filter { hybrids.contains($0) } + [classical]).filter { policy.allows(postQuantum: $0 != classical) }
        }
    }

    private static let keys: Swift.Result<(NoiseKeys, NoiseKeys), any Error> = Swift.Result {
        (
            try NoiseKeys(identity: LocalIdentity(testKey(1)), secret: SecureBytes([UInt8](repeating: 11, count: 32))),
            try NoiseKeys(identity: LocalIdentity(testKey(2)), secret: SecureBytes([UInt8](repeating: 12, count: 32)))
        )
    }

    private func run(_ dialer: Side, _ listener: Side, _ tampering: @escaping @Sendable () -> any Tampering) throws -> TamperedDial {
        let keys = try DowngradeTests.keys.get()
        return try TamperedDial.run(
            TamperedDial.Side(identity: keys.0.identity, channels: dialer.channels(keys.0), policy: dialer.policy),
            TamperedDial.Side(identity: keys.1.identity, channels: listener.channels(keys.1), policy: listener.policy), tampering)
    }

    /// What must hold whatever the attacker does.
    private func checkLaws(
        _ result: TamperedDial, _ dialer: Side, _ listener: Side, _ attack: Attack, _ place: String, swapped: Bool
    ) {
        let honest = dialer.offered.first { listener.offered.contains($0) }
        let bothKnow = dialer.knowsExtension && listener.knowsExtension
        // Either both have a connection or, when all is over, none.
        #expect((result.dialer == nil) == (result.listener == nil), "\(place)")
        for security in result.stood {
            // Policies hold for whatever stood, even for a moment.
            for side in [dialer, listener] {
                #expect(side.policy.allows(postQuantum: security.isPostQuantum), "\(place)")
            }
            #expect(security.isPostQuantum == (security.keyExchange != "X25519"), "\(place)")
            // Verified is said only where both know the extension.
            if !bothKnow { #expect(!security.transcriptVerified, "\(place)") }
        }
        guard let near = result.dialer, let far = result.listener else { return }
        // Both see the same strength and, but for the swapped names of one channel, the same id.
        #expect(near.isPostQuantum == far.isPostQuantum && near.keyExchange == far.keyExchange, "\(place)")
        #expect(near.transcriptVerified == far.transcriptVerified, "\(place)")
        if !swapped { #expect(near == far, "\(place)") }
        if bothKnow {
            // Exactly what an undisturbed negotiation gives.
            #expect(near.transcriptVerified && near.channel == honest && far.channel == honest, "\(place)")
        } else if !near.isPostQuantum, honest != classical {
            // A weaker connection is never said to be verified, on either side.
            #expect(!near.transcriptVerified && !far.transcriptVerified, "\(place)")
        }
    }

    @Test func theTableHolds() throws {
        var lines: [String] = []
        for attack in Attack.allCases {
            lines += ["", "### The attacker \(attack.rawValue)", ""]
            let pairs = SecurityPolicy.allCases.flatMap { left in SecurityPolicy.allCases.map { (left, $0) } }
            lines.append("| hybrid | " + pairs.map { "\($0.0.rawValue) → \($0.1.rawValue)" }.joined(separator: " | ") + " |")
            lines.append("| --- |" + String(repeating: " --- |", count: pairs.count))
            for availability in Availability.allCases {
                var cells: [String] = []
                for (left, right) in pairs {
                    var outcomes: [TamperedDial.Outcome] = []
                    for knowledge in Extension.allCases {
                        let sides = availability.sides
                        let dialer = Side(policy: left, hybrids: sides.dialer, knowsExtension: knowledge.dialerKnows)
                        let listener = Side(policy: right, hybrids: sides.listener, knowsExtension: knowledge.listenerKnows)
                        let result = try run(dialer, listener) { NegotiationTampering { attack.treat($0) } }
                        let place = "\(left) to \(right), \(availability.rawValue), \(attack.rawValue), extension \(knowledge)"
                        checkLaws(result, dialer, listener, attack, place, swapped: attack == .swapIDs)
                        outcomes.append(result.outcome)
                    }
                    let partial = Set(outcomes.dropFirst())
                    #expect(partial.count == 1, "knowing it on one side alone changes the outcome: \(left) to \(right), \(availability)")
                    let same = partial.count == 1 && partial.contains(outcomes[0])
                    cells.append(same ? outcomes[0].text : "\(outcomes[0].text), else \(partial.map(\.text).sorted().joined(separator: "/"))")
                }
                lines.append("| \(availability.rawValue) | \(cells.joined(separator: " | ")) |")
            }
        }
        try checkSpecification(lines)
    }
}
