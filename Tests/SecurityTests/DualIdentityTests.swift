import Testing
import WaggleBase
import WaggleCryptography
import WaggleFormats
import WaggleSimulation

@testable import WaggleNetwork
@testable import WaggleStack

/// Nodes with two identities among others, and attackers who can forge one of the two signatures: they hold that key.
@Suite struct DualIdentityTests {
    /// What somebody has.
    private struct Cast: Sendable {
        var first: UInt8 = 0
        var second: UInt8?
        /// Whether it knows what a second identity is.
        var knows = true
        /// An ML-DSA identity alone, in the place of the first.
        var postQuantumAlone = false

        static let alice = Cast(first: 1)
        static let bob = Cast(first: 2, second: 3)
        /// Forges Ed25519: has Bob's first key and an ML-DSA key of his own, or none.
        static let quantum = Cast(first: 2)
        static let quantumWithOwn = Cast(first: 2, second: 66)
        /// Forges ML-DSA: has Bob's second key, alone or with an Ed25519 key of his own.
        static let lattice = Cast(first: 3, postQuantumAlone: true)
        static let latticeWithOwn = Cast(first: 77, second: 3)
    }

    private static let bobFirst = Swift.Result { PeerID(try testKey(2).publicKey) }
    private static let bobSecond = Swift.Result { PeerID(try testSecondKey(3).publicKey) }

    private static func swarm(
        _ world: World, _ host: String, _ cast: Cast, bindings given: IdentityBindings? = nil, policy: SecurityPolicy = .prefer
    ) async throws -> Swarm {
        let system = world.host(host).system
        let key = try cast.postQuantumAlone ? testSecondKey(cast.first) : testKey(cast.first)
        let second = try cast.second.flatMap { SecondIdentity(try testSecondKey($0), of: key) }
        let identity = LocalIdentity(key, second: second)
        let bindings = try given ?? IdentityBindings(system: system)
        let keys = try NoiseKeys(
            identity: identity, secret: SecureBytes(count: 32) { system.fillRandom($0) }, bindings: cast.knows ? bindings : nil)
        var configuration = SwarmConfiguration(channels: ChannelCatalog.all(keys), muxers: [Yamux()])
        configuration.policy = policy
        // Tests dial again at once.
        configuration.dialing.backOff = .nanoseconds(1)
        let swarm = Swarm(
            system: system, identity: identity, configuration: configuration, transports: [TCP()],
            addressBook: try AddressBook(system: system, identities: bindings))
        swarm.register(Echo())
        try await swarm.listen(on: Multiaddr(world.host(host).address(port: 4001), over: .tcp))
        return swarm
    }

    private static func address(_ swarm: Swarm, as peer: PeerID) -> Multiaddr { swarm.listenAddresses[0].with(peer: peer) }

    /// Why a dial failed, with nothing but this one address to go by.
    private static func causes(_ swarm: Swarm, _ address: Multiaddr) async -> [TransportError] {
        for peer in swarm.addressBook.peers { swarm.addressBook.remove(peer) }
        do {
            _ = try await swarm.connect(address)
            return []
        } catch SwarmError.dialFailed(let failures) {
            return failures.map(\.cause)
        } catch { return [.cancelled] }
    }

    @Test(arguments: [SecurityPolicy.classical, .prefer]) func oneNodeUnderBothNames(policy: SecurityPolicy) throws {
        let world = World(seed: 1)
        try world.run {
            let (first, second) = (try Self.bobFirst.get(), try Self.bobSecond.get())
            for dialed in [first, second] {
                let alice = try await Self.swarm(world, "alice \(dialed.short)", .alice, policy: policy)
                let bob = try await Self.swarm(world, "bob \(dialed.short)", .bob, policy: policy)
                let events = Recorder(alice)
                // Nothing is known beforehand but the name that is dialed.
                let connection = try await alice.connect(Self.address(bob, as: dialed))
                #expect(connection.peer == first && connection.alias == second)
                #expect(connection.security.signature == "Ed25519+ML-DSA-65" && connection.security.transcriptVerified)
                #expect(connection.security.isPostQuantum == (policy == .prefer))
                // The other side has one identity, and shows it.
                try await alice.until { !bob.connections.isEmpty }
                #expect(bob.connections[0].security.signature == "Ed25519" && bob.connections[0].alias == nil)
                // All that goes by names knows both.
                for name in [first, second] {
                    #expect(alice.isConnected(name) && alice.connections(to: name).count == 1)
                    #expect(try await alice.connect(to: name) === connection)
                    #expect(try await alice.echo("hi", to: name) == "hi")
                    #expect(alice.addressBook.addresses(of: name) == bob.listenAddresses)
                }
                #expect(alice.peers == [first] && alice.connections.count == 1)
                alice.protect(second, tag: "test")
                #expect(alice.isProtected(first) && alice.isProtected(second))
                alice.unprotect(second, tag: "test")
                #expect(!alice.isProtected(first))
                #expect(events.all.contains { if case .peerConnected(first) = $0 { true } else { false } })
                // A rule for either name closes the connection.
                alice.gate.deny(second)
                try await alice.until { alice.connections.isEmpty }
                #expect(!alice.isConnected(first) && !alice.isConnected(second))
                await alice.close()
                await bob.close()
            }
        }
    }

    @Test func twoNodesWithTwo() throws {
        let world = World(seed: 2)
        try world.run {
            let alice = try await Self.swarm(world, "alice", Cast(first: 1, second: 9))
            let bob = try await Self.swarm(world, "bob", .bob)
            let connection = try await alice.connect(Self.address(bob, as: try Self.bobSecond.get()))
            try await alice.until { !bob.connections.isEmpty }
            for security in [connection.security, bob.connections[0].security] {
                #expect(security.signature == "Ed25519+ML-DSA-65" && security.isPostQuantum && security.transcriptVerified)
            }
            #expect(bob.connections[0].alias == alice.identity.second?.peer)
            let report = await alice.metrics.collect()
            let labels: KeyValuePairs = [
                "channel": "/noise-mlkem768-hfs/0.2.0", "kem": "X25519+ML-KEM-768", "signature": "Ed25519+ML-DSA-65", "verified": "yes",
            ]
            #expect(report.value("waggle_security_connections_total", labels) == 1)
            // A node does not dial itself, under neither name.
            for own in [alice.localPeer, try #require(alice.identity.second).peer] {
                await #expect(throws: SwarmError.refused(.ourselves)) { try await alice.connect(to: own, addresses: bob.listenAddresses) }
            }
            await alice.close()
            await bob.close()
        }
    }

    /// Peers that have never heard of second identities see the first one, as ever.
    @Test func othersSeeTheFirst() throws {
        let world = World(seed: 3)
        try world.run {
            let stranger = try await Self.swarm(world, "stranger", Cast(first: 8, knows: false))
            let bob = try await Self.swarm(world, "bob", .bob)
            let there = try await stranger.connect(Self.address(bob, as: try Self.bobFirst.get()))
            #expect(there.peer == bob.localPeer && there.alias == nil && there.security.signature == "Ed25519")
            await stranger.disconnect(bob.localPeer)
            let back = try await bob.connect(Self.address(stranger, as: stranger.localPeer))
            #expect(back.peer == stranger.localPeer && back.alias == nil)
            let causes = await Self.causes(stranger, Self.address(bob, as: try Self.bobSecond.get()))
            #expect(!causes.isEmpty)
            await stranger.close()
            await bob.close()
        }
    }

    /// Certificates are renewed in time; a node that gives its second identity up is missed until the last one is over.
    @Test func certificatesComeAndGo() throws {
        let world = World(seed: 8)
        try world.run(limit: .seconds(60 * 86_400)) {
            let (first, second) = (try Self.bobFirst.get(), try Self.bobSecond.get())
            let alice = try await Self.swarm(world, "alice", .alice)
            let bob = try await Self.swarm(world, "bob", .bob)
            let bindings = alice.addressBook.identities
            var sequences: [UInt64] = []
            for _ in 0..<4 {
                #expect(try await alice.connect(Self.address(bob, as: second)).alias == second)
                sequences.append(try #require(bindings.binding(of: first)).sequence)
                await alice.disconnect(first)
                try await world.sleep(for: .seconds(2 * 86_400))
            }
            // One certificate serves for some days, then comes the next.
            #expect(Set(sequences).count == 2 && sequences == sequences.sorted())
            await bob.close()
            let alone = try await Self.swarm(world, "alone", Cast(first: 2))
            let missing = TransportError.handshake(.handshake(.identityRefused(IdentityRefusal(first, cause: .partnerMissing(second)))))
            #expect(await Self.causes(alice, Self.address(alone, as: first)) == [missing])
            try await world.sleep(for: IdentityCertificateLimits.lifetime)
            let connection = try await alice.connect(Self.address(alone, as: first))
            #expect(connection.peer == first && connection.alias == nil && connection.security.signature == "Ed25519")
            await alice.close()
            await alone.close()
        }
    }

    // MARK: Attackers

    /// Whoever knows the pair believes neither name to somebody who can prove only one, as dialer and as listener.
    @Test func forgersOfOneSignatureAreRefused() throws {
        let world = World(seed: 4)
        try world.run {
            let (first, second) = (try Self.bobFirst.get(), try Self.bobSecond.get())
            let alice = try await Self.swarm(world, "alice", .alice)
            let bob = try await Self.swarm(world, "bob", .bob)
            _ = try await alice.connect(Self.address(bob, as: first))
            await alice.disconnect(first)

            // Ed25519 forged, nothing else: refused under either name, and nothing is forgotten.
            let quantum = try await Self.swarm(world, "quantum", .quantum)
            let missing = TransportError.handshake(.handshake(.identityRefused(IdentityRefusal(first, cause: .partnerMissing(second)))))
            #expect(await Self.causes(alice, Self.address(quantum, as: first)) == [missing])
            #expect(await Self.causes(alice, Self.address(quantum, as: second)) == [missing])
            let inbound = Recorder(alice)
            _ = try? await quantum.connect(Self.address(alice, as: alice.localPeer))
            try await alice.until { !inbound.failures.isEmpty }
            #expect(inbound.failures == [.handshake(.identityRefused(IdentityRefusal(first, cause: .partnerMissing(second))))])

            // ML-DSA forged, nothing else.
            let lattice = try await Self.swarm(world, "lattice", .lattice)
            let alone = TransportError.handshake(.handshake(.identityRefused(IdentityRefusal(second, cause: .partnerMissing(first)))))
            #expect(await Self.causes(alice, Self.address(lattice, as: second)) == [alone])

            // With a key of their own for the other half they are called by that key, and reach nobody who asked for Bob.
            let (other, own) = (try testSecondKey(66), try testKey(77))
            let withOwn = try await Self.swarm(world, "quantum with own", .quantumWithOwn)
            #expect(await Self.causes(alice, Self.address(withOwn, as: first)) == [.wrongPeer(PeerID(other.publicKey))])
            #expect(await Self.causes(alice, Self.address(withOwn, as: second)) == [.wrongPeer(PeerID(other.publicKey))])
            let asHimself = try await alice.connect(Self.address(withOwn, as: PeerID(other.publicKey)))
            #expect(asHimself.peer == PeerID(other.publicKey) && asHimself.alias == nil && asHimself.security.signature == "ML-DSA-65")
            let latticeWithOwn = try await Self.swarm(world, "lattice with own", .latticeWithOwn)
            #expect(await Self.causes(alice, Self.address(latticeWithOwn, as: first)) == [.wrongPeer(PeerID(own.publicKey))])
            #expect(await Self.causes(alice, Self.address(latticeWithOwn, as: second)) == [.wrongPeer(PeerID(own.publicKey))])
            // Inbound, too, they are themselves.
            _ = try await latticeWithOwn.connect(Self.address(alice, as: alice.localPeer))
            try await alice.until { alice.isConnected(PeerID(own.publicKey)) }
            #expect(!alice.isConnected(first) && !alice.isConnected(second))

            // And Bob is who he was.
            #expect(alice.addressBook.identities.all.map(\.classical) == [first])
            let again = try await alice.connect(to: second, addresses: bob.listenAddresses, ignoringBackOff: true)
            #expect(again.peer == first && again.alias == second)
            for swarm in [alice, bob, quantum, lattice, withOwn, latticeWithOwn] { await swarm.close() }
        }
    }

    /// At the first meeting the name that is asked for must be proven: a forger of Ed25519 is not reached under the post-quantum name.
    @Test func theFirstMeetingUnderThePostQuantumName() throws {
        let world = World(seed: 5)
        try world.run {
            let (first, second) = (try Self.bobFirst.get(), try Self.bobSecond.get())
            let alice = try await Self.swarm(world, "alice", .alice)
            for (name, cast) in [("quantum", Cast.quantum), ("with own", .quantumWithOwn)] {
                let attacker = try await Self.swarm(world, name, cast)
                #expect(await Self.causes(alice, Self.address(attacker, as: second)) == [.wrongPeer(first)])
                await attacker.close()
            }
            // Even when he came first and got himself remembered with Bob's classical name, Bob is reached under his post-quantum one,
            #expect(alice.addressBook.identities.partner(of: first) == PeerID(try testSecondKey(66).publicKey))
            let bob = try await Self.swarm(world, "bob", .bob)
            let connection = try await alice.connect(Self.address(bob, as: second))
            // and goes by that alone, because two claim the other.
            #expect(connection.peer == second && connection.alias == nil && connection.security.signature == "ML-DSA-65")
            await alice.close()
            await bob.close()
        }
    }

    /// Somebody who watched Bob's handshake, or was his peer, has his certificate and his signature of that session. Neither helps in another.
    @Test func copiedProofsAreRefused() throws {
        let (alice, bob) = (try testKey(1), try testKey(2))
        let world = World(seed: 6)
        let system = world.host("alice").system
        try world.run {
            func keys(_ identity: LocalIdentity, _ seed: UInt8) throws -> NoiseKeys {
                try NoiseKeys(
                    identity: identity, secret: SecureBytes([UInt8](repeating: seed, count: 32)), bindings: try IdentityBindings(system: system))
            }
            let second = try #require(SecondIdentity(testSecondKey(3), of: bob))
            let honest = try keys(LocalIdentity(bob, second: second), 1)
            let reader = try keys(LocalIdentity(alice), 2)
            let channels: [ProtocolID] = ["/noise"]
            let (hash, later) = (SHA256.hash(Bytes(utf8: "one session")), SHA256.hash(Bytes(utf8: "another")))
            var payload = NoisePayload()
            payload.identityKey = bob.publicKey.encoded
            payload.identitySignature = honest.signature
            payload.channels = channels
            payload.transcriptSignature = Bytes([1])
            try NoiseDualIdentity.write(to: &payload, honest, hash, channels)
            let verified = NoiseKeys.Verified(peer: PeerID(bob.publicKey), key: bob.publicKey)
            let read = try NoiseDualIdentity.read(try NoisePayload(payload.encoded), reader, hash, verified)
            #expect(read.names.alias == second.peer && read.signature == "Ed25519+ML-DSA-65")

            func refusal(_ payload: NoisePayload, _ hash: Digest256, _ verified: NoiseKeys.Verified) -> HandshakeError? {
                do throws(HandshakeError) {
                    _ = try NoiseDualIdentity.read(payload, reader, hash, verified)
                    return nil
                } catch { return error }
            }
            let forged = HandshakeError.identityRefused(IdentityRefusal(verified.peer, .forged))
            #expect(refusal(payload, later, verified) == forged)
            // Another list of channels under the same signature: stripping an offer takes this key too.
            var stripped = payload
            stripped.channels = []
            #expect(refusal(stripped, hash, verified) == forged)
            // Bob's certificate shown by somebody else, who is no part of it.
            let mallory = try testKey(5)
            let own = NoiseKeys.Verified(peer: PeerID(mallory.publicKey), key: mallory.publicKey)
            #expect(refusal(payload, hash, own) == .identityRefused(IdentityRefusal(own.peer, .wrongPeer)))
            // A certificate without a signature, and the other way round, is no payload.
            var half = payload
            half.secondSignature = Bytes()
            #expect(throws: HandshakeError.malformed) { try NoisePayload(half.encoded) }
            half = payload
            half.certificate = nil
            #expect(throws: HandshakeError.malformed) { try NoisePayload(half.encoded) }
        }
    }

    /// Names and signatures inside the handshake cannot be taken out by someone on the path: they are encrypted, so the connection ends.
    @Test func aRelayCannotTakeTheSecondIdentityAway() throws {
        let world = World(seed: 7)
        try world.run {
            let alice = try await Self.swarm(world, "alice", .alice)
            let bob = try await Self.swarm(world, "bob", .bob)
            let target = world.host("bob").address(port: 4001)
            for kind in FrameAttack.Kind.allCases where kind != .replayFirst {
                let host = world.host("mallory \(kind)")
                let relay = try await Relay(on: host, before: target) {
                    NegotiationTampering({ .forward($0) }, FrameAttack(kind, frame: 0, ofDialer: false))
                }
                _ = try? await alice.connect(Multiaddr(host.address(port: 4001), over: .tcp).with(peer: try Self.bobSecond.get()))
                #expect(alice.connections.isEmpty || kind == .duplicate || kind == .reflect, "\(kind)")
                for connection in alice.connections { #expect(connection.alias == (try Self.bobSecond.get())) }
                await alice.disconnect(bob.localPeer)
                await relay.close()
            }
            await alice.close()
            await bob.close()
        }
    }
}
