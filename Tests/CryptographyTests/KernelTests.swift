import CKernels
import Testing
import WaggleBase
import WaggleCryptography

@Suite(.serialized) struct KernelTests {
    /// The first permutation of zeros, from the Keccak team's KeccakF-1600-IntermediateValues.
    @Test(arguments: KernelLevel.available)
    func keccakOfZeros(level: KernelLevel) {
        var state = [UInt64](repeating: 0, count: 25)
        level.held { ck_keccak(&state) }
        #expect(state[0] == 0xf125_8f79_40e1_dde7 && state[1] == 0x84d5_ccf9_33c0_478a && state[24] == 0xeaf1_ff7b_5cec_a249)
    }

    @Test(arguments: KernelLevel.available)
    func keccakInParallel(level: KernelLevel) {
        var single = [UInt64](repeating: 0, count: 25)
        var eight = (0..<200).map { UInt64($0) &* 0x9e37_79b9_7f4a_7c15 }
        var four = (0..<100).map { eight[$0 / 4 * 8 + $0 % 4] }
        let start = eight
        level.held {
            ck_keccak_x8(&eight)
            ck_keccak_x4(&four)
        }
        for stream in 0..<8 {
            for lane in 0..<25 { single[lane] = start[8 * lane + stream] }
            KernelLevel.portable.held { ck_keccak(&single) }
            #expect((0..<25).allSatisfy { single[$0] == eight[8 * $0 + stream] })
            if stream < 4 { #expect((0..<25).allSatisfy { single[$0] == four[4 * $0 + stream] }) }
        }
        var bytes = [UInt8](repeating: 0, count: 8 * 168)
        ck_keccak_x8_extract(eight, &bytes, 168, 21)
        #expect(bytes[7 * 168] == UInt8(truncatingIfNeeded: eight[7]))
        #expect(bytes[168 + 167] == UInt8(truncatingIfNeeded: eight[8 * 20 + 1] >> 56))
    }

    @Test(arguments: KernelLevel.available)
    func sha3(level: KernelLevel) {
        let data = Bytes(pseudorandom: 10_000, seed: 12)
        let expected = KernelLevel.portable.held { SHA3.hash(data.span, .sha3_256) }
        #expect(level.held { SHA3.hash(data.span, .sha3_256) } == expected)
    }

    /// Lengths around every border of chunks and subtrees: the digest of all digests, computed with the reference implementation.
    @Test(arguments: KernelLevel.available)
    func blake3(level: KernelLevel) throws {
        let pattern = (0..<251).map { UInt8($0) }
        let large = Bytes((0..<3_145_800).map { pattern[$0 % 251] })
        var lengths = Array(stride(from: 0, to: 3000, by: 7))
        lengths += [9216, 16385, 65535, 262_144, 262_145, 1_048_576, 1_048_577, 3_145_733]
        try level.held {
            var digests: [UInt8] = []
            for length in lengths { digests += try #require(Hashing.digest(Hashing.Code.blake3, large.prefix(length), length: 64)).array }
            #expect(
                Hashing.digest(Hashing.Code.blake3, Bytes(digests))
                    == Bytes(hex: "c48fe700e127ee534fbc9fe4c91932ba79410cf9c7d93e420a7b2a5e090f99af"))
        }
    }

    /// The transforms against their definition: products of polynomials modulo X^256 + 1.
    @Test(arguments: KernelLevel.available)
    func products(level: KernelLevel) {
        let q = 3329
        let bytes = Bytes(pseudorandom: 6 * 512, seed: 4)
        func polynomial(_ index: Int) -> [Int16] {
            (0..<256).map { Int16((Int(bytes[512 * index + 2 * $0]) << 8 | Int(bytes[512 * index + 2 * $0 + 1])) % q) }
        }
        let left = (0..<3).map(polynomial)
        let right = (3..<6).map(polynomial)
        var expected = [Int](repeating: 0, count: 256)
        for (a, b) in zip(left, right) {
            for i in 0..<256 {
                for j in 0..<256 {
                    let product = Int(a[i]) * Int(b[j])
                    expected[(i + j) % 256] += i + j < 256 ? product : -product
                }
            }
        }
        var flat: [Int16] = []
        var prepared = [Int16](repeating: 0, count: 1536)
        var product = [Int16](repeating: 0, count: 256)
        level.held {
            for var a in left {
                ck_mlkem_ntt(&a)
                flat += a
            }
            for (index, polynomial) in right.enumerated() {
                var b = polynomial
                ck_mlkem_ntt(&b)
                prepared.withUnsafeMutableBufferPointer { ck_mlkem_prepare($0.baseAddress! + 512 * index, b) }
            }
            ck_mlkem_dot(&product, flat, 1, prepared)
            ck_mlkem_inverse_ntt(&product)
        }
        #expect((0..<256).allSatisfy { (expected[$0] - Int(product[$0])) % q == 0 })
    }

    /// The largest magnitudes a kernel may be given must not overflow anywhere inside.
    @Test(arguments: KernelLevel.available)
    func extremes(level: KernelLevel) {
        let q = 3329
        for value: Int16 in [3328, -3328, 1665, -1665] {
            for pattern in 0..<4 {
                let start = (0..<256).map { pattern >> ($0 & 1) & 1 == 0 ? value : -value }
                var forward = start
                level.held {
                    ck_mlkem_ntt(&forward)
                    ck_mlkem_inverse_ntt(&forward)
                }
                // 2^16 remains as a factor.
                #expect((0..<256).allSatisfy { (Int(start[$0]) * 65536 - Int(forward[$0])) % q == 0 })
                #expect(forward.allSatisfy { abs(Int($0)) < q })
            }
        }
    }

    /// Compression of every residue, in every representation, against the standard's formula.
    @Test(arguments: KernelLevel.available)
    func compression(level: KernelLevel) {
        let q = 3329
        level.held {
            for shift in [-2 * q, -q, 0, q, 2 * q] {
                for base in stride(from: 0, to: q + 255, by: 256) {
                    let polynomial = (0..<256).map { Int16((base + $0) % q + shift) }
                    var ten = [UInt8](repeating: 0, count: 320)
                    var four = [UInt8](repeating: 0, count: 128)
                    var one = [UInt8](repeating: 0, count: 32)
                    var twelve = [UInt8](repeating: 0, count: 384)
                    ck_mlkem_compress10(&ten, polynomial)
                    ck_mlkem_compress4(&four, polynomial)
                    ck_mlkem_extract_message(&one, polynomial)
                    ck_mlkem_encode12(&twelve, polynomial)
                    var agree = true
                    for index in 0..<256 {
                        let x = (base + index) % q
                        func field(_ bytes: [UInt8], _ width: Int) -> Int {
                            (0..<width).reduce(0) { $0 | Int(bytes[(index * width + $1) / 8] >> ((index * width + $1) % 8) & 1) << $1 }
                        }
                        func compressed(_ width: Int) -> Int { ((x << (width + 1)) + q) / (2 * q) % (1 << width) }
                        agree = agree && field(ten, 10) == compressed(10) && field(four, 4) == compressed(4)
                        agree = agree && field(one, 1) == compressed(1) && field(twelve, 12) == x
                    }
                    #expect(agree)
                    var back = [Int16](repeating: 0, count: 256)
                    ck_mlkem_decompress10(&back, ten)
                    #expect((0..<256).allSatisfy { index in
                        let x = (base + index) % q
                        let distance = abs(Int(back[index]) - x)
                        return min(distance, q - distance) <= 2
                    })
                }
            }
        }
    }

    /// Rejection of single values at the border, and stopping exactly at 256.
    @Test(arguments: KernelLevel.available)
    func rejection(level: KernelLevel) {
        func packed(_ values: [Int]) -> [UInt8] {
            stride(from: 0, to: values.count, by: 2).flatMap { index in
                let pair = values[index] | values[index + 1] << 12
                return [UInt8(pair & 255), UInt8(pair >> 8 & 255), UInt8(pair >> 16)]
            }
        }
        let values = (0..<336).map { [3328, 3329, $0, 4095, 3327, $0 * 7 % 3329][$0 % 6] }
        let accepted = values.filter { $0 < 3329 }
        for count in [0, 2, 8, 32, 100, 336] {
            for have in [0, 1, 200, 250, 255, 256] {
                var polynomial = [Int16](repeating: -1, count: 256)
                let expected = values.prefix(count).filter { $0 < 3329 }.prefix(256 - have)
                let total = level.held { ck_mlkem_reject(&polynomial, have, packed(Array(values.prefix(count))), count / 2 * 3) }
                #expect(total == have + expected.count)
                #expect(Array(polynomial[have..<total]) == expected.map { Int16($0) })
                #expect(polynomial[0..<have].allSatisfy { $0 == -1 })
            }
        }
        #expect(accepted.count < 256)
    }

    @Test func selection() {
        let same = [UInt8](repeating: 0xa5, count: 32)
        let different = [UInt8](repeating: 0x3c, count: 32)
        let first = Bytes(pseudorandom: 1088, seed: 1).array
        var output = [UInt8](repeating: 0, count: 32)
        ck_select_if_equal(&output, same, different, first, first, 1088)
        #expect(output == same)
        for index in 0..<1088 {
            var second = first
            second[index] ^= 1 << (index % 8)
            ck_select_if_equal(&output, same, different, first, second, 1088)
            #expect(output == different)
        }
    }
}
