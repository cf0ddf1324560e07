import COpenSSL
import Testing
import WaggleBase
@testable import WaggleCryptography

@Suite struct RecordCipherTests {
    struct Group: Decodable {
        struct Case: Decodable {
            let tcId: Int
            let key, iv, aad, msg, ct, tag: Hex
            let result: Verdict
        }
        let ivSize, keySize, tagSize: Int
        let tests: [Case]
    }

    /// Every test of every group. Records have keys of 256 bits and nonces of 96; tests with others are there to see what comes of them, and
    /// what must come of them here is a refusal, whatever the file says of the cipher.
    @Test(arguments: [
        (RecordCipher.Algorithm.chaCha20Poly1305, "chacha20_poly1305", 325, 9), (.aes256GCM, "aes_gcm", 316, 250),
    ])
    func wycheproof(algorithm: RecordCipher.Algorithm, name: String, total: Int, expected: Int) throws {
        let file = try Wycheproof<Group>.load(name)
        var seen = 0
        var refused = 0
        for group in file.testGroups {
            for test in group.tests {
                seen += 1
                let (cipher, nonce) = (RecordCipher(algorithm, key: SecureBytes(test.key.bytes)), RecordCipher.Nonce(test.iv.bytes))
                #expect((cipher == nil) == (group.keySize != 256) && (nonce == nil) == (group.ivSize != 96), "test \(test.tcId)")
                #expect(group.tagSize == 128 && test.key.bytes.count * 8 == group.keySize && test.iv.bytes.count * 8 == group.ivSize)
                guard let cipher, let nonce else {
                    refused += 1
                    continue
                }
                try check(test, cipher, nonce)
            }
        }
        #expect(seen == total && seen == file.numberOfTests)
        #expect(refused == expected, "\(refused)")
    }

    /// XChaCha20-Poly1305 is ChaCha20-Poly1305 under a key made of the first 16 bytes of its nonce: nobody here offers it, but its tests are
    /// tests of our cipher. Nine have nonces of another length than 24 bytes.
    @Test func wycheproofExtendedNonce() throws {
        let file = try Wycheproof<Group>.load("xchacha20_poly1305")
        var seen = 0
        var refused = 0
        for group in file.testGroups {
            for test in group.tests {
                seen += 1
                guard test.iv.bytes.count == 24 else {
                    #expect(test.result == .invalid && group.ivSize != 192)
                    refused += 1
                    continue
                }
                let key = try RecordCipherTests.hChaCha20(test.key.bytes, test.iv.bytes.prefix(16))
                let cipher = try #require(RecordCipher(.chaCha20Poly1305, key: key))
                let nonce = try #require(RecordCipher.Nonce(Bytes([0, 0, 0, 0] + test.iv.bytes.dropFirst(16).array)))
                try check(test, cipher, nonce)
            }
        }
        #expect(seen == file.numberOfTests && refused == 9, "\(refused)")
    }

    /// The core of ChaCha20 without its last addition: a block of key stream, less the words that were added.
    private static func hChaCha20(_ key: Bytes, _ input: Bytes) throws -> SecureBytes {
        let context = try #require(EVP_CIPHER_CTX_new())
        defer { EVP_CIPHER_CTX_free(context) }
        var block = [UInt8](repeating: 0, count: 64)
        var length: Int32 = 0
        #expect(EVP_EncryptInit_ex(context, EVP_chacha20(), nil, key.array, input.array) == 1)
        #expect(EVP_EncryptUpdate(context, &block, &length, [UInt8](repeating: 0, count: 64), 64) == 1)
        func subtract(_ words: [UInt8], from start: Int) -> [UInt8] {
            stride(from: 0, to: words.count, by: 4).flatMap { index in
                func word(_ bytes: [UInt8], _ at: Int) -> UInt32 { (0..<4).reduce(0) { $0 | UInt32(bytes[at + $1]) << UInt32(8 * $1) } }
                return withUnsafeBytes(of: (word(block, start + index) &- word(words, index)).littleEndian) { Array($0) }
            }
        }
        return SecureBytes(subtract(Array("expand 32-byte k".utf8), from: 0) + subtract(input.array, from: 48))
    }

    private func check(_ test: Group.Case, _ cipher: RecordCipher, _ nonce: RecordCipher.Nonce) throws {
        let record = Bytes(test.ct.bytes.array + test.tag.bytes.array)
        var opened = false
        let plaintext = Bytes(count: test.ct.bytes.count) { output in
            record.withUnsafeBytes { record in
                test.aad.bytes.withUnsafeBytes { aad in
                    opened = cipher.open(record, authenticating: aad, nonce: nonce, into: output.baseAddress!)
                }
            }
            return output.count
        }
        #expect(opened == (test.result == .valid), "test \(test.tcId)")
        guard test.result == .valid else {
            #expect(plaintext.allSatisfy { $0 == 0 })
            return
        }
        #expect(plaintext == test.msg.bytes, "test \(test.tcId)")
        // The same in two pieces, cut everywhere a short message can be cut.
        for cut in stride(from: 0, through: plaintext.count, by: max(1, plaintext.count / 16)) {
            let sealed = Bytes(count: record.count) { output in
                plaintext.prefix(cut).withUnsafeBytes { first in
                    plaintext.dropFirst(cut).withUnsafeBytes { second in
                        test.aad.bytes.withUnsafeBytes { aad in
                            cipher.seal(first, second, authenticating: aad, nonce: nonce, into: output.baseAddress!)
                        }
                    }
                }
                return output.count
            }
            #expect(sealed == record, "test \(test.tcId) cut at \(cut)")
        }
    }

    @Test(arguments: RecordCipher.Algorithm.allCases, [0, 1, 16, 100, 65_519])
    func inPlace(algorithm: RecordCipher.Algorithm, length: Int) throws {
        let cipher = try #require(RecordCipher(algorithm, key: SecureBytes(Bytes(pseudorandom: 32, seed: 1))))
        let plaintext = Bytes(pseudorandom: length, seed: 2)
        let memory = UnsafeMutableRawBufferPointer.allocate(byteCount: length + 16, alignment: 16)
        defer { memory.deallocate() }
        let start = memory.baseAddress!
        for nonce: UInt64 in [0, 1, 0x0102_0304_0506_0708] {
            let expected = cipher.seal(plaintext.span, authenticating: Bytes().span, nonce: nonce)
            memory.copyBytes(from: plaintext)
            cipher.seal(UnsafeRawBufferPointer(start: start, count: length), nonce: nonce, into: start)
            #expect(Bytes(copying: UnsafeRawBufferPointer(memory)) == expected)
            #expect(!cipher.open(UnsafeRawBufferPointer(start: start, count: 15), nonce: nonce, into: start))
            #expect(cipher.open(UnsafeRawBufferPointer(memory), nonce: nonce, into: start))
            #expect(Bytes(copying: UnsafeRawBufferPointer(start: start, count: length)) == plaintext)
        }
    }

    /// The counter's place and byte order, from Noise rev 34, sections 12.3 and 12.4.
    @Test func nonceLayout() throws {
        let key = SecureBytes(Bytes(pseudorandom: 32, seed: 3))
        for (algorithm, nonce) in [
            (RecordCipher.Algorithm.chaCha20Poly1305, [0, 0, 0, 0, 8, 7, 6, 5, 4, 3, 2, 1]),
            (.aes256GCM, [0, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8]),
        ] as [(RecordCipher.Algorithm, [UInt8])] {
            let cipher = try #require(RecordCipher(algorithm, key: key))
            let explicit = try #require(RecordCipher.Nonce(Bytes(nonce)))
            let record = cipher.seal(Bytes(utf8: "waggle").span, authenticating: Bytes().span, nonce: 0x0102_0304_0506_0708)
            let opened = Bytes(count: 6) { output in
                let authentic = record.withUnsafeBytes {
                    cipher.open($0, authenticating: .init(start: nil, count: 0), nonce: explicit, into: output.baseAddress!)
                }
                return authentic ? 6 : 0
            }
            #expect(opened == "waggle")
        }
        #expect(RecordCipher(.chaCha20Poly1305, key: SecureBytes([1])) == nil)
    }
}

extension RecordCipher.Nonce {
    init?(_ bytes: Bytes) { self.init(bytes.span) }
}
