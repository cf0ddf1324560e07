import Testing
import WaggleBase
import WaggleCryptography
import WaggleNetwork
import WaggleSimulation

@testable import WaggleStack

/// Nodes with an Ed25519 and an ML-DSA-65 identity on `/animica/1`, and attackers who hold one of the two keys.
@Suite struct AnimicaPairTests {
    private let world = World(seed: 1)

    private func bindings() throws -> IdentityBindings { try IdentityBindings(system: world.host("node").system) }
    private func node(_ node: ChainNode) throws -> ChainNode { node.knowing(try bindings()) }
    private func nodeWithTwo(_ first: UInt64 = 21, _ second: UInt64 = 22) throws -> ChainNode { try node(ChainNode(two: first, second)) }

    private func connected(
        _ dialer: ChainNode, _ listener: ChainNode, expecting: PeerID? = nil
    ) throws -> (dialer: Secured, listener: Secured) {
        var pair = try AnimicaPair(dialer, listener, expecting: expecting)
        try pair.run()
        return (try unwrap(pair.initiator.finish()), try unwrap(pair.responder.finish()))
    }

    /// Why `reader` refuses `speaker`, who listens.
    private func refusal(_ speaker: ChainNode, by reader: ChainNode, expecting: PeerID? = nil) throws -> HandshakeError? {
        var pair = try AnimicaPair(reader, speaker, expecting: expecting)
        do {
            try pair.run()
            return nil
        } catch let error as HandshakeError {
            return error
        }
    }

    @Test func bothNamesAreProvenInEitherRole() throws {
        let two = try nodeWithTwo()
        let (first, second) = (two.identity.peer, try unwrap(two.identity.second).peer)
        for expected in [nil, first, second] {
            let outcome = try connected(try node(.alice), two, expecting: expected)
            #expect(outcome.dialer.peer == first && outcome.dialer.alias == second)
            #expect(outcome.dialer.key == two.identity.key.publicKey)
            #expect(outcome.dialer.security.signature == "Ed25519+ML-DSA-65" && outcome.dialer.security.transcriptVerified)
            #expect(outcome.listener.peer == ChainNode.alice.identity.peer && outcome.listener.alias == nil)
            #expect(outcome.listener.security.signature == "ML-DSA-65")
        }
        let outcome = try connected(two, try node(.hash))
        #expect(outcome.listener.peer == first && outcome.listener.alias == second)
        let both = try connected(two, try nodeWithTwo(23, 24))
        #expect(both.dialer.security.signature == "Ed25519+ML-DSA-65" && both.listener.security.signature == "Ed25519+ML-DSA-65")
        // Who does not ask for second identities sees the post-quantum one.
        let stranger = try connected(.alice, two)
        #expect(stranger.dialer.peer == second && stranger.dialer.alias == nil && stranger.dialer.security.signature == "ML-DSA-65")
    }

    /// A second name must be of an algorithm of the channel, and the first of Ed25519.
    @Test func onlyEd25519StandsBesides() throws {
        let ecdsa = try IdentityKeyPair(generating: .ecdsa, random: fixedBytes(30, KeyKind.ecdsa.randomLength))
        let second = try IdentityKeyPair(generating: .mlDSA65, random: fixedBytes(31, 32))
        let identity = LocalIdentity(ecdsa, second: try unwrap(SecondIdentity(second, of: ecdsa)))
        #expect(AnimicaChannel(identity: identity, network: .init(chain: 1), transports: []) == nil)
        let policy = try AlgorithmPolicy([.mlKEM768, .slhDSAShake128s, .chaCha20Poly1305, .sha3_256])
        #expect(AnimicaChannel(identity: try nodeWithTwo().identity, network: .init(chain: 1, policy: policy), transports: []) == nil)
    }

    @Test func forgersOfOneSignatureAreRefused() throws {
        let (reader, two) = (try node(.alice), try nodeWithTwo())
        let (first, second) = (two.identity.peer, try unwrap(two.identity.second).peer)
        _ = try connected(reader, two)
        // ML-DSA forged, nothing else: the name is known with a partner.
        let alone = try node(ChainNode(.mlDSA65, 22))
        #expect(alone.identity.peer == second)
        let missing = HandshakeError.identityRefused(IdentityRefusal(second, cause: .partnerMissing(first)))
        for expected in [nil, first, second] { #expect(try refusal(alone, by: reader, expecting: expected) == missing) }
        // ML-DSA forged, with an Ed25519 key of his own: the post-quantum name is contested, and nothing is left that the channel believes.
        let lattice = try nodeWithTwo(77, 22)
        #expect(try refusal(lattice, by: reader) == .identityRefused(IdentityRefusal(second, cause: .contested)))
        // Ed25519 forged, with an ML-DSA key of his own: he is that key.
        let quantum = try nodeWithTwo(21, 66)
        let own = try unwrap(quantum.identity.second).peer
        let outcome = try connected(reader, quantum)
        #expect(outcome.dialer.peer == own && outcome.dialer.alias == nil && outcome.dialer.security.signature == "ML-DSA-65")
        for expected in [first, second] {
            #expect(try refusal(quantum, by: reader, expecting: expected) == .wrongPeer(expected: expected, actual: own))
        }
        // At the first meeting the post-quantum name is safe.
        let newcomer = try node(.carol)
        #expect(try refusal(quantum, by: newcomer, expecting: second) == .wrongPeer(expected: second, actual: first))
        // Nothing of this changed who the node is.
        #expect(reader.bindings?.partner(of: first) == second)
        #expect(try connected(reader, two, expecting: second).dialer.alias == second)
    }

    /// A certificate is no secret, and a signature of one session is none of another.
    @Test func copiedProofsAreRefused() throws {
        let two = try nodeWithTwo()
        let pair = try unwrap(AnimicaPairProof(two.identity))
        let (name, key) = (pair.second.peer, pair.second.key.publicKey)
        let certificate = try unwrap(pair.second.certificate(at: try unwrap(two.bindings).now))
        var schedule = AnimicaSchedule()
        schedule.absorb(Bytes(utf8: "one session").span)
        var later = schedule
        later.absorb(Bytes(utf8: "another").span)
        var credentials = AnimicaCredentials(
            identityKey: key.encoded, transports: ["tcp"], muxers: [], channels: ["/animica/1", "/noise"], certificate: certificate.encoded)
        let signed = try credentials.encoded()
        credentials.pairSignature = try pair.sign(signed, schedule, .responder)

        func refusal(
            _ name: PeerID, _ key: PublicKey, _ schedule: AnimicaSchedule, _ role: Role, _ credentials: AnimicaCredentials
        ) throws -> IdentityRefusal.Cause? {
            let whole = try credentials.encoded()
            let (read, length) = try AnimicaCredentials.read(whole)
            #expect(length == whole.count)
            let signed = schedule.pairBytes(role, whole.prefix(length - read.pairSignature.count).span)
            do throws(HandshakeError) {
                _ = try AnimicaPairProof.settle(name, key, read, signed: signed, try? bindings())
                return nil
            } catch {
                guard case .identityRefused(let refusal) = error else { throw error }
                return refusal.cause
            }
        }
        #expect(try refusal(name, key, schedule, .responder, credentials) == nil)
        #expect(try refusal(name, key, later, .responder, credentials) == .certificate(.forged))
        #expect(try refusal(name, key, schedule, .initiator, credentials) == .certificate(.forged))
        var stripped = credentials
        stripped.channels = ["/noise"]
        #expect(try refusal(name, key, schedule, .responder, stripped) == .certificate(.forged))
        // Somebody else's certificate.
        let mallory = ChainNode.carol.identity
        #expect(try refusal(mallory.peer, mallory.key.publicKey, schedule, .responder, credentials) == .certificate(.wrongPeer))
        // One whose first key is not of Ed25519.
        let ecdsa = try IdentityKeyPair(generating: .ecdsa, random: fixedBytes(30, KeyKind.ecdsa.randomLength))
        var other = credentials
        other.certificate = try unwrap(SecondIdentity(pair.second.key, of: ecdsa)?.certificate(at: try unwrap(two.bindings).now)).encoded
        #expect(try refusal(name, key, schedule, .responder, other) == .certificate(.wrongKind))
        // A certificate without its signature.
        credentials.pairSignature = Bytes()
        let half = try credentials.encoded()
        #expect(throws: HandshakeError.malformed) { try AnimicaCredentials.read(half) }
    }
}
