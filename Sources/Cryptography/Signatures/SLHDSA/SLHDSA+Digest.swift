import COpenSSL
import WaggleBase

/// What is made of a message (FIPS 205, section 11): hashes of any length of input, by family.
extension SLHDSA.Parameters {
    /// PRF_msg: the randomizer of a signature, from the key's secret for it and fresh randomness.
    func randomizer(_ secret: UnsafeRawBufferPointer, _ randomness: UnsafeRawBufferPointer, _ parts: [Bytes]) -> Bytes {
        if family == .shake {
            var sponge = KeccakSponge(rate: 136, domain: .shake)
            sponge.absorb(secret)
            sponge.absorb(randomness)
            for part in parts { part.withUnsafeBytes { sponge.absorb($0) } }
            defer { sponge.wipe() }
            return Bytes(count: hashLength) {
                sponge.squeeze(into: $0)
                return $0.count
            }
        }
        var message = [UInt8](randomness)
        for part in parts { message += part.array }
        let code = Bytes(count: Int(EVP_MAX_MD_SIZE)) { output in
            var length: UInt32 = 0
            let function = hashLength == 16 ? EVP_sha256() : EVP_sha512()
            _ = available(HMAC(function, secret.baseAddress, Int32(secret.count), message, message.count, output.octets, &length))
            return Int(length)
        }
        return code.prefix(hashLength)
    }

    /// H_msg: which leaves a message opens.
    func digest(_ randomizer: Bytes, publicKey: Bytes, _ parts: [Bytes]) -> Bytes {
        if family == .shake {
            var shake = SHAKE(.shake256)
            for part in [randomizer, publicKey] + parts { shake.absorb(part.span) }
            return shake.squeeze(digestLength)
        }
        // MGF1 (RFC 8017, appendix B.2.1) over the randomizer, the public seed and a hash of everything.
        let seed = [randomizer, publicKey.prefix(hashLength), hash([randomizer, publicKey] + parts)]
        var output: [UInt8] = []
        var counter: UInt8 = 0
        while output.count < digestLength {
            output += hash(seed + [Bytes([0, 0, 0, counter])]).array
            counter += 1
        }
        return Bytes(Array(output.prefix(digestLength)))
    }

    /// SHA-256 or SHA-512, by strength.
    private func hash(_ parts: [Bytes]) -> Bytes {
        if hashLength == 16 {
            var hash = SHA256()
            for part in parts { hash.update(part) }
            return hash.finish().bytes
        }
        var hash = SHA512()
        for part in parts { part.withUnsafeBytes { hash.update($0) } }
        return hash.finish()
    }
}

extension SLHDSA {
    /// A digest, taken apart (algorithm 19, lines 7 to 10).
    struct Selection {
        let fewTimeDigest: Bytes
        let tree: UInt64
        let leaf: UInt32

        init(_ digest: Bytes, _ parameters: Parameters) {
            fewTimeDigest = digest.prefix(parameters.fewTimeDigestLength)
            let rest = digest.dropFirst(parameters.fewTimeDigestLength)
            let treeMask = parameters.treeBits == 64 ? UInt64.max : 1 << UInt64(parameters.treeBits) - 1
            tree = Selection.number(rest.prefix(parameters.treeIndexLength)) & treeMask
            let leafMask: UInt64 = 1 << UInt64(parameters.treeHeight) - 1
            leaf = UInt32(Selection.number(rest.dropFirst(parameters.treeIndexLength)) & leafMask)
        }

        private static func number(_ bytes: Bytes) -> UInt64 { bytes.reduce(0) { $0 << 8 | UInt64($1) } }
    }
}
