import CKernels
import WaggleBase
import WaggleCryptography

/// One run of `scripts/constant-time`: does an operation with secrets derived from a number, inside a function that the script counts
/// instructions and memory accesses of.
///
/// Arguments: generate, encapsulate, decapsulate or reject (ML-KEM-768); make-key, find or sign, with the parameters behind it where they are
/// not those of ML-DSA-65 (`sign-87`); sign-by-hashes (SLH-DSA-SHAKE-128f); agree (X25519); refuse (a forged record); read-key (a key in PEM);
/// write-key (the same, and in libp2p's form). Then portable or fast; the number; for sign, the message that find printed.
@main
struct ConstantTime {
    nonisolated static func main() {
        let arguments = CommandLine.arguments
        guard arguments.count >= 4, let number = UInt64(arguments[3]) else {
            print("usage: \(arguments[0]) OPERATION portable|fast NUMBER [MESSAGE]")
            return
        }
        ck_limit_level(arguments[2] == "portable" ? 0 : 2)
        let secret = seed(number)
        let parameters = arguments[1].hasSuffix("-44") ? MLDSA.Parameters.mldsa44 : arguments[1].hasSuffix("-87") ? .mldsa87 : .mldsa65
        switch arguments[1] {
        case "generate": measuredGenerate(secret)
        case "make-key", "make-key-44", "make-key-87": measuredMakeKey(secret, parameters)
        case "find", "find-44", "find-87": findMessage(secret, parameters)
        case "sign", "sign-44", "sign-87":
            guard arguments.count == 5, let key = MLDSA.PrivateKey(seed: secret, parameters) else { return }
            measuredSign(key, Bytes(utf8: arguments[4]))
        case "sign-by-hashes": signByHashes(secret)
        case "agree":
            guard let ours = X25519.PrivateKey(secret), let theirs = X25519.PrivateKey(seed(1)) else { return }
            measuredAgree(ours, theirs.publicKey)
        case "refuse": refuse(number, secret)
        case "read-key", "write-key": readOrWriteKey(arguments[1], secret)
        default: encapsulateOrNot(arguments[1], number, secret)
        }
    }

    /// The number of attempts may be seen, so this prints a message of four digits that the key signs at the first.
    private nonisolated static func findMessage(_ secret: SecureBytes, _ parameters: MLDSA.Parameters) {
        guard let key = MLDSA.PrivateKey(seed: secret, parameters) else { return }
        let message = (1000..<10_000).first { key.attempts(toSign: Bytes(utf8: "\($0)")) == 1 }
        if let message { print(message) }
    }

    /// Where in the tag a forged record is wrong must not be seen.
    private nonisolated static func refuse(_ number: UInt64, _ secret: SecureBytes) {
        guard let cipher = RecordCipher(.chaCha20Poly1305, key: secret) else { return }
        let plaintext = Bytes([UInt8](repeating: 1, count: 100)), nothing = Bytes()
        var record = cipher.seal(plaintext.span, authenticating: nothing.span, nonce: 0).array
        record[plaintext.count + Int(number) % RecordCipher.tagLength] ^= 1
        let forged = Bytes(record)
        // The first use makes the context.
        _ = cipher.open(forged.span, authenticating: nothing.span, nonce: 1)
        measuredOpen(cipher, forged, nothing)
    }

    private nonisolated static func readOrWriteKey(_ operation: String, _ secret: SecureBytes) {
        do {
            let key = try IdentityKeyPair(ed25519Seed: secret)
            let text = key.pem
            if operation == "read-key" { measuredReadKey(text) } else { measuredWriteKey(key) }
        } catch {
            print("no key")
        }
    }

    private nonisolated static func signByHashes(_ secret: SecureBytes) {
        let parameters = SLHDSA.Parameters.shake128f
        let seed = SecureBytes(secret.span.extracting(0..<32).withUnsafeBytes { [UInt8]($0) } + [UInt8](repeating: 1, count: 16))
        guard let key = SLHDSA.PrivateKey(seed: seed, parameters) else { return }
        measuredSignByHashes(key, Bytes(utf8: "message"))
    }

    private nonisolated static func encapsulateOrNot(_ operation: String, _ number: UInt64, _ secret: SecureBytes) {
        // For encapsulation the key is public, so it stays the same.
        guard let key = MLKEM768.generate(d: operation == "encapsulate" ? seed(1) : secret, z: secret),
            let message = MLKEM768.encapsulate(to: key.encapsulationKey, m: secret), key.decapsulate(message.ciphertext) != nil
        else { return }
        // A forged ciphertext, not made for this key, must take the same path as a genuine one.
        var ciphertext = message.ciphertext.array
        if operation == "reject" { ciphertext[Int(number) % ciphertext.count] ^= 1 }
        if operation == "encapsulate" {
            measuredEncapsulate(key.encapsulationKey, secret)
        } else {
            measuredDecapsulate(key, Bytes(ciphertext))
        }
    }

    @inline(never)
    nonisolated static func measuredGenerate(_ seed: SecureBytes) { _ = MLKEM768.generate(d: seed, z: seed) }

    @inline(never)
    nonisolated static func measuredEncapsulate(_ key: MLKEM768.EncapsulationKey, _ seed: SecureBytes) {
        _ = MLKEM768.encapsulate(to: key, m: seed)
    }

    @inline(never)
    nonisolated static func measuredDecapsulate(_ key: MLKEM768.DecapsulationKey, _ ciphertext: Bytes) {
        _ = key.decapsulate(ciphertext)
    }

    @inline(never)
    nonisolated static func measuredMakeKey(_ seed: SecureBytes, _ parameters: MLDSA.Parameters) { _ = MLDSA.PrivateKey(seed: seed, parameters) }

    @inline(never)
    nonisolated static func measuredAgree(_ ours: X25519.PrivateKey, _ theirs: Bytes) { _ = ours.sharedSecret(with: theirs) }

    @inline(never)
    nonisolated static func measuredOpen(_ cipher: RecordCipher, _ record: Bytes, _ associated: Bytes) {
        _ = cipher.open(record.span, authenticating: associated.span, nonce: 0)
    }

    @inline(never)
    nonisolated static func measuredReadKey(_ text: SecureBytes) {
        guard let block = PEM.decode(text.span) else { return print("no key") }
        do { _ = try IdentityKeyPair(pkcs8: block.contents) } catch { print("no key") }
    }

    @inline(never)
    nonisolated static func measuredWriteKey(_ key: IdentityKeyPair) { _ = (key.pem, SecretBase64.encode(key.encoded)) }

    @inline(never)
    nonisolated static func measuredSign(_ key: MLDSA.PrivateKey, _ message: Bytes) { _ = key.sign(message) }

    @inline(never)
    nonisolated static func measuredSignByHashes(_ key: SLHDSA.PrivateKey, _ message: Bytes) { _ = key.sign(message) }

    private nonisolated static func seed(_ number: UInt64) -> SecureBytes {
        SecureBytes(SHA256.hash(Bytes(utf8: "\(number)")).bytes)
    }
}
