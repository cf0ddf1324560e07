import COpenSSL
import WaggleBase

/// A post-quantum key inside libcrypto, found by the name of its algorithm, which only newer ones know. Immutable, so threads may share it.
///
/// Only the generic functions of OpenSSL 3.0 are used, with the names of parameters that came later; see EVP_SIGNATURE-ML-DSA(7),
/// EVP_SIGNATURE-SLH-DSA(7), EVP_KEM-ML-KEM(7).
package final class LibcryptoKey: @unchecked Sendable {
    private let pointer: OpaquePointer

    private init?(_ pointer: OpaquePointer?) {
        guard let pointer else {
            ERR_clear_error()
            return nil
        }
        self.pointer = pointer
    }

    deinit { EVP_PKEY_free(pointer) }

    /// A private key in its standard's form: expanded for ML-DSA and ML-KEM. Nil when libcrypto does not know the algorithm or refuses the key.
    package convenience init?(_ name: String, privateKey: SecureBytes) {
        self.init(privateKey.withUnsafeBytes { EVP_PKEY_new_raw_private_key_ex(nil, name, nil, $0.octets, $0.count) })
    }

    /// A public key in its standard's form.
    package convenience init?(_ name: String, publicKey: Bytes) {
        self.init(publicKey.withUnsafeBytes { EVP_PKEY_new_raw_public_key_ex(nil, name, nil, $0.octets, $0.count) })
    }

    /// The key of a seed (32 bytes for ML-DSA, d ‖ z for ML-KEM), or of libcrypto's own randomness.
    package convenience init?(_ name: String, seed: SecureBytes?) {
        guard let context = EVP_PKEY_CTX_new_from_name(nil, name, nil) else {
            ERR_clear_error()
            return nil
        }
        defer { EVP_PKEY_CTX_free(context) }
        guard EVP_PKEY_keygen_init(context) == 1 else {
            ERR_clear_error()
            return nil
        }
        if let seed {
            let isSet = Parameters().with { parameters in
                seed.withUnsafeBytes { parameters.octets("seed", $0) }
                return parameters.pass { EVP_PKEY_CTX_set_params(context, $0) } == 1
            }
            guard isSet else {
                ERR_clear_error()
                return nil
            }
        }
        var key: OpaquePointer?
        guard EVP_PKEY_generate(context, &key) == 1 else {
            ERR_clear_error()
            return nil
        }
        self.init(key)
    }

    /// The private key in its standard's form.
    package var privateKey: SecureBytes? {
        var length = 0
        guard EVP_PKEY_get_raw_private_key(pointer, nil, &length) == 1 else { return nil }
        var worked = false
        let key = SecureBytes(count: length) { worked = EVP_PKEY_get_raw_private_key(pointer, $0.octets, &length) == 1 }
        return worked ? key : nil
    }

    /// The public key in its standard's form.
    package var publicKey: Bytes? {
        var length = 0
        guard EVP_PKEY_get_raw_public_key(pointer, nil, &length) == 1 else { return nil }
        let key = Bytes(count: length) { EVP_PKEY_get_raw_public_key(pointer, $0.octets, &length) == 1 ? length : 0 }
        return key.isEmpty ? nil : key
    }

    // MARK: Signatures

    /// What a signature is of.
    package enum Message {
        /// A message in a context.
        case pure(Bytes, context: Bytes)
        /// The 64 bytes that stand for a message (ML-DSA's µ).
        case representative(Bytes)
        /// A message whose prefix is there already, as the standards' internal functions take it.
        case encoded(Bytes)
    }

    /// The signature; deterministic without `randomness`. Nil when libcrypto refuses.
    package func sign(_ message: Message, randomness: SecureBytes? = nil) -> Bytes? {
        let context = available(EVP_MD_CTX_new(), "a signing context")
        defer { EVP_MD_CTX_free(context) }
        return Parameters().with { parameters in
            if let randomness {
                randomness.withUnsafeBytes { parameters.octets("test-entropy", $0) }
            } else {
                parameters.integer("deterministic", 1)
            }
            let bytes = LibcryptoKey.prepare(message, parameters)
            defer { ERR_clear_error() }
            guard parameters.pass({ EVP_DigestSignInit_ex(context, nil, nil, nil, nil, pointer, $0) }) == 1 else { return nil }
            var length = Int(EVP_PKEY_get_size(pointer))
            let signature = Bytes(count: length) { output in
                bytes.withUnsafeBytes { EVP_DigestSign(context, output.octets, &length, $0.octets, $0.count) } == 1 ? length : 0
            }
            return signature.isEmpty ? nil : signature
        }
    }

    /// Whether `signature` is this key's.
    package func verify(_ signature: Bytes, of message: Message) -> Bool {
        let context = available(EVP_MD_CTX_new(), "a verification context")
        defer { EVP_MD_CTX_free(context) }
        return Parameters().with { parameters in
            let bytes = LibcryptoKey.prepare(message, parameters)
            defer { ERR_clear_error() }
            guard parameters.pass({ EVP_DigestVerifyInit_ex(context, nil, nil, nil, nil, pointer, $0) }) == 1 else { return false }
            return signature.withUnsafeBytes { signature in
                bytes.withUnsafeBytes { EVP_DigestVerify(context, signature.octets, signature.count, $0.octets, $0.count) }
            } == 1
        }
    }

    private static func prepare(_ message: Message, _ parameters: Parameters) -> Bytes {
        switch message {
        case .pure(let bytes, let context):
            context.withUnsafeBytes { parameters.octets("context-string", $0) }
            return bytes
        case .representative(let bytes):
            parameters.integer("mu", 1)
            return bytes
        case .encoded(let bytes):
            parameters.integer("message-encoding", 0)
            return bytes
        }
    }

    // MARK: Encapsulation

    /// A shared secret for the owner of this key, from `m` where it is given.
    package func encapsulate(_ m: SecureBytes? = nil) -> (ciphertext: Bytes, sharedSecret: SecureBytes)? {
        guard let context = EVP_PKEY_CTX_new_from_pkey(nil, pointer, nil) else { return nil }
        defer {
            EVP_PKEY_CTX_free(context)
            ERR_clear_error()
        }
        return Parameters().with { parameters in
            if let m { m.withUnsafeBytes { parameters.octets("ikme", $0) } }
            var lengths = (ciphertext: 0, secret: 0)
            guard parameters.pass({ EVP_PKEY_encapsulate_init(context, $0) }) == 1,
                EVP_PKEY_encapsulate(context, nil, &lengths.ciphertext, nil, &lengths.secret) == 1
            else { return nil }
            var ciphertext = Bytes()
            let secret = SecureBytes(count: lengths.secret) { secret in
                ciphertext = Bytes(count: lengths.ciphertext) { output in
                    EVP_PKEY_encapsulate(context, output.octets, &lengths.ciphertext, secret.octets, &lengths.secret) == 1
                        ? lengths.ciphertext : 0
                }
            }
            return ciphertext.isEmpty ? nil : (ciphertext, secret)
        }
    }

    /// The shared secret of `ciphertext`; nil when it has the wrong length.
    package func decapsulate(_ ciphertext: Bytes) -> SecureBytes? {
        guard let context = EVP_PKEY_CTX_new_from_pkey(nil, pointer, nil) else { return nil }
        defer {
            EVP_PKEY_CTX_free(context)
            ERR_clear_error()
        }
        return ciphertext.withUnsafeBytes { ciphertext in
            var length = 0
            guard EVP_PKEY_decapsulate_init(context, nil) == 1,
                EVP_PKEY_decapsulate(context, nil, &length, ciphertext.octets, ciphertext.count) == 1
            else { return nil }
            var worked = false
            let secret = SecureBytes(count: length) {
                worked = EVP_PKEY_decapsulate(context, $0.octets, &length, ciphertext.octets, ciphertext.count) == 1
            }
            return worked ? secret : nil
        }
    }

    /// The list of named values that libcrypto takes. What it points to is kept, and wiped, here.
    private final class Parameters {
        private var entries: [(name: StaticString, value: UnsafeMutableRawBufferPointer, isInteger: Bool)] = []

        func with<R>(_ body: (Parameters) -> R) -> R { body(self) }

        func octets(_ name: StaticString, _ bytes: UnsafeRawBufferPointer) {
            // One byte more, so that an empty value has an address too.
            let copy = UnsafeMutableRawBufferPointer.allocate(byteCount: bytes.count + 1, alignment: 8)
            copy.copyMemory(from: bytes)
            entries.append((name, UnsafeMutableRawBufferPointer(rebasing: copy[..<bytes.count]), false))
        }

        func integer(_ name: StaticString, _ value: Int32) {
            let copy = UnsafeMutableRawBufferPointer.allocate(byteCount: 4, alignment: 8)
            copy.storeBytes(of: value, as: Int32.self)
            entries.append((name, copy, true))
        }

        func pass<R>(_ body: (UnsafePointer<OSSL_PARAM>) -> R) -> R {
            var list = entries.map { entry in
                let name = UnsafeRawPointer(entry.name.utf8Start).assumingMemoryBound(to: CChar.self)
                return entry.isInteger
                    ? OSSL_PARAM_construct_int(name, entry.value.baseAddress?.assumingMemoryBound(to: Int32.self))
                    : OSSL_PARAM_construct_octet_string(name, entry.value.baseAddress, entry.value.count)
            }
            list.append(OSSL_PARAM_construct_end())
            return list.withUnsafeBufferPointer { body($0.baseAddress.unsafelyUnwrapped) }
        }

        deinit {
            for entry in entries {
                wipe(entry.value)
                entry.value.baseAddress?.deallocate()
            }
        }
    }
}
