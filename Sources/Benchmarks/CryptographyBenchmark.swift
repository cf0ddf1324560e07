import COpenSSL
import WaggleBase
import WaggleCryptography

/// `waggle-bench crypto`: every primitive beside libcrypto's own, called directly with reused contexts.
enum CryptographyBenchmark {
    static func run() throws {
        print("libcrypto: \(String(cString: OpenSSL_version(0)))")
        hashes()
        ciphers()
        signatures()
        PostQuantumBenchmark.run()
        try handshake()
    }

    private static func random(_ count: Int) -> SecureBytes {
        SecureBytes(count: count) { _ = RAND_bytes($0.baseAddress?.assumingMemoryBound(to: UInt8.self), Int32(count)) }
    }

    // Hashes.

    private static func libcryptoHash(_ name: String, _ length: Int, count: Int) -> Double {
        let digest = EVP_MD_fetch(nil, name, nil)
        let context = EVP_MD_CTX_new()
        let data = [UInt8](repeating: 1, count: length)
        var output = [UInt8](repeating: 0, count: 64)
        defer {
            EVP_MD_CTX_free(context)
            EVP_MD_free(digest)
        }
        EVP_DigestInit_ex2(context, digest, nil)
        return Measure.nanoseconds(count) {
            EVP_DigestInit_ex2(context, nil, nil)
            EVP_DigestUpdate(context, data, length)
            if name.hasPrefix("SHAKE") {
                EVP_DigestFinalXOF(context, &output, 32)
            } else {
                EVP_DigestFinal_ex(context, &output, nil)
            }
        }
    }

    private static func hashes() {
        let large = Bytes([UInt8](repeating: 1, count: 262_144))
        let small = large.prefix(32)
        Measure.printTime(
            "SHA-256, 32 bytes", Measure.nanoseconds(20_000) { _ = SHA256.hash(small) },
            against: libcryptoHash("SHA256", 32, count: 20_000))
        for (name, code, libcrypto) in [
            ("SHA-256", 0x12, "SHA256"), ("SHA-512", 0x13, "SHA512"), ("SHA3-256", 0x16, "SHA3-256"), ("SHAKE128", 0x18, "SHAKE128"),
            ("BLAKE2b-512", 0xb240, "BLAKE2b512"), ("BLAKE2s-256", 0xb260, "BLAKE2s256"), ("BLAKE3", 0x1e, "SHA256"),
        ] as [(String, UInt64, String)] where Hashing.isKnown(code) {
            let limit = libcryptoHash(libcrypto, large.count, count: 10)
            let ours = Measure.nanoseconds(10) { _ = Hashing.digest(code, large) }
            Measure.printRate("\(name), 256 KiB", bytes: large.count, ours, against: limit, "libcrypto's \(libcrypto)")
        }
        let key = random(32)
        Measure.printTime("HKDF of Noise, two outputs", Measure.nanoseconds(5_000) { _ = HKDFSHA256.noise2(chainingKey: key, input: key.span) })
    }

    // Record ciphers.

    private static func ciphers() {
        let memory = UnsafeMutableRawPointer.allocate(byteCount: 65_536 + 16, alignment: 64)
        memory.initializeMemory(as: UInt8.self, repeating: 1, count: 65_536 + 16)
        defer { memory.deallocate() }
        for (algorithm, name) in [(RecordCipher.Algorithm.chaCha20Poly1305, "ChaCha20-Poly1305"), (.aes256GCM, "AES-256-GCM")] {
            guard let cipher = RecordCipher(algorithm, key: random(32)) else { continue }
            for length in [64, 1_400, 65_519] {
                let count = max(100, 4_000_000 / (length + 500))
                let plaintext = UnsafeRawBufferPointer(start: memory, count: length)
                let record = UnsafeRawBufferPointer(start: memory, count: length + 16)
                let limit = libcryptoSeal(name, memory, length, count)
                let seal = Measure.nanoseconds(count) { cipher.seal(plaintext, nonce: 7, into: memory) }
                Measure.printRate("\(name) seal in place, \(length) bytes", bytes: length, seal, against: limit)
                // Opening turns the record into plaintext, so it is sealed again each time and the sealing taken off.
                let both = Measure.nanoseconds(count) {
                    cipher.seal(plaintext, nonce: 7, into: memory)
                    _ = cipher.open(record, nonce: 7, into: memory)
                }
                Measure.printRate("\(name) open in place, \(length) bytes", bytes: length, both - seal, against: limit)
            }
        }
    }

    private static func libcryptoSeal(_ name: String, _ memory: UnsafeMutableRawPointer, _ length: Int, _ count: Int) -> Double {
        let cipher = EVP_CIPHER_fetch(nil, name, nil)
        let context = EVP_CIPHER_CTX_new()
        let key = [UInt8](repeating: 3, count: 32)
        let nonce = [UInt8](repeating: 5, count: 12)
        let bytes = memory.assumingMemoryBound(to: UInt8.self)
        var written: Int32 = 0
        EVP_CipherInit_ex2(context, cipher, key, nil, 1, nil)
        defer {
            EVP_CIPHER_CTX_free(context)
            EVP_CIPHER_free(cipher)
        }
        return Measure.nanoseconds(count) {
            EVP_CipherInit_ex2(context, nil, nil, nonce, -1, nil)
            EVP_CipherUpdate(context, bytes, &written, bytes, Int32(length))
            EVP_CipherFinal_ex(context, bytes + length, &written)
            EVP_CIPHER_CTX_ctrl(context, EVP_CTRL_AEAD_GET_TAG, 16, bytes + length)
        }
    }

    // Asymmetric keys.

    private static func signatures() {
        let seed = random(32)
        let message = Bytes([UInt8](repeating: 1, count: 64))
        guard let ours = X25519.PrivateKey(seed), let theirs = X25519.PrivateKey(random(32)), let signer = Ed25519.PrivateKey(seed: seed),
            let verifier = Ed25519.PublicKey(signer.publicKey.span)
        else { return }
        let signature = signer.sign(message.span)
        Measure.printTime("X25519 key from a seed", Measure.nanoseconds(200) { _ = X25519.PrivateKey(seed) })
        Measure.printTime("X25519 shared secret", Measure.nanoseconds(200) { _ = ours.sharedSecret(with: theirs.publicKey) })
        Measure.printTime("Ed25519 sign", Measure.nanoseconds(200) { _ = signer.sign(message.span) })
        Measure.printTime("Ed25519 verify", Measure.nanoseconds(100) { _ = verifier.verify(signature.span, of: message.span) })
    }

    // The cryptography of one handshake, both sides, without messages and payloads: Noise XXhfs as DESIGN has it, with the
    // signatures over the long-lived static keys made beforehand.

    private static func handshake() throws {
        let identity = try IdentityKeyPair(ed25519Seed: random(32))
        guard let staticA = X25519.PrivateKey(random(32)), let staticB = X25519.PrivateKey(random(32)),
            let signature = identity.sign(staticA.publicKey)
        else { return }
        let chain = random(32)
        func side(_ ours: X25519.PrivateKey, _ theirs: X25519.PrivateKey) {
            guard let ephemeral = X25519.PrivateKey(chain) else { return }
            for (secret, publicKey) in [(ephemeral, theirs.publicKey), (ephemeral, theirs.publicKey), (ours, theirs.publicKey)] {
                guard let shared = secret.sharedSecret(with: publicKey) else { return }
                _ = HKDFSHA256.noise2(chainingKey: chain, input: shared.span)
            }
            _ = identity.publicKey.verify(signature, of: staticA.publicKey)
        }
        let classical = Measure.nanoseconds(20) {
            side(staticA, staticB)
            side(staticB, staticA)
        }
        let hybrid = Measure.nanoseconds(20) {
            side(staticA, staticB)
            side(staticB, staticA)
            guard let key = MLKEM768.generate(d: chain, z: chain), let read = MLKEM768.EncapsulationKey(key.encapsulationKey.encoded),
                let result = MLKEM768.encapsulate(to: read, m: chain), let secret = key.decapsulate(result.ciphertext)
            else { return }
            _ = HKDFSHA256.noise2(chainingKey: chain, input: secret.span)
        }
        Measure.printTime("handshake, both sides, classical", classical)
        Measure.printTime("handshake, both sides, hybrid", hybrid, against: classical, "the classical one")
    }
}
