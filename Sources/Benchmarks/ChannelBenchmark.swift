import COpenSSL
import WaggleBase
import WaggleCryptography
import WaggleNetwork
import WaggleStack

/// `waggle-bench channel`: handshakes and records of the Noise channels, beside what libcrypto needs for the same primitives.
enum ChannelBenchmark {
    static func run() throws {
        try handshakes()
        try records()
    }

    private static func random(_ count: Int) -> SecureBytes {
        SecureBytes(count: count) { _ = RAND_bytes($0.baseAddress?.assumingMemoryBound(to: UInt8.self), Int32(count)) }
    }

    private static func keys() throws -> NoiseKeys {
        try NoiseKeys(identity: LocalIdentity(try IdentityKeyPair(ed25519Seed: random(32))), secret: random(32))
    }

    // MARK: Handshakes

    /// What libcrypto's primitives take for both sides: eight multiplications on Curve25519 (two keys, six secrets), and as many Ed25519
    /// operations as were asked for.
    private static func limit(signatures: Int, verifications: Int) -> Double {
        let message = Bytes([UInt8](repeating: 1, count: 200))
        guard let ours = X25519.PrivateKey(random(32)), let theirs = X25519.PrivateKey(random(32)), let signer = Ed25519.PrivateKey(seed: random(32)),
            let verifier = Ed25519.PublicKey(signer.publicKey.span)
        else { return 0 }
        let signature = signer.sign(message.span)
        let secret = random(32)
        return Measure.nanoseconds(10) {
            for _ in 0..<2 { _ = X25519.PrivateKey(secret) }
            for _ in 0..<6 { _ = ours.sharedSecret(with: theirs.publicKey) }
            for _ in 0..<signatures { _ = signer.sign(message.span) }
            for _ in 0..<verifications { _ = verifier.verify(signature.span, of: message.span) }
        }
    }

    private static func handshakes() throws {
        let known = limit(signatures: 2, verifications: 2)
        let first = limit(signatures: 2, verifications: 4)
        print("limits, X25519 and Ed25519 alone: known peer \(Measure.text(known / 1000)) µs, first contact \(Measure.text(first / 1000)) µs")
        for policy in [SecurityPolicy.classical, .require] {
            let name = policy == .classical ? "classical" : "hybrid"
            let (dialer, listener) = (try keys(), try keys())
            Measure.printTime(
                "\(name) upgrade, both sides, known peer",
                Measure.nanoseconds(20) { check(upgrade(policy, dialer, listener)) }, against: known, "libcrypto's part")
            // Fresh keys on both sides, so that nothing is remembered; making them is not measured.
            var fresh = try (0..<240).map { _ in (try keys(), try keys()) }
            Measure.printTime(
                "\(name) upgrade, both sides, first contact",
                Measure.nanoseconds(20) {
                    let pair = fresh.removeLast()
                    check(upgrade(policy, pair.0, pair.1))
                }, against: first, "libcrypto's part")
        }
    }

    private static func check(_ worked: Bool) {
        if !worked { fatalError("the upgrade failed") }
    }

    /// One upgrade, both machines in turn; whether both ended well.
    private static func upgrade(_ policy: SecurityPolicy, _ dialer: NoiseKeys, _ listener: NoiseKeys) -> Bool {
        pair(policy, dialer, listener) != nil
    }

    private static func pair(_ policy: SecurityPolicy, _ dialer: NoiseKeys, _ listener: NoiseKeys) -> (Upgraded, Upgraded)? {
        func machine(_ role: Role, _ keys: NoiseKeys) -> UpgradeMachine {
            UpgradeMachine(
                UpgradeParameters(
                    role: role, channels: ChannelCatalog.channels(policy, keys), muxers: ["/yamux/1.0.0"],
                    random: random(HandshakeParameters.randomLength)),
                at: Instant(nanoseconds: 0))
        }
        var left = machine(.initiator, dialer)
        var right = machine(.responder, listener)
        while true {
            var moved = false
            do throws(UpgradeError) {
                if let bytes = left.next() {
                    _ = try right.receive(bytes.span)
                    moved = true
                }
                if let bytes = right.next() {
                    _ = try left.receive(bytes.span)
                    moved = true
                }
            } catch {
                return nil
            }
            if !moved { break }
        }
        guard let first = left.finish(), let second = right.finish() else { return nil }
        return (first, second)
    }

    // MARK: Records

    private static func records() throws {
        guard let (left, right) = pair(.require, try keys(), try keys()) else { return }
        let (sender, receiver) = (left.secured.records, right.secured.records)
        let plaintext = UnsafeMutableRawPointer.allocate(byteCount: 65_536, alignment: 64)
        let record = UnsafeMutableRawPointer.allocate(byteCount: 65_536 + 64, alignment: 64)
        plaintext.initializeMemory(as: UInt8.self, repeating: 1, count: 65_536)
        record.initializeMemory(as: UInt8.self, repeating: 1, count: 65_536 + 64)
        defer {
            plaintext.deallocate()
            record.deallocate()
        }
        for length in [64, 1_400, 16_384, sender.maximumPlaintext] {
            let count = max(50, 4_000_000 / (length + 500))
            let header = UnsafeRawBufferPointer(start: plaintext, count: 12)
            let payload = UnsafeRawBufferPointer(start: plaintext + 12, count: length - 12)
            let limit = libcrypto(plaintext, record, length, count)
            let seal = Measure.nanoseconds(count) { _ = try? sender.seal(header, payload, into: record) }
            Measure.printRate("record sealed from two pieces, \(length) bytes", bytes: length, seal, against: limit)
        }
        // The receiver has seen none of the records above, so a new pair; every record is sealed once and opened once.
        guard let (left, right) = pair(.require, try keys(), try keys()) else { return }
        for length in [64, 1_400, 16_384, receiver.maximumPlaintext] {
            let count = max(50, 4_000_000 / (length + 500))
            let payload = UnsafeRawBufferPointer(start: plaintext, count: length)
            let nothing = UnsafeRawBufferPointer(start: nil, count: 0)
            let limit = libcrypto(plaintext, record, length, count)
            let input = UnsafeMutableRawBufferPointer(start: record, count: length + left.secured.records.overhead)
            var opening: [Double] = []
            let clock = ContinuousClock()
            for _ in 0..<count {
                _ = try left.secured.records.seal(nothing, payload, into: record)
                let time = try clock.measure { _ = try right.secured.records.open(input) }
                opening.append(Double(time.components.attoseconds) / 1e9)
            }
            Measure.printRate("record opened in place, \(length) bytes", bytes: length, opening.sorted()[count / 2], against: limit)
        }
    }

    /// One call of libcrypto's cipher over the same memory, out of place, with a context that is reused.
    private static func libcrypto(_ input: UnsafeMutableRawPointer, _ output: UnsafeMutableRawPointer, _ length: Int, _ count: Int) -> Double {
        let cipher = EVP_CIPHER_fetch(nil, "ChaCha20-Poly1305", nil)
        let context = EVP_CIPHER_CTX_new()
        let key = [UInt8](repeating: 3, count: 32)
        let nonce = [UInt8](repeating: 5, count: 12)
        let source = input.assumingMemoryBound(to: UInt8.self)
        let target = output.assumingMemoryBound(to: UInt8.self)
        var written: Int32 = 0
        EVP_CipherInit_ex2(context, cipher, key, nil, 1, nil)
        defer {
            EVP_CIPHER_CTX_free(context)
            EVP_CIPHER_free(cipher)
        }
        return Measure.nanoseconds(count) {
            EVP_CipherInit_ex2(context, nil, nil, nonce, -1, nil)
            EVP_CipherUpdate(context, target, &written, source, Int32(length))
            EVP_CipherFinal_ex(context, target + length, &written)
            EVP_CIPHER_CTX_ctrl(context, EVP_CTRL_AEAD_GET_TAG, 16, target + length)
        }
    }
}
