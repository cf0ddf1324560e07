import COpenSSL
import WaggleBase
import WaggleCryptography

/// The post-quantum signatures beside libcrypto's own, which has them from OpenSSL 3.5 on.
enum SignatureBenchmark {
    /// Times in nanoseconds, and whose they are.
    private struct Limits {
        let generate, sign, verify: Double
        let name: String
    }

    static func run() {
        // What OpenSSL 3.5.7 needs on the reference machine, for where the linked libcrypto has no ML-DSA.
        latticeSignatures(
            .mldsa65, Limits(generate: 133_000, sign: 600_000, verify: 126_000, name: "OpenSSL 3.5.7 on the reference machine"))
        latticeSignatures(.mldsa44, nil)
        latticeSignatures(.mldsa87, nil)
        // The SHA-2 form, as OpenSSL 3.5.7 has it on the reference machine, is the fastest of libcrypto's.
        hashSignatures(
            .sha2_128s, Limits(generate: 30_000_000, sign: 225_000_000, verify: 230_000, name: "OpenSSL 3.5.7 on the reference machine"))
        hashSignatures(.shake128s, nil)
    }

    private static func hashSignatures(_ parameters: SLHDSA.Parameters, _ known: Limits?) {
        let seed = SecureBytes([UInt8](repeating: 7, count: parameters.seedLength))
        let message = Bytes([UInt8](repeating: 1, count: 64))
        guard let key = SLHDSA.PrivateKey(seed: seed, parameters), let signature = key.sign(message) else { return }
        let limits = measureLibcrypto(parameters.name, count: 1) ?? known
        let name = limits?.name ?? ""
        let generate = Measure.nanoseconds(1) { _ = SLHDSA.PrivateKey(seed: seed, parameters) }
        Measure.printTime("\(parameters) generate", generate, against: limits?.generate, name)
        Measure.printTime("\(parameters) sign", Measure.nanoseconds(1) { _ = key.sign(message) }, against: limits?.sign, name)
        let verify = Measure.nanoseconds(10) { _ = key.publicKey.verify(signature, of: message) }
        Measure.printTime("\(parameters) verify", verify, against: limits?.verify, name)
    }

    private static func latticeSignatures(_ parameters: MLDSA.Parameters, _ known: Limits?) {
        let seed = SecureBytes([UInt8](repeating: 7, count: MLDSA.seedLength))
        let message = Bytes([UInt8](repeating: 1, count: 64))
        guard let key = MLDSA.PrivateKey(seed: seed, parameters), let signature = key.sign(message) else { return }
        let limits = measureLibcrypto(parameters.name, count: 50) ?? known
        let name = limits?.name ?? ""
        let generate = Measure.nanoseconds(50) { _ = MLDSA.PrivateKey(seed: seed, parameters) }
        Measure.printTime("\(parameters) generate", generate, against: limits?.generate, name)
        // How many attempts a signature needs depends on the message, so the average over many is taken.
        var number: UInt8 = 0
        let sign = Measure.nanoseconds(256) {
            number &+= 1
            _ = key.sign(Bytes([number]))
        }
        Measure.printTime("\(parameters) sign", sign, against: limits?.sign, name)
        let encoded = key.publicKey.encoded
        let verify = Measure.nanoseconds(50) { _ = MLDSA.PublicKey(encoded, parameters)?.verify(signature, of: message) }
        Measure.printTime("\(parameters) read a key and verify", verify, against: limits?.verify, name)
    }

    /// The same with libcrypto's algorithm of this name; nil where it has none.
    private static func measureLibcrypto(_ name: String, count: Int) -> Limits? {
        func generate() -> OpaquePointer? {
            guard let context = EVP_PKEY_CTX_new_from_name(nil, name, nil) else { return nil }
            defer { EVP_PKEY_CTX_free(context) }
            var key: OpaquePointer?
            guard EVP_PKEY_keygen_init(context) == 1, EVP_PKEY_generate(context, &key) == 1 else { return nil }
            return key
        }
        guard let key = generate() else {
            ERR_clear_error()
            return nil
        }
        var signature = [UInt8](repeating: 0, count: 50_000)
        var length = 0
        var message: [UInt8] = [1]
        func sign() {
            let context = EVP_MD_CTX_new()
            defer { EVP_MD_CTX_free(context) }
            length = signature.count
            EVP_DigestSignInit_ex(context, nil, nil, nil, nil, key, nil)
            EVP_DigestSign(context, &signature, &length, message, message.count)
        }
        func verify() {
            let context = EVP_MD_CTX_new()
            defer { EVP_MD_CTX_free(context) }
            EVP_DigestVerifyInit_ex(context, nil, nil, nil, nil, key, nil)
            EVP_DigestVerify(context, signature, length, message, message.count)
        }
        defer { EVP_PKEY_free(key) }
        let generation = Measure.nanoseconds(count) { EVP_PKEY_free(generate()) }
        let signing = Measure.nanoseconds(count) {
            message[0] &+= 1
            sign()
        }
        let verification = Measure.nanoseconds(count) { verify() }
        return Limits(generate: generation, sign: signing, verify: verification, name: "OpenSSL")
    }
}
