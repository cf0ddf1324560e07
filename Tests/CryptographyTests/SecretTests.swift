import COpenSSL
import Foundation
import Glibc
import Testing
import WaggleBase

@testable import WaggleCryptography

@Suite struct SecretBase64Tests {
    @Test func agreesWithFoundation() throws {
        for length in 0..<200 {
            let bytes = Bytes(pseudorandom: length, seed: UInt64(length) + 1)
            let text = Data(bytes.array).base64EncodedString()
            #expect(SecretBase64.encode(SecureBytes(bytes)).revealed == Bytes(utf8: text))
            #expect(Bytes(utf8: text).withUnsafeBytes(SecretBase64.decode)?.revealed == bytes)
        }
    }

    /// Each of the 256 characters at each place of a group.
    @Test func everyCharacter() {
        let alphabet = Array("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/".utf8)
        for place in 0..<4 {
            for character: UInt8 in 0...255 {
                var text = Array("AAAA".utf8)
                text[place] = character
                let decoded = text.withUnsafeBytes(SecretBase64.decode)
                if let value = alphabet.firstIndex(of: character) {
                    let bits = UInt32(value) << UInt32(18 - 6 * place)
                    #expect(decoded?.revealed == [UInt8(bits >> 16), UInt8(bits >> 8 & 255), UInt8(bits & 255)])
                } else {
                    // "AAA=" is two zeros.
                    #expect(decoded?.revealed == (place == 3 && character == UInt8(ascii: "=") ? [0, 0] : nil))
                }
            }
        }
    }

    @Test(arguments: ["A", "AA", "AAA", "AAAAA", "====", "A===", "AA=A", "=AAA", "AB==", "AAB=", "AA==AAAA", "AA =", "AAAA\n"])
    func refused(text: String) {
        #expect(Bytes(utf8: text).withUnsafeBytes(SecretBase64.decode)?.revealed == nil)
    }
}

/// What operations on secrets leave on the stack: they run on a thread whose stack is ours to look at afterwards. The address sanitizer keeps
/// variables elsewhere.
@Suite(.enabled(if: dlsym(nil, "__asan_init") == nil, "the address sanitizer has stacks of its own")) struct StackTests {
    private static let length = 1 << 20

    /// Runs `body` on a stack of its own and gives what is on it then.
    private func stack(after body: @escaping () -> Void) throws -> [UInt8] {
        let memory = UnsafeMutableRawBufferPointer.allocate(byteCount: StackTests.length, alignment: 4096)
        defer { memory.deallocate() }
        memory.initializeMemory(as: UInt8.self, repeating: 0)
        var attributes = pthread_attr_t()
        pthread_attr_init(&attributes)
        defer { pthread_attr_destroy(&attributes) }
        #expect(pthread_attr_setstack(&attributes, memory.baseAddress!, memory.count) == 0)
        let box = Unmanaged.passRetained(Box(body))
        var thread = pthread_t()
        let made = pthread_create(&thread, &attributes, { argument in
            Unmanaged<Box>.fromOpaque(argument!).takeRetainedValue().body()
            return nil
        }, box.toOpaque())
        try #require(made == 0)
        pthread_join(thread, nil)
        return [UInt8](memory)
    }

    private final class Box {
        let body: () -> Void
        init(_ body: @escaping () -> Void) { self.body = body }
    }

    /// Where any 16 bytes in a row of the secrets lie.
    private func traces(of secrets: [Bytes], in stack: [UInt8]) -> [String] {
        var known: [UInt64: (name: Int, at: Int)] = [:]
        for (name, secret) in secrets.enumerated() {
            secret.withUnsafeBytes { bytes in
                for at in stride(from: 0, to: bytes.count - 7, by: 1) { known[bytes.loadUnaligned(fromByteOffset: at, as: UInt64.self)] = (name, at) }
            }
        }
        known[0] = nil
        return stack.withUnsafeBytes { stack in
            stride(from: 0, to: stack.count - 7, by: 8).compactMap { offset in
                known[stack.loadUnaligned(fromByteOffset: offset, as: UInt64.self)].map { "secret \($0.name) from \($0.at), \(stack.count - offset) below the top" }
            }
        }
    }

    private func random(_ count: Int, _ seed: UInt64) -> SecureBytes { SecureBytes(Bytes(pseudorandom: count, seed: seed)) }

    /// The test can see what it looks for. In an optimised build the end of the thread overwrites so shallow a trace.
    @Test(.enabled(if: _isDebugAssertConfiguration())) func tracesAreFound() throws {
        let secret = random(32, 1)
        let left = try stack {
            withUnsafeTemporaryAllocation(byteCount: 32, alignment: 8) { copy in
                secret.withUnsafeBytes {
                    copy.copyMemory(from: $0)
                    // Somebody looks at the copy, or an optimised build would have none.
                    _ = CRYPTO_memcmp(copy.baseAddress, $0.baseAddress, 32)
                }
            }
        }
        #expect(!traces(of: [secret.revealed], in: left).isEmpty)
    }

    @Test(arguments: KernelLevel.available)
    func encapsulation(level: KernelLevel) throws {
        let (d, z, m) = (random(32, 2), random(32, 3), random(32, 4))
        try level.held {
            let key = try #require(MLKEM768.generate(d: d, z: z))
            let sent = try #require(MLKEM768.encapsulate(to: key.encapsulationKey, m: m))
            let secrets = [d.revealed, z.revealed, m.revealed, sent.sharedSecret.revealed, key.encoded.revealed.prefix(1152)]
            let left = try stack {
                _ = MLKEM768.generate(d: d, z: z)
                _ = MLKEM768.encapsulate(to: key.encapsulationKey, m: m)
                _ = key.decapsulate(sent.ciphertext)
            }
            #expect(traces(of: secrets, in: left) == [])
        }
    }

    @Test(arguments: KernelLevel.available)
    func latticeSignatures(level: KernelLevel) throws {
        let (seed, fresh) = (random(32, 5), random(32, 6))
        try level.held {
            let key = try #require(MLDSA.PrivateKey(seed: seed, .mldsa65))
            let expanded = key.expanded.revealed
            let secrets = [seed.revealed, fresh.revealed, expanded[32..<64], expanded.dropFirst(128)]
            let left = try stack {
                _ = MLDSA.PrivateKey(seed: seed, .mldsa65)
                _ = MLDSA.PrivateKey(expanded: key.expanded, .mldsa65)
                _ = key.sign("message", randomness: fresh)
            }
            #expect(traces(of: secrets, in: left) == [])
        }
    }

    @Test(arguments: [SLHDSA.Parameters.shake128f, .sha2_128f], KernelLevel.available)
    func hashSignatures(parameters: SLHDSA.Parameters, level: KernelLevel) throws {
        let seed = random(48, 7), fresh = random(16, 8)
        try level.held {
            let key = try #require(SLHDSA.PrivateKey(seed: seed, parameters))
            // Of the fresh randomness nothing follows that the signature does not show.
            let left = try stack {
                _ = SLHDSA.PrivateKey(seed: seed, parameters)
                _ = key.sign("message", randomness: fresh)
            }
            #expect(traces(of: [seed.revealed.prefix(32)], in: left) == [])
        }
    }

    @Test func derivedKeysAndText() throws {
        let key = random(32, 9), input = random(32, 10)
        let (first, second) = HKDFSHA256.noise2(chainingKey: key, input: input.span)
        let text = SecretBase64.encode(input)
        let left = try stack {
            _ = HKDFSHA256.noise2(chainingKey: key, input: input.span)
            _ = text.withUnsafeBytes(SecretBase64.decode)
        }
        #expect(traces(of: [key.revealed, input.revealed, first.revealed, second.revealed], in: left) == [])
    }
}
