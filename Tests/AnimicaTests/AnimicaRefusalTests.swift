import Testing
import WaggleBase
import WaggleCryptography
import WaggleNetwork

@testable import WaggleStack

@Suite struct AnimicaRefusalTests {
    /// Runs until one side refuses; gives both errors and how often a key was computed by the responder (it never answers).
    private func refusal(_ dialer: ChainNode, _ listener: ChainNode, change: (inout [UInt8]) -> Void = { _ in }) throws -> (
        dialer: HandshakeError?, listener: HandshakeError?
    ) {
        var left = try dialer.machine(.initiator, random: 1)
        var right = try listener.machine(.responder, random: 2)
        var hello = try unwrap(left.next()).array
        change(&hello)
        var errors: (dialer: HandshakeError?, listener: HandshakeError?)
        do throws(HandshakeError) { _ = try right.receive(Bytes(hello).span) } catch { errors.listener = error }
        guard let words = right.next() else { return errors }
        do throws(HandshakeError) { _ = try left.receive(words.span) } catch { errors.dialer = error }
        #expect(left.next() == nil && right.next() == nil && left.finish() == nil && right.finish() == nil)
        return errors
    }

    @Test func anotherChainIsToldOnBothSides() throws {
        let errors = try refusal(.alice.on(.init(chain: 1)), .bob.on(.init(chain: 2)))
        #expect(errors.listener == .refused(HandshakeRefusal(.chain, ours: "2", theirs: "1")))
        #expect(errors.dialer == .refused(HandshakeRefusal(.chain, ours: "1", theirs: "2", isByPeer: true)))
        guard case .refused(let refusal)? = errors.dialer else { throw TestFailure() }
        #expect(refusal.description == "the peer refused: this node is on chain 1, the peer on chain 2")
    }

    @Test func anotherPolicyIsToldOnBothSides() throws {
        let strict = try AlgorithmPolicy([.mlKEM768, .mlDSA65, .aes256GCM, .sha3_256])
        let errors = try refusal(.alice.on(.init(chain: 1, policy: strict)), .bob.on(.init(chain: 1)))
        let roots = (strict.root.description, AlgorithmPolicy.standard.root.description)
        #expect(errors.listener == .refused(HandshakeRefusal(.policy, ours: roots.1, theirs: roots.0)))
        #expect(errors.dialer == .refused(HandshakeRefusal(.policy, ours: roots.0, theirs: roots.1, isByPeer: true)))
    }

    @Test func anotherVersionIsToldOnBothSides() throws {
        // A later version may have any layout behind its number.
        let errors = try refusal(.alice, .bob) { hello in
            hello[4] = 2
            for index in 5..<hello.count { hello[index] = 0xaa }
        }
        #expect(errors.listener == .refused(HandshakeRefusal(.version, ours: "1", theirs: "2")))
        #expect(errors.dialer == .refused(HandshakeRefusal(.version, ours: "1", theirs: "1", isByPeer: true)))
    }

    @Test func unknownAlgorithmsAreRefused() throws {
        let (kem, signature, ciphers) = (3 + 42, 3 + 44, 3 + 47)
        func error(at index: Int, _ values: [UInt8]) throws -> HandshakeRefusal? {
            let errors = try refusal(.alice, .bob) { $0.replaceSubrange(index..<index + values.count, with: values) }
            guard case .refused(let ours)? = errors.listener, case .refused(let theirs)? = errors.dialer else { return nil }
            #expect(theirs.reason == .algorithm && theirs.isByPeer)
            return ours
        }
        #expect(try error(at: kem, [0, 1])?.theirs == "0x1")
        #expect(try error(at: signature, [0, 0xed])?.theirs == "0xed")
        #expect(try error(at: signature, [0x12, 0x0c])?.reason == .algorithm)
        #expect(try error(at: ciphers, [0, 1, 0, 3])?.theirs == "0x1, 0x3")
        // One unknown cipher before one that is known is passed over.
        #expect(try error(at: ciphers, [0xff, 0xff]) == nil)
    }

    @Test func theResponderTakesTheFirstCipherThatIsAllowed() throws {
        let gcm = AnimicaChannel.Network(chain: 7, policy: try AlgorithmPolicy([.mlKEM768, .mlDSA65, .aes256GCM, .chaCha20Poly1305, .sha3_256]))
        let (left, right) = try AnimicaPair.connected(.alice.on(gcm), .bob.on(gcm))
        let records = try unwrap(left.records as? AnimicaRecords)
        #expect(records.sending.cipher.algorithm == .aes256GCM)
        #expect(try right.records.opened(left.records.sealed([5])) == [5])
        let standard = try unwrap(AnimicaPair.connected().initiator.records as? AnimicaRecords)
        #expect(standard.sending.cipher.algorithm == .chaCha20Poly1305)
        // What an answer chooses must be one, and one that was offered: the transcript has both.
        var pair = try AnimicaPair()
        try pair.responder.take(unwrap(pair.initiator.next()))
        var answer = try unwrap(pair.responder.next()).array
        answer[3 + 48] = 2
        #expect(throws: HandshakeError.notAuthentic) { try pair.initiator.take(Bytes(answer)) }
    }

    @Test func aRefusalSaysNothingElse() throws {
        var left = try ChainNode.alice.machine(.initiator, random: 1)
        _ = left.next()
        for (bytes, isRefusal) in [([0x7f, 0, 1, 1], true), ([0x7f, 0, 9, 2, 0, 0, 0, 0, 0, 0, 0, 9], true), ([0x7f, 0, 1, 99], false), ([0x7f, 0, 0], false)]
            as [([UInt8], Bool)]
        {
            var copy = left
            do {
                try copy.take(Bytes(bytes))
                Issue.record("accepted")
            } catch HandshakeError.refused(let refusal) {
                #expect(isRefusal && refusal.isByPeer)
            } catch HandshakeError.malformed {
                #expect(!isRefusal)
            }
        }
        var copy = left
        #expect(throws: HandshakeError.tooLong(bytes: 34)) { try copy.take(Bytes([0x7f, 0, 34])) }
    }
}

struct TestFailure: Error {}
