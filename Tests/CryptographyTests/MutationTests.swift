import Testing
import WaggleBase
import WaggleCryptography

/// Broken keys: thousands of mutations of valid ones must be refused or be keys whose encoding is exactly what was read.
@Suite struct MutationTests {
    /// A small reproducible generator.
    private struct Generator {
        var state: UInt64
        mutating func next(below bound: Int) -> Int {
            state ^= state << 13
            state ^= state >> 7
            state ^= state << 17
            return Int(state >> 33) % max(bound, 1)
        }
    }

    private func mutate(_ bytes: [UInt8], _ generator: inout Generator) -> [UInt8] {
        var bytes = bytes
        for _ in 0...generator.next(below: 2) {
            let index = generator.next(below: bytes.count)
            switch generator.next(below: 5) {
            case 0: bytes[index] ^= 1 << UInt8(generator.next(below: 8))
            case 1: bytes[index] = [0, 1, 0x7f, 0x80, 0xff][generator.next(below: 5)]
            case 2: bytes.insert(UInt8(generator.next(below: 256)), at: index)
            case 3: bytes.remove(at: index)
            default: bytes.removeLast(generator.next(below: min(8, bytes.count)))
            }
            if bytes.isEmpty { bytes = [0] }
        }
        return bytes
    }

    @Test(arguments: ["rsa", "ed25519", "secp256k1", "ecdsa"])
    func publicKeys(name: String) throws {
        let vectors = try Vectors.json("libp2p-keys/peer_id_keys.json", as: [String: Hex].self)
        let valid = try vectors["\(name) public key"].required().array
        var generator = Generator(state: 0x5eed)
        for _ in 0..<2000 {
            let bytes = Bytes(mutate(valid, &generator))
            do {
                let key = try PublicKey(decoding: bytes)
                #expect(key.encoded == bytes)
                _ = key.verify(bytes, of: bytes)
            } catch {
                // Refused with a reason, as it should be.
            }
        }
    }

    @Test(arguments: ["rsa", "ed25519", "secp256k1", "ecdsa"])
    func privateKeys(name: String) throws {
        let vectors = try Vectors.json("libp2p-keys/peer_id_keys.json", as: [String: Hex].self)
        let valid = try vectors["\(name) private key"].required().array
        var generator = Generator(state: 0xfeed)
        // Checking an RSA key tests its primes, which takes a good part of a second for each that parses.
        for _ in 0..<(name == "rsa" ? 12 : 200) {
            do {
                let pair = try IdentityKeyPair(decoding: Bytes(mutate(valid, &generator)))
                let signature = try #require(pair.sign("x"))
                #expect(pair.publicKey.verify(signature, of: "x"))
            } catch is KeyError {
                // Refused with a reason, as it should be.
            }
        }
    }

    @Test(arguments: [KeyKind.mlDSA44, .slhDSAShake128s])
    func postQuantumKeys(kind: KeyKind) throws {
        let pair = try IdentityKeyPair(generating: kind, random: SecureBytes(Bytes(pseudorandom: kind.randomLength, seed: 4)))
        var generator = Generator(state: 0xbeef)
        for round in 0..<400 {
            let bytes = Bytes(mutate(pair.publicKey.encoded.array, &generator))
            do {
                let key = try PublicKey(decoding: bytes)
                #expect(key.encoded == bytes)
                if round < 20 { _ = key.verify(bytes, of: bytes) }
            } catch {
                // Refused with a reason, as it should be.
            }
            do {
                let read = try IdentityKeyPair(decoding: Bytes(mutate(pair.encoded.revealed.array, &generator)))
                #expect(try IdentityKeyPair(decoding: read.encoded).publicKey == read.publicKey)
            } catch {
                // Refused with a reason, as it should be.
            }
        }
    }

    @Test func encapsulationKeysAndCiphertexts() throws {
        let seed = SecureBytes(Bytes(pseudorandom: 32, seed: 8))
        let key = try #require(MLKEM768.generate(d: seed, z: seed))
        let valid = try #require(MLKEM768.encapsulate(to: key.encapsulationKey, m: seed))
        var generator = Generator(state: 0xabcd)
        for _ in 0..<500 {
            let bytes = Bytes(mutate(key.encapsulationKey.encoded.array, &generator))
            if let read = MLKEM768.EncapsulationKey(bytes) {
                #expect(read.encoded == bytes)
                #expect(MLKEM768.encapsulate(to: read, m: seed) != nil)
            }
            let ciphertext = Bytes(mutate(valid.ciphertext.array, &generator))
            let secret = key.decapsulate(ciphertext)
            #expect((secret != nil) == (ciphertext.count == MLKEM768.ciphertextLength))
            if ciphertext != valid.ciphertext { #expect(secret != valid.sharedSecret) }
        }
    }
}
