import COpenSSL
import WaggleBase

/// A key of libcrypto, to compare with: found by the name of its algorithm, which an older libcrypto may not have.
final class LibcryptoSignature {
    private let key: OpaquePointer

    static func isKnown(_ name: String) -> Bool {
        let context = EVP_PKEY_CTX_new_from_name(nil, name, nil)
        EVP_PKEY_CTX_free(context)
        ERR_clear_error()
        return context != nil
    }

    init?(_ name: String, privateKey: Bytes) {
        let key = privateKey.withUnsafeBytes {
            EVP_PKEY_new_raw_private_key_ex(nil, name, nil, $0.baseAddress?.assumingMemoryBound(to: UInt8.self), $0.count)
        }
        guard let key else { return nil }
        self.key = key
    }

    init?(_ name: String, publicKey: Bytes) {
        let key = publicKey.withUnsafeBytes {
            EVP_PKEY_new_raw_public_key_ex(nil, name, nil, $0.baseAddress?.assumingMemoryBound(to: UInt8.self), $0.count)
        }
        guard let key else { return nil }
        self.key = key
    }

    deinit { EVP_PKEY_free(key) }

    func sign(_ message: Bytes) -> Bytes? {
        let context = EVP_MD_CTX_new()
        defer { EVP_MD_CTX_free(context) }
        guard EVP_DigestSignInit_ex(context, nil, nil, nil, nil, key, nil) == 1 else { return nil }
        var length = 50_000
        let signature = Bytes(count: length) { output in
            let result = message.withUnsafeBytes {
                EVP_DigestSign(
                    context, output.baseAddress?.assumingMemoryBound(to: UInt8.self), &length,
                    $0.baseAddress?.assumingMemoryBound(to: UInt8.self), $0.count)
            }
            return result == 1 ? length : 0
        }
        return signature.isEmpty ? nil : signature
    }

    func verify(_ signature: Bytes, _ message: Bytes) -> Bool {
        let context = EVP_MD_CTX_new()
        defer { EVP_MD_CTX_free(context) }
        guard EVP_DigestVerifyInit_ex(context, nil, nil, nil, nil, key, nil) == 1 else { return false }
        return signature.withUnsafeBytes { signature in
            message.withUnsafeBytes {
                EVP_DigestVerify(
                    context, signature.baseAddress?.assumingMemoryBound(to: UInt8.self), signature.count,
                    $0.baseAddress?.assumingMemoryBound(to: UInt8.self), $0.count)
            }
        } == 1
    }
}
