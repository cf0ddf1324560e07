import Testing
import WaggleBase
import WaggleCryptography
import WaggleFormats
import WaggleSimulation

@testable import WaggleNetwork
@testable import WaggleStack

/// The attacker lets the negotiation pass and meddles with what comes behind it: handshake messages, the muxer negotiation where it has
/// messages of its own, and the first records.
@Suite struct FrameAttackTests {
    private struct Setup: Sendable {
        var policy = SecurityPolicy.prefer
        var earlyMuxers = true
        var dialerMuxers: [ProtocolID] = ["/yamux/1.0.0"]
        var listenerMuxers: [ProtocolID] = ["/yamux/1.0.0"]
    }

    /// How both ends see the connection after a second, and whether a message got through.
    private struct Seen {
        var dialer: (security: SecurityInfo, muxer: ProtocolID)?
        var listener: (security: SecurityInfo, muxer: ProtocolID)?
        var echoed: String?
    }

    private func run(_ setup: Setup, seed: UInt64 = 3, _ makeTampering: @escaping @Sendable () -> any Tampering) throws -> Seen {
        let world = World(seed: seed)
        let (alice, bob, mallory) = (world.host("alice"), world.host("bob"), world.host("mallory"))
        func swarm(_ host: WaggleSimulation.Host, _ seed: UInt8, _ muxers: [ProtocolID]) throws -> Swarm {
            let identity = LocalIdentity(try testKey(seed))
            let keys = try NoiseKeys(identity: identity, secret: SecureBytes([UInt8](repeating: seed + 50, count: 32)))
            let channels = ChannelCatalog.all(keys).map { setup.earlyMuxers ? $0 : WithoutEarlyMuxers(inner: $0) }
            var configuration = SwarmConfiguration(channels: channels, muxers: muxers.map { RenamedYamux(protocolID: $0) })
            configuration.policy = setup.policy
            return Swarm(
                system: host.system, identity: identity, configuration: configuration, transports: [TCP()],
                addressBook: try AddressBook(system: host.system))
        }
        let (near, far) = (try swarm(alice, 1, setup.dialerMuxers), try swarm(bob, 2, setup.listenerMuxers))
        far.register(Echo())
        return try world.run {
            try await far.listen(on: Multiaddr(bob.address(port: 4001), over: .tcp))
            let relay = try await Relay(on: mallory, before: bob.address(port: 4001), makeTampering)
            let address = Multiaddr(mallory.address(port: 4001), over: .tcp).with(peer: far.localPeer)
            _ = try? await near.connect(address)
            try await world.sleep(for: .seconds(1))
            var seen = Seen()
            seen.dialer = near.connections.first.map { ($0.security, $0.muxer) }
            seen.listener = far.connections.first.map { ($0.security, $0.muxer) }
            if near.isConnected(far.localPeer) { seen.echoed = try? await near.echo("hello", to: far.localPeer) }
            await relay.close()
            await near.close()
            await far.close()
            return seen
        }
    }

    @Test func undisturbedItWorks() throws {
        let seen = try run(Setup()) { NegotiationTampering { .forward($0) } }
        #expect(seen.echoed == "hello")
        #expect(seen.dialer?.security == seen.listener?.security && seen.dialer?.security.transcriptVerified == true)
    }

    /// Whatever is done to a message of the handshake, no connection comes of it that both sides use.
    @Test(arguments: FrameAttack.Kind.allCases, SecurityPolicy.allCases)
    func theHandshakeCannotBeMeddledWith(kind: FrameAttack.Kind, policy: SecurityPolicy) throws {
        // The dialer has two messages, the listener one.
        for (ofDialer, frame) in [(true, 0), (true, 1), (false, 0)] where kind != .replayFirst || (ofDialer && frame > 0) {
            let seen = try run(Setup(policy: policy)) {
                NegotiationTampering({ .forward($0) }, FrameAttack(kind, frame: frame, ofDialer: ofDialer))
            }
            #expect(seen.echoed == nil, "\(kind) of frame \(frame), dialer's: \(ofDialer)")
            #expect(seen.listener == nil || ofDialer == false || kind == .duplicate || kind == .reflect || frame > 0)
        }
    }

    /// The muxer is agreed on inside the handshake, or inside records where a peer does not do that: both are out of reach.
    @Test(arguments: [true, false], FrameAttack.Kind.allCases)
    func theMuxerCannotBeSwapped(early: Bool, kind: FrameAttack.Kind) throws {
        let setup = Setup(earlyMuxers: early, dialerMuxers: ["/one", "/two"], listenerMuxers: ["/two", "/one"])
        let honest = try run(setup) { NegotiationTampering { .forward($0) } }
        // The dialer's order decides.
        #expect(honest.dialer?.muxer == "/one" && honest.listener?.muxer == "/one" && honest.echoed == "hello")
        for ofDialer in [true, false] {
            for frame in 0..<5 where kind != .replayFirst || frame > 0 {
                let seen = try run(setup) {
                    NegotiationTampering({ .forward($0) }, FrameAttack(kind, frame: frame, ofDialer: ofDialer))
                }
                for end in [seen.dialer, seen.listener] { #expect(end == nil || end?.muxer == "/one", "\(kind) \(frame)") }
            }
        }
    }

    /// Messages of an earlier session are of no use in a later one.
    @Test(arguments: [true, false]) func aReplayedSessionIsRefused(ofDialer: Bool) throws {
        let tape = Tape(recording: ofDialer)
        let first = try run(Setup()) { NegotiationTampering({ .forward($0) }, tape) }
        #expect(first.echoed == "hello")
        tape.rewind()
        // Another seed: the same two nodes with new ephemeral keys.
        let second = try run(Setup(), seed: 4) { NegotiationTampering({ .forward($0) }, tape) }
        #expect(second.echoed == nil)
        // The side that got the old messages never has a connection.
        #expect((ofDialer ? second.listener : second.dialer) == nil)
    }

    /// Keeps what one side sent in the first session and sends it in its place in the second.
    private final class Tape: FrameTampering, @unchecked Sendable {
        private let side: Bool
        private var frames: [[UInt8]] = []
        private var position: Int?

        init(recording side: Bool) { self.side = side }

        func rewind() { position = 0 }

        func treat(_ frame: [UInt8], fromDialer: Bool) -> (back: [UInt8], on: [UInt8]) {
            guard fromDialer == side else { return ([], frame) }
            guard let place = position else {
                frames.append(frame)
                return ([], frame)
            }
            position = place + 1
            return ([], place < frames.count ? frames[place] : frame)
        }
    }

    /// A peer that does not know the extension, but spoke a hybrid channel before, is not taken for less later on.
    @Test func strengthOnceSeenIsNotForgotten() throws {
        let world = World(seed: 5)
        let (alice, bob, mallory) = (world.host("alice"), world.host("bob"), world.host("mallory"))
        func swarm(_ host: WaggleSimulation.Host, _ seed: UInt8, knows: Bool) throws -> Swarm {
            let identity = LocalIdentity(try testKey(seed))
            let keys = try NoiseKeys(identity: identity, secret: SecureBytes([UInt8](repeating: seed + 50, count: 32)))
            let channels: [any SecureChannel] = ChannelCatalog.all(keys).map { knows ? $0 : WithoutExtension(inner: $0) }
            return Swarm(
                system: host.system, identity: identity, configuration: SwarmConfiguration(channels: channels, muxers: [Yamux()]),
                transports: [TCP()], addressBook: try AddressBook(system: host.system))
        }
        let (near, far) = (try swarm(alice, 1, knows: true), try swarm(bob, 2, knows: false))
        try world.run {
            let events = Recorder(near)
            try await far.listen(on: Multiaddr(bob.address(port: 4001), over: .tcp))
            let relay = try await Relay(on: mallory, before: bob.address(port: 4001)) {
                NegotiationTampering { $0 == "/noise" ? .forward($0) : .refuse }
            }
            let direct = Multiaddr(bob.address(port: 4001), over: .tcp).with(peer: far.localPeer)
            let tampered = Multiaddr(mallory.address(port: 4001), over: .tcp).with(peer: far.localPeer)
            // Before the peer was ever met there is nothing to go by: classical, and not said to be verified.
            let weak = try await near.connect(tampered).security
            #expect(!weak.isPostQuantum && !weak.transcriptVerified)
            await near.disconnect(far.localPeer)
            let strong = try await near.connect(direct).security
            #expect(strong.isPostQuantum && !strong.transcriptVerified)
            await near.disconnect(far.localPeer)
            near.addressBook.remove(far.localPeer)
            _ = try? await near.connect(tampered)
            #expect(near.connections.isEmpty)
            #expect(events.failures.contains(.handshake(.downgraded(expected: "/noise-mlkem768-hfs/0.2.0", negotiated: "/noise"))))
            let report = await near.metrics.collect()
            #expect(report.value("waggle_security_downgrades_total", ["dir": "outbound"]) == 1)
            for (channel, kem) in [("/noise", "X25519"), ("/noise-mlkem768-hfs/0.2.0", "X25519+ML-KEM-768")] {
                let labels: KeyValuePairs = ["channel": channel, "kem": kem, "signature": "Ed25519", "verified": "no"]
                #expect(report.value("waggle_security_connections_total", labels) == 1)
            }
            await relay.close()
            await near.close()
            await far.close()
        }
    }

    /// A node whose policy leaves it without any channel refuses, and does not trap.
    @Test func aNodeWithoutChannelsRefuses() throws {
        let world = World(seed: 6)
        let (alice, bob) = (world.host("alice"), world.host("bob"))
        func swarm(_ host: WaggleSimulation.Host, _ seed: UInt8, _ policy: SecurityPolicy) throws -> Swarm {
            let identity = LocalIdentity(try testKey(seed))
            let keys = try NoiseKeys(identity: identity, secret: SecureBytes([UInt8](repeating: seed + 50, count: 32)))
            var configuration = SwarmConfiguration(channels: [NoiseChannel.classical(keys)], muxers: [Yamux()])
            configuration.policy = policy
            return Swarm(
                system: host.system, identity: identity, configuration: configuration, transports: [TCP()],
                addressBook: try AddressBook(system: host.system))
        }
        let (near, far) = (try swarm(alice, 1, .prefer), try swarm(bob, 2, .require))
        try world.run {
            try await far.listen(on: Multiaddr(bob.address(port: 4001), over: .tcp))
            _ = try? await near.connect(Multiaddr(bob.address(port: 4001), over: .tcp).with(peer: far.localPeer))
            #expect(near.connections.isEmpty && far.connections.isEmpty)
            await near.close()
            await far.close()
        }
    }
}
