import Foundation
import Testing
import WaggleBase
import WaggleCryptography
import WaggleFormats
import WaggleSimulation

@testable import WaggleNetwork
@testable import WaggleStack

/// What became of one dial through an attacker's relay.
struct TamperedDial {
    /// A node.
    struct Side {
        let identity: LocalIdentity
        let channels: [any SecureChannel]
        let policy: SecurityPolicy
    }

    /// In a word.
    enum Outcome: String, Hashable {
        case animica, hybrid
        case classical = "noise"
        case refused = "–"
        case aborted = "abort"

        var text: String { rawValue }
    }

    /// How each side sees the connection when all is over; nil when it has none.
    var dialer: SecurityInfo?
    var listener: SecurityInfo?
    /// What ever stood, even for a moment.
    var stood: [SecurityInfo] = []
    var failures: [UpgradeError] = []

    var outcome: Outcome {
        guard let dialer, listener != nil else {
            let isAborted = failures.contains { if case .handshake(.downgraded) = $0 { true } else { false } }
            return isAborted ? .aborted : .refused
        }
        return dialer.channel == AnimicaChannel.id ? .animica : dialer.isPostQuantum ? .hybrid : .classical
    }

    static func run(_ dialer: Side, _ listener: Side, _ tampering: @escaping @Sendable () -> any Tampering) throws -> TamperedDial {
        let world = World(seed: 7)
        let (alice, bob, mallory) = (world.host("alice"), world.host("bob"), world.host("mallory"))
        func swarm(_ host: WaggleSimulation.Host, _ side: Side) throws -> Swarm {
            var configuration = SwarmConfiguration(channels: side.channels, muxers: [Yamux()])
            configuration.policy = side.policy
            return Swarm(
                system: host.system, identity: side.identity, configuration: configuration, transports: [TCP()],
                addressBook: try AddressBook(system: host.system))
        }
        let (near, far) = (try swarm(alice, dialer), try swarm(bob, listener))
        return try world.run {
            let (nearEvents, farEvents) = (Recorder(near), Recorder(far))
            try await far.listen(on: Multiaddr(bob.address(port: 4001), over: .tcp))
            let relay = try await Relay(on: mallory, before: bob.address(port: 4001), tampering)
            let address = Multiaddr(mallory.address(port: 4001), over: .tcp).with(peer: far.localPeer)
            _ = try? await near.connect(address)
            // Longer than an upgrade may take, so that the listener has come to its end too.
            try await world.sleep(for: UpgradeLimits.duration + .seconds(2))
            let result = TamperedDial(
                dialer: near.connections.first?.security, listener: far.connections.first?.security,
                stood: nearEvents.security + farEvents.security, failures: nearEvents.failures + farEvents.failures)
            await relay.close()
            await near.close()
            await far.close()
            return result
        }
    }
}

/// Fails when `docs/specs/downgrade.md` does not have these lines; leaves them in a temporary file.
func checkSpecification(_ lines: [String], sourceLocation: SourceLocation = #_sourceLocation) throws {
    let table = lines.joined(separator: "\n")
    let file = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent()
        .appending(path: "docs/specs/downgrade.md")
    guard try !String(contentsOf: file, encoding: .utf8).contains(table) else { return }
    let found = FileManager.default.temporaryDirectory.appending(path: "waggle-downgrade-\(UInt(bitPattern: table.count)).md")
    try table.write(to: found, atomically: true, encoding: .utf8)
    Issue.record("docs/specs/downgrade.md has another table than the one found; see \(found.path)", sourceLocation: sourceLocation)
}
