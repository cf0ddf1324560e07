import COpenSSL
import Testing
import WaggleBase
import WaggleCryptography

@Suite(.serialized) struct MLDSATests {
    static let sets: [MLDSA.Parameters] = [.mldsa44, .mldsa65, .mldsa87]

    private func seed(_ number: UInt64) -> SecureBytes { SecureBytes(Bytes(pseudorandom: 32, seed: number)) }
    private let message = Bytes(utf8: "the message")

    @Test(arguments: sets, KernelLevel.available)
    func roundTrip(parameters: MLDSA.Parameters, level: KernelLevel) throws {
        try level.held {
            for number: UInt64 in 1...5 {
                let key = try #require(MLDSA.PrivateKey(seed: seed(number), parameters))
                #expect(key.publicKey.encoded.count == parameters.publicKeyLength)
                #expect(key.expanded.count == parameters.expandedKeyLength)
                let context = Bytes(utf8: "context \(number)")
                let signature = try #require(key.sign(message, context: context, randomness: seed(number + 100)))
                #expect(signature.count == parameters.signatureLength)
                let received = try #require(MLDSA.PublicKey(key.publicKey.encoded, parameters))
                #expect(received.verify(signature, of: message, context: context))
                #expect(!received.verify(signature, of: message))
                #expect(!received.verify(signature, of: Bytes(utf8: "another"), context: context))

                let stored = try #require(MLDSA.PrivateKey(expanded: key.expanded, parameters))
                #expect(stored.seed == nil && stored.publicKey == key.publicKey)
                #expect(stored.sign(message) == key.sign(message))

                var forged = signature.array
                forged[Int(number * 631) % forged.count] ^= 1 << (number % 8)
                #expect(!received.verify(Bytes(forged), of: message, context: context))
            }
        }
    }

    /// All kernels give the same keys and signatures, over many attempts.
    @Test(arguments: sets)
    func kernelsAgree(parameters: MLDSA.Parameters) throws {
        var answers: Set<Bytes> = []
        for level in KernelLevel.available {
            answers.insert(
                try level.held {
                    var hash = SHA256()
                    for number: UInt64 in 1...20 {
                        let key = try #require(MLDSA.PrivateKey(seed: seed(number), parameters))
                        hash.update(key.expanded)
                        hash.update(try #require(key.sign(Bytes(pseudorandom: 100, seed: number), randomness: seed(number + 50))))
                    }
                    return hash.finish().bytes
                })
        }
        #expect(answers.count == 1)
    }

    @Test(arguments: sets)
    func wrongLengthsAndRanges(parameters: MLDSA.Parameters) throws {
        #expect(MLDSA.PrivateKey(seed: SecureBytes([1]), parameters) == nil)
        #expect(MLDSA.PrivateKey(expanded: SecureBytes([1]), parameters) == nil)
        #expect(MLDSA.PublicKey(Bytes([1]), parameters) == nil)
        let key = try #require(MLDSA.PrivateKey(seed: seed(1), parameters))
        let longest = Bytes(pseudorandom: 255, seed: 2), tooLong = Bytes(pseudorandom: 256, seed: 2)
        #expect(key.sign(message, context: tooLong) == nil)
        #expect(key.sign(message, randomness: SecureBytes([1])) == nil)
        #expect(key.sign(representative: message) == nil)
        #expect(key.publicKey.representative(of: message, context: tooLong) == nil)
        let signature = try #require(key.sign(message, context: longest))
        #expect(key.publicKey.verify(signature, of: message, context: longest))
        #expect(!key.publicKey.verify(signature, of: message, context: tooLong))
        #expect(!key.publicKey.verify(signature, ofRepresentative: message))
        #expect(!key.publicKey.verify(signature.prefix(signature.count - 1), of: message, context: longest))
        #expect(!key.publicKey.verify(Bytes(signature.array + [0]), of: message, context: longest))
        #expect(!key.publicKey.verify(Bytes(), of: message, context: longest))
        // Parts that do not belong together: K may be anything, the digest of the public key may not.
        var expanded = key.expanded.revealed.array
        expanded[70] ^= 1
        #expect(MLDSA.PrivateKey(expanded: SecureBytes(expanded), parameters) == nil)
        // Bytes that are all ones are out of every range, and no peer's bytes may trap.
        #expect(MLDSA.PrivateKey(expanded: SecureBytes([UInt8](repeating: 255, count: expanded.count)), parameters) == nil)
        for byte: UInt8 in [0, 1, 127, 255] {
            #expect(!key.publicKey.verify(Bytes([UInt8](repeating: byte, count: signature.count)), of: message))
        }
    }

    /// Only one encoding of a hint is accepted.
    @Test func hintsAreCanonical() throws {
        let key = try #require(MLDSA.PrivateKey(seed: seed(3), .mldsa65))
        let signature = try #require(key.sign(message)).array
        let places = signature.count - 61, ends = signature.count - 6
        let first = Int(signature[ends])
        try #require(first >= 2)
        func isAccepted(_ change: (inout [UInt8]) -> Void) -> Bool {
            var changed = signature
            change(&changed)
            return key.publicKey.verify(Bytes(changed), of: message)
        }
        #expect(isAccepted { _ in })
        #expect(!isAccepted { $0.swapAt(places, places + 1) })
        #expect(!isAccepted { $0[places + 1] = $0[places] })
        #expect(!isAccepted { $0[ends] = 56 })
        #expect(!isAccepted { $0[ends + 5] = 255 })
        #expect(!isAccepted { $0[ends + 1] = UInt8(first - 1) })
        if signature[ends + 5] < 55 { #expect(!isAccepted { $0[ends - 1] = 1 }) }
    }
}
