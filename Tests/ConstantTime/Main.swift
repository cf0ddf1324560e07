import CKernels
import WaggleBase
import WaggleCryptography

/// One run of `scripts/constant-time`: does an operation of ML-KEM-768, ML-DSA-65 or SLH-DSA-SHAKE-128f with secrets derived from a
/// number, inside a function that the script counts instructions and memory accesses of.
///
/// Arguments: generate, encapsulate, decapsulate or reject (ML-KEM), make-key, find or sign (ML-DSA), or sign-by-hashes (SLH-DSA); portable
/// or fast; the number; for sign, the message that find printed.
@main
struct ConstantTime {
    nonisolated static func main() {
        let arguments = CommandLine.arguments
        guard arguments.count >= 4, let number = UInt64(arguments[3]) else {
            print("usage: \(arguments[0]) generate|encapsulate|decapsulate|reject|make-key|find|sign|sign-by-hashes portable|fast NUMBER [MESSAGE]")
            return
        }
        ck_limit_level(arguments[2] == "portable" ? 0 : 2)
        let secret = seed(number)
        switch arguments[1] {
        case "generate": measuredGenerate(secret)
        case "make-key": measuredMakeKey(secret)
        case "find": findMessage(secret)
        case "sign":
            guard arguments.count == 5, let key = MLDSA.PrivateKey(seed: secret, .mldsa65) else { return }
            measuredSign(key, Bytes(utf8: arguments[4]))
        case "sign-by-hashes": signByHashes(secret)
        default: encapsulateOrNot(arguments[1], number, secret)
        }
    }

    /// The number of attempts may be seen, so this prints a message of four digits that the key signs at the first.
    private nonisolated static func findMessage(_ secret: SecureBytes) {
        guard let key = MLDSA.PrivateKey(seed: secret, .mldsa65) else { return }
        let message = (1000..<10_000).first { key.attempts(toSign: Bytes(utf8: "\($0)")) == 1 }
        if let message { print(message) }
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
    nonisolated static func measuredMakeKey(_ seed: SecureBytes) { _ = MLDSA.PrivateKey(seed: seed, .mldsa65) }

    @inline(never)
    nonisolated static func measuredSign(_ key: MLDSA.PrivateKey, _ message: Bytes) { _ = key.sign(message) }

    @inline(never)
    nonisolated static func measuredSignByHashes(_ key: SLHDSA.PrivateKey, _ message: Bytes) { _ = key.sign(message) }

    private nonisolated static func seed(_ number: UInt64) -> SecureBytes {
        SecureBytes(SHA256.hash(Bytes(utf8: "\(number)")).bytes)
    }
}
