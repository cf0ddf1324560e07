import Testing
import WaggleBase
import WaggleCryptography

@Suite(.serialized) struct SLHDSATests {
    private func seed(_ parameters: SLHDSA.Parameters, _ number: UInt64) -> SecureBytes {
        SecureBytes(Bytes(pseudorandom: parameters.seedLength, seed: number))
    }

    private let message = Bytes(utf8: "the message")

    /// Sets that sign fast, on all kernels, which must agree.
    @Test(arguments: SLHDSA.Parameters.all.filter { $0.name.hasSuffix("f") })
    func roundTrip(parameters: SLHDSA.Parameters) throws {
        var signatures: Set<Bytes> = []
        for level in KernelLevel.available {
            try level.held {
                let key = try #require(SLHDSA.PrivateKey(seed: seed(parameters, 5), parameters))
                let context = Bytes(utf8: "context")
                let signature = try #require(key.sign(message, context: context))
                signatures.insert(signature)
                #expect(signature.count == parameters.signatureLength)
                let received = try #require(SLHDSA.PublicKey(key.publicKey.encoded, parameters))
                #expect(received.verify(signature, of: message, context: context))
                #expect(!received.verify(signature, of: message))
                #expect(!received.verify(signature, of: Bytes(utf8: "another"), context: context))
                for position in stride(from: 0, to: signature.count, by: signature.count / 20) {
                    var forged = signature.array
                    forged[position] ^= 1
                    #expect(!received.verify(Bytes(forged), of: message, context: context), "position \(position)")
                }
            }
        }
        #expect(signatures.count == 1)
    }

    @Test func wrongLengths() throws {
        let parameters = SLHDSA.Parameters.shake128f
        #expect(SLHDSA.PrivateKey(seed: SecureBytes([1]), parameters) == nil)
        #expect(SLHDSA.PrivateKey(SecureBytes([1]), parameters) == nil)
        #expect(SLHDSA.PublicKey(Bytes([1]), parameters) == nil)
        let key = try #require(SLHDSA.PrivateKey(seed: seed(parameters, 1), parameters))
        let tooLong = Bytes(pseudorandom: 256, seed: 2)
        #expect(key.sign(message, context: tooLong) == nil)
        #expect(key.sign(message, randomness: SecureBytes([1])) == nil)
        let signature = try #require(key.sign(message, randomness: SecureBytes(Bytes(pseudorandom: 16, seed: 3))))
        #expect(key.publicKey.verify(signature, of: message))
        #expect(signature != key.sign(message))
        #expect(!key.publicKey.verify(signature, of: message, context: tooLong))
        #expect(!key.publicKey.verify(signature.prefix(signature.count - 1), of: message))
        #expect(!key.publicKey.verify(Bytes(signature.array + [0]), of: message))
        #expect(!key.publicKey.verify(Bytes(), of: message))
        let stored = try #require(SLHDSA.PrivateKey(key.encoded, parameters))
        #expect(stored.publicKey == key.publicKey && stored.sign(message) == key.sign(message))
    }
}
