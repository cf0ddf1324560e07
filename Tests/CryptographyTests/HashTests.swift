import COpenSSL
import Foundation
import Testing
import WaggleBase
import WaggleCryptography

@Suite struct HashTests {
    /// Every digest of every length, whole and cut, against the table of the multihash project.
    @Test func multihashTable() throws {
        let text = String(decoding: try Vectors.data("multiformats/multihash/test_cases.csv"), as: UTF8.self)
        let codes: [Substring: UInt64] = ["sha1": 0x11, "sha2-256": 0x12, "sha2-512": 0x13, "sha3": 0x14]
        var checked = 0
        for line in text.split(separator: "\n").dropFirst() {
            let fields = line.split(separator: ",")
            guard fields.count == 4 else { continue }
            let code = try #require(codes[fields[0]])
            let bits = try #require(Int(fields[1]))
            // The input is the text itself, not what it spells in hexadecimal.
            let input = Bytes(utf8: String(fields[2]))
            let multihash = try #require(Bytes(hex: String(fields[3])))
            let digest = try #require(Hashing.digest(code, input, length: bits / 8))
            #expect(multihash == Bytes([UInt8(code), UInt8(bits / 8)] + digest))
            checked += 1
        }
        #expect(checked == 260)
    }

    @Test func sha256Incremental() {
        let data = Bytes(pseudorandom: 1000, seed: 1)
        let whole = SHA256.hash(data)
        for cut in stride(from: 0, through: 1000, by: 7) {
            var hash = SHA256()
            hash.update(data[0..<cut])
            hash.update(data[cut..<1000])
            #expect(hash.finish() == whole)
            hash.update(data)
            #expect(hash.finish() == whole)
        }
        #expect(SHA256.hash(Bytes()).description == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855")
    }

    /// Each function against libcrypto's, at lengths around the block boundaries and at random ones.
    @Test(arguments: [
        (0x14, "SHA3-512"), (0x15, "SHA3-384"), (0x16, "SHA3-256"), (0x17, "SHA3-224"), (0x18, "SHAKE128"), (0x19, "SHAKE256"),
        (0x20, "SHA384"), (0x1013, "SHA224"), (0x1014, "SHA512-224"), (0x1015, "SHA512-256"), (0xb240, "BLAKE2b512"), (0xb260, "BLAKE2s256"),
    ] as [(UInt64, String)])
    func agreesWithLibcrypto(code: UInt64, name: String) throws {
        var lengths = [0, 1, 63, 64, 65, 71, 72, 73, 103, 104, 105, 127, 128, 129, 135, 136, 137, 143, 144, 145, 167, 168, 169, 255, 256, 257, 5000]
        for step: UInt64 in 1...40 { lengths.append(Int(step * 7919 % 3001)) }
        for length in lengths {
            let data = Bytes(pseudorandom: length, seed: UInt64(length))
            let expected = libcrypto(name, data, length: try #require(Hashing.digestLength(code)))
            #expect(Hashing.digest(code, data) == expected, "length \(length)")
        }
    }

    private func libcrypto(_ name: String, _ data: Bytes, length: Int) -> Bytes {
        let digest = EVP_MD_fetch(nil, name, nil)
        let context = EVP_MD_CTX_new()
        defer {
            EVP_MD_CTX_free(context)
            EVP_MD_free(digest)
        }
        EVP_DigestInit_ex2(context, digest, nil)
        _ = data.withUnsafeBytes { EVP_DigestUpdate(context, $0.baseAddress, $0.count) }
        return Bytes(count: length) {
            let output = $0.baseAddress?.assumingMemoryBound(to: UInt8.self)
            if name.hasPrefix("SHAKE") {
                EVP_DigestFinalXOF(context, output, length)
            } else {
                EVP_DigestFinal_ex(context, output, nil)
            }
            return length
        }
    }

    /// Answers printed in RFC 7693 (appendix A, B), in the Keccak team's files, and by go-multihash.
    @Test(arguments: [
        (0xb240, "abc", "ba80a53f981c4d0d6a2797b69f12f6e94c212f14685ac4b74b12bb6fdbffa2d17d87c5392aab792dc252d5de4533cc9518d38aa8dbf1925ab92386edd4009923"),
        (0xb260, "abc", "508c5e8c327c14e2e1a72ba34eeb452f37458b209ed63a294d999b4c86675982"),
        (0xb220, "", "0e5751c026e543b2e8ab2eb06099daa1d1e5df47778f7787faab45cdf12fe3a8"),
        (0xb214, "", "3345524abf6bbe1809449224b5972c41790b6cf2"),
        (0x1b, "", "c5d2460186f7233c927e7db2dcc703c0e500b653ca82273b7bfad8045d85a470"),
        (0x1a, "", "f71837502ba8e10837bdd8d365adb85591895602fc552b48b7390abd"),
        (0x1d, "", "0eab42de4c3ceb9235fc91acffe746b29c29a8c366b7c60e4e67c466f36a4304c00fa9caf9d87976ba469bcbe06713b435f091ef2769fb160cdab33d3670680e"),
        (0x56, "hello", "9595c9df90075148eb06860365df33584b75bff782a510c6cd4883a419833d50"),
    ] as [(UInt64, String, String)])
    func publishedAnswers(code: UInt64, input: String, expected: String) throws {
        #expect(Hashing.digest(code, Bytes(utf8: input)) == Bytes(hex: expected))
    }

    /// From the BLAKE3 team's test_vectors.json: input byte i is i modulo 251.
    @Test(arguments: [
        (0, "af1349b9f5f9a1a6a0404dea36dcc9499bcb25c9adc112b7cc9a93cae41f3262"),
        (1, "2d3adedff11b61f14c886e35afa036736dcd87a74d27b5c1510225d0f592e213"),
        (64, "4eed7141ea4a5cd4b788606bd23f46e212af9cacebacdc7d1f4c6dc7f2511b98"),
        (1023, "10108970eeda3eb932baac1428c7a2163b0e924c9a9e25b35bba72b28f70bd11"),
        (1024, "42214739f095a406f3fc83deb889744ac00df831c10daa55189b5d121c855af7"),
        (
            1025,
            "d00278ae47eb27b34faecf67b4fe263f82d5412916c1ffd97c8cb7fb814b8444f4c4a22b4b399155358a994e52bf255de60035742ec71bd08ac275a1b51cc6bf"
                + "e332b0ef84b409108cda080e6269ed4b3e2c3f7d722aa4cdc98d16deb554e5627be8f955c98e1d5f9565a9194cad0c4285f93700062d9595adb992ae68ff1280"
        ),
        (102_400, "bc3e3d41a1146b069abffad3c0d44860cf664390afce4d9661f7902e7943e085"),
    ] as [(Int, String)])
    func blake3(length: Int, expected: String) {
        let data = Bytes((0..<length).map { UInt8($0 % 251) })
        #expect(Hashing.digest(Hashing.Code.blake3, data, length: expected.count / 2) == Bytes(hex: expected))
        #expect(Hashing.digest(Hashing.Code.blake3, data) == Bytes(hex: String(expected.prefix(64))))
        #expect(Hashing.digest(Hashing.Code.blake3, data, length: 129) == nil)
    }

    /// Many digest lengths at once: the digest of all digests, computed with Python's hashlib.
    @Test func blake2Lengths() throws {
        var digests: [UInt8] = []
        for length in stride(from: 0, to: 300, by: 3) {
            let data = Bytes((0..<length).map { UInt8($0 % 251) })
            for size: UInt64 in [1, 20, 32, 33, 64] { digests += try #require(Hashing.digest(0xb200 + size, data)).array }
            for size: UInt64 in [1, 16, 31, 32] { digests += try #require(Hashing.digest(0xb240 + size, data)).array }
        }
        #expect(SHA256.hash(digests).description == "b53cb11e8a94c098e369bcc35588bf8c73b9309580e1a44005e82258aca1c103")
    }

    @Test(arguments: [
        ("", 0x0000_0000_0000_0000), ("a", 0x8555_5565_f659_7889), ("hello", 0xcbd8_a7b3_41bd_9b02),
        ("hello, world", 0x342f_ac62_3a5e_bc8e), ("19 Jan 2038 at 3:14:07 AM", 0xb89e_5988_b737_affc),
        ("The quick brown fox jumps over the lazy dog.", 0xcd99_481f_9ee9_02c9),
    ] as [(String, UInt64)])
    func murmur3(input: String, expected: UInt64) {
        #expect(Murmur3.x64_64(Bytes(utf8: input)) == expected)
    }

    @Test func lengthsAndUnknownCodes() throws {
        let data = Bytes(utf8: "waggle")
        #expect(Hashing.digest(0x99, data) == nil)
        #expect(!Hashing.isKnown(0x99))
        #expect(Hashing.digest(0x12, data, length: 33) == nil)
        #expect(Hashing.digest(0x12, data, length: -1) == nil)
        #expect(Hashing.digest(0x00, data) == data)
        #expect(Hashing.digest(0x00, data, length: 3) == nil)
        let cut = try #require(Hashing.digest(0x12, data, length: 20))
        #expect(cut == SHA256.hash(data).bytes.prefix(20))
        for (code, digest, expected) in [
            (0x12, SHA256.hash(data).bytes, true), (0x12, cut, true), (0x12, Bytes([1]), false), (0x12, SHA256.hash(cut).bytes, false),
            (0x99, cut, nil), (0x00, data, true), (0x00, cut, false),
        ] as [(UInt64, Bytes, Bool?)] {
            let matches = data.withUnsafeBytes { Hashing.matches(code, digest: digest.span, data: $0) }
            #expect(matches == expected)
        }
        let codes = (0...0xffff).filter { Hashing.isKnown($0) }
        for code in codes where code != 0 {
            #expect(Hashing.digest(code, data)?.count == Hashing.digestLength(code))
        }
    }

    @Test func shakeSqueezesInPieces() {
        for variant in SHAKE.Variant.allCases {
            let data = Bytes(pseudorandom: 500, seed: 3)
            var whole = SHAKE(variant)
            whole.absorb(data.span)
            let expected = whole.squeeze(1000)
            var pieces = SHAKE(variant)
            pieces.absorb(data.prefix(137).span)
            pieces.absorb(data.dropFirst(137).span)
            var output: [UInt8] = []
            for count in [0, 1, 135, 136, 200, 528] { output += pieces.squeeze(count).array }
            #expect(expected == Bytes(output))
        }
    }
}

@Suite struct KeyDerivationTests {
    struct MACGroup: Decodable {
        struct Case: Decodable {
            let tcId: Int
            let key, msg, tag: Hex
            let result: Verdict
        }
        let tagSize: Int
        let tests: [Case]
    }

    @Test func wycheproofHMAC() throws {
        let file = try Wycheproof<MACGroup>.load("hmac_sha256")
        var checked = 0
        for group in file.testGroups {
            for test in group.tests {
                let tag = HMACSHA256.authenticate(test.msg.bytes.span, key: test.key.bytes.span).bytes.prefix(group.tagSize / 8)
                #expect((tag == test.tag.bytes) == (test.result == .valid), "test \(test.tcId)")
                checked += 1
            }
        }
        #expect(checked == file.numberOfTests)
    }

    struct HKDFGroup: Decodable {
        struct Case: Decodable {
            let tcId: Int
            let ikm, salt, info, okm: Hex
            let size: Int
            let result: Verdict
        }
        let tests: [Case]
    }

    @Test func wycheproofHKDF() throws {
        let file = try Wycheproof<HKDFGroup>.load("hkdf_sha256")
        var checked = 0
        for test in file.testGroups.flatMap(\.tests) {
            let output = HKDFSHA256.derive(
                input: test.ikm.bytes.span, salt: test.salt.bytes.span, info: test.info.bytes.span, length: test.size)
            #expect(output?.revealed == (test.result == .valid ? test.okm.bytes : nil), "test \(test.tcId)")
            checked += 1
        }
        #expect(checked == file.numberOfTests)
    }

    /// Noise's chain is RFC 5869 with the chaining key as salt and no info.
    @Test func noiseChain() throws {
        let key = SecureBytes(Bytes(pseudorandom: 32, seed: 5))
        let input = Bytes(pseudorandom: 32, seed: 6)
        let expected = HKDFSHA256.derive(input: input.span, salt: key.span, info: Bytes().span, length: 96)?.revealed
        let three = HKDFSHA256.noise3(chainingKey: key, input: input.span)
        #expect(Bytes(three.0.revealed.array + three.1.revealed.array + three.2.revealed.array) == expected)
        let two = HKDFSHA256.noise2(chainingKey: key, input: input.span)
        #expect(two.0 == three.0 && two.1 == three.1)
        let tooLong = HKDFSHA256.expand(key: key.span, info: input.span, length: HKDFSHA256.maximumLength + 1)
        #expect(tooLong == nil)
    }

    @Test func secretsDoNotPrint() {
        let secret = SecureBytes([1, 2, 3])
        #expect("\(secret)" == "SecureBytes(3 bytes)")
        #expect(String(reflecting: secret) == "SecureBytes(3 bytes)")
        var dumped = ""
        dump(secret, to: &dumped)
        #expect(!dumped.contains("0x"))
        #expect(secret == SecureBytes([1, 2, 3]) && secret != SecureBytes([1, 2, 4]) && secret != SecureBytes([1, 2]))
    }
}
