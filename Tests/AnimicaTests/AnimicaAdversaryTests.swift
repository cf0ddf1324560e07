import Testing
import WaggleBase
import WaggleCryptography
import WaggleNetwork

@testable import WaggleStack

@Suite struct AnimicaAdversaryTests {
    /// The same numbers for the same seed.
    private struct Generator: RandomNumberGenerator {
        var state: UInt64
        mutating func next() -> UInt64 {
            state &+= 0x9e37_79b9_7f4a_7c15
            var z = state
            z = (z ^ (z >> 30)) &* 0xbf58_476d_1ce4_e5b9
            z = (z ^ (z >> 27)) &* 0x94d0_49bb_1331_11eb
            return z ^ (z >> 31)
        }
    }

    private static func mutated(_ message: Bytes, _ random: inout Generator) -> Bytes {
        var array = message.array
        for _ in 0..<Int.random(in: 1...4, using: &random) {
            switch Int.random(in: 0..<5, using: &random) {
            case 0: array[Int.random(in: 0..<array.count, using: &random)] = UInt8.random(in: 0...255, using: &random)
            case 1: array.removeLast(Int.random(in: 0..<array.count, using: &random))
            case 2: array.insert(contentsOf: [UInt8](repeating: 0xff, count: 40), at: Int.random(in: 0...array.count, using: &random))
            case 3: array = Array(array.prefix(3)) + Array(array.dropFirst(3).shuffled(using: &random).prefix(2000))
            default: for index in 3..<min(60, max(4, array.count)) where index < array.count { array[index] = UInt8.random(in: 0...255, using: &random) }
            }
            if array.isEmpty { array = [UInt8.random(in: 0...3, using: &random)] }
        }
        return Bytes(array)
    }

    @Test func noInputTrapsOrGetsThrough() throws {
        var random = Generator(state: 7)
        var pair = try AnimicaPair()
        let fresh = pair
        let hello = try unwrap(pair.initiator.next())
        try pair.responder.take(hello)
        let waiting = pair.responder
        let answered = pair.initiator
        let answer = try unwrap(pair.responder.next())
        try pair.initiator.take(answer)
        let finish = try unwrap(pair.initiator.next())
        let stages: [(AnimicaMachine, Bytes)] = [(fresh.responder, hello), (answered, answer), (waiting, finish)]
        for round in 0..<600 {
            let (machine, message) = stages[round % 3]
            var copy = machine
            while copy.next() != nil {}
            let input = AnimicaAdversaryTests.mutated(message, &random)
            guard input != message else { continue }
            do throws(HandshakeError) {
                let used = try copy.receive(input.span)
                #expect(used <= input.count)
            } catch {
                #expect(copy.takeWork() == nil)
            }
            // A HELLO may have been changed into another that fits; nobody is believed for it.
            #expect(copy.finish() == nil)
        }
    }

    @Test func credentialsOfAnyShapeAreReadOrRefused() throws {
        var random = Generator(state: 8)
        let whole = try AnimicaCredentials(
            identityKey: ChainNode.alice.identity.key.publicKey.encoded, transports: ["tcp", "quic"], muxers: ["/yamux/1.0.0"],
            channels: ["/animica/1", "/noise"], certificate: Bytes([UInt8](repeating: 7, count: 300)),
            pairSignature: Bytes([UInt8](repeating: 8, count: AnimicaPairProof.signatureLength))
        ).encoded()
        let (read, length) = try AnimicaCredentials.read(Bytes(whole.array + [1, 2, 3]))
        #expect(length == whole.count && read.transports == ["tcp", "quic"] && read.channels == ["/animica/1", "/noise"])
        #expect(read.certificate.count == 300 && read.pairSignature.count == AnimicaPairProof.signatureLength)
        for length in 0..<whole.count { #expect(throws: HandshakeError.malformed) { try AnimicaCredentials.read(whole.prefix(length)) } }
        for _ in 0..<3000 {
            do throws(HandshakeError) {
                let (read, length) = try AnimicaCredentials.read(AnimicaAdversaryTests.mutated(whole.dropFirst(1950), &random))
                #expect(length >= 7 && read.muxers.count <= AnimicaLimits.names)
            } catch {
                #expect(error == .malformed)
            }
        }
        // More names than there may be, and names that are empty or no text.
        let key = Array(whole.prefix(2 + ChainNode.alice.identity.key.publicKey.encoded.count))
        for lists in [[33] + [UInt8](repeating: 1, count: 200), [1, 0, 0, 0, 0, 0], [1, 2, 0xff, 0xfe, 0, 0, 0, 0]] as [[UInt8]] {
            #expect(throws: HandshakeError.malformed) { try AnimicaCredentials.read(Bytes(key + lists)) }
        }
        let names = [ProtocolID](repeating: "/a", count: 33)
        #expect(throws: HandshakeError.malformed) {
            try AnimicaCredentials(identityKey: Bytes(), transports: [], muxers: names, channels: []).encoded()
        }
    }

    @Test func noiseNoticesThatTheChainsChannelWasStripped() throws {
        // Both nodes offer /animica/1 first, and end up on hybrid Noise because somebody took it out of the negotiation.
        let channels: [ProtocolID] = ["/animica/1", "/noise-mlkem768-hfs/0.2.0", "/noise"]
        func machine(_ node: ChainNode, _ role: Role, _ seed: UInt64) throws -> any Handshake {
            let keys = try NoiseKeys(identity: node.identity, secret: fixedBytes(seed, 32))
            return NoiseChannel.hybrid(keys)[0].makeHandshake(
                HandshakeParameters(
                    role: role, muxers: ["/yamux/1.0.0"], configuredChannels: channels, random: fixedBytes(seed + 1, HandshakeParameters.randomLength)))
        }
        var (left, right) = (try machine(.alice, .initiator, 10), try machine(.bob, .responder, 20))
        let first = try unwrap(left.next())
        _ = try right.receive(first.span)
        let second = try unwrap(right.next())
        #expect(throws: HandshakeError.downgraded(expected: "/animica/1", negotiated: "/noise-mlkem768-hfs/0.2.0")) {
            _ = try left.receive(second.span)
        }
    }
}
