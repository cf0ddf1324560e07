import CKernels
import WaggleBase
import WaggleCryptography

/// One run of `scripts/constant-time`: does an operation of ML-KEM-768 with secrets derived from a number, inside a function
/// that the script counts instructions and memory accesses of.
///
/// Arguments: generate, encapsulate, decapsulate or reject; portable or fast; the number.
@main
struct ConstantTime {
    nonisolated static func main() {
        let arguments = CommandLine.arguments
        guard arguments.count == 4, let number = UInt64(arguments[3]) else {
            print("usage: \(arguments[0]) generate|encapsulate|decapsulate|reject portable|fast NUMBER")
            return
        }
        ck_limit_level(arguments[2] == "portable" ? 0 : 2)
        let secret = seed(number)
        if arguments[1] == "generate" {
            measuredGenerate(secret)
            return
        }
        // For encapsulation the key is public, so it stays the same.
        guard let key = MLKEM768.generate(d: arguments[1] == "encapsulate" ? seed(1) : secret, z: secret),
            let message = MLKEM768.encapsulate(to: key.encapsulationKey, m: secret), key.decapsulate(message.ciphertext) != nil
        else { return }
        // A forged ciphertext, not made for this key, must take the same path as a genuine one.
        var ciphertext = message.ciphertext.array
        if arguments[1] == "reject" { ciphertext[Int(number) % ciphertext.count] ^= 1 }
        if arguments[1] == "encapsulate" {
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

    private nonisolated static func seed(_ number: UInt64) -> SecureBytes {
        SecureBytes(SHA256.hash(Bytes(utf8: "\(number)")).bytes)
    }
}
