import CKernels

/// Polynomials from seeds, eight streams of Keccak at a time.
extension MLDSA {
    /// Eight Keccak states and what comes out of them, wiped at the end.
    struct Streams: ~Copyable {
        private let memory: UnsafeMutableRawBufferPointer
        /// Bytes between the outputs of neighbouring streams: five blocks of SHAKE128, which nearly always suffice for a polynomial of the
        /// matrix, and as many of SHAKE256, which make a mask.
        static let stride = 5 * 168

        init() { memory = .allocate(byteCount: 200 * 8 + 8 * Streams.stride, alignment: 64) }

        deinit {
            wipe(memory)
            memory.deallocate()
        }

        var states: UnsafeMutablePointer<UInt64> { memory.baseAddress.unsafelyUnwrapped.assumingMemoryBound(to: UInt64.self) }
        func output(_ stream: Int) -> UnsafeMutablePointer<UInt8> {
            (memory.baseAddress.unsafelyUnwrapped + 200 * 8 + stream * Streams.stride).octets
        }

        /// States that have absorbed a seed and two bytes each, padded, not yet permuted. The last lane of a block is 20 for SHAKE128 and
        /// 16 for SHAKE256.
        @inline(__always)
        func start<V: SIMD<UInt64>>(_ seed: V, lastLane: Int, suffix: (Int) -> UInt16) {
            states.update(repeating: 0, count: 200)
            for stream in 0..<8 {
                for lane in 0..<V.scalarCount { states[8 * lane + stream] = seed[lane] }
                states[8 * V.scalarCount + stream] = UInt64(suffix(stream)) | 0x1f << 16
                states[8 * lastLane + stream] = 0x80 << 56
            }
        }

        /// The next `blocks` blocks of each stream.
        @inline(__always)
        func squeeze(blocks: Int, lanes: Int) {
            for block in 0..<blocks {
                ck_keccak_x8(states)
                ck_keccak_x8_extract(states, output(0) + block * lanes * 8, Streams.stride, lanes)
            }
        }
    }

    /// The matrix of a public seed, row after row (algorithm 32). Its running time depends on the seed only.
    static func sampleMatrix(
        _ seed: Seed, _ parameters: Parameters, into matrix: UnsafeMutablePointer<Int32>, _ streams: borrowing Streams
    ) {
        let count = parameters.rows * parameters.columns
        for first in stride(from: 0, to: count, by: 8) {
            let used = min(8, count - first)
            streams.start(seed, lastLane: 20) { stream in
                let entry = first + stream
                return UInt16(entry % parameters.columns) | UInt16(entry / parameters.columns) << 8
            }
            streams.squeeze(blocks: 5, lanes: 21)
            var counts = SIMD8<Int>(repeating: degree)
            for stream in 0..<used {
                counts[stream] = ck_mldsa_reject_uniform(matrix + (first + stream) * degree, 0, streams.output(stream), Streams.stride)
            }
            // One value in a thousand is refused, so five blocks rarely leave fewer than 256 of 280.
            while counts.min() < degree {
                streams.squeeze(blocks: 1, lanes: 21)
                for stream in 0..<used where counts[stream] < degree {
                    let polynomial = matrix + (first + stream) * degree
                    counts[stream] = ck_mldsa_reject_uniform(polynomial, counts[stream], streams.output(stream), 168)
                }
            }
        }
    }

    /// `count` secret polynomials with coefficients up to eta (algorithm 33).
    @inline(never) // scripts/constant-time leaves it out by its name
    static func sampleShort(
        _ seed: Representative, count: Int, eta: Int32, into polynomials: UnsafeMutablePointer<Int32>, _ streams: borrowing Streams
    ) {
        for first in stride(from: 0, to: count, by: 8) {
            let used = min(8, count - first)
            streams.start(seed, lastLane: 16) { UInt16(first + $0) }
            var counts = SIMD8<Int>(repeating: degree)
            for stream in 0..<used { counts[stream] = 0 }
            while counts.min() < degree {
                streams.squeeze(blocks: 2, lanes: 17)
                for stream in 0..<used where counts[stream] < degree {
                    let polynomial = polynomials + (first + stream) * degree
                    counts[stream] = ck_mldsa_reject_short(polynomial, counts[stream], streams.output(stream), 272, eta)
                }
            }
        }
    }

    /// The masks of one attempt (algorithm 34).
    static func sampleMask(
        _ seed: Representative, counter: Int, _ parameters: Parameters, into masks: UnsafeMutablePointer<Int32>,
        _ streams: borrowing Streams
    ) {
        streams.start(seed, lastLane: 16) { UInt16(counter + $0) }
        streams.squeeze(blocks: 5, lanes: 17)
        for column in 0..<parameters.columns {
            ck_mldsa_unpack(masks + column * degree, streams.output(column), Int32(parameters.maskBits), parameters.maskBound)
        }
    }

    /// The polynomial of a challenge (algorithm 29): `weight` coefficients are 1 or -1. The challenge may be seen.
    @inline(never) // scripts/constant-time leaves it out by its name
    static func sampleChallenge(_ challenge: UnsafeRawBufferPointer, weight: Int, into polynomial: UnsafeMutablePointer<Int32>) {
        var sponge = KeccakSponge(rate: 136, domain: .shake)
        sponge.absorb(challenge)
        polynomial.update(repeating: 0, count: degree)
        withUnsafeTemporaryAllocation(byteCount: 136, alignment: 8) { block in
            sponge.squeeze(into: block)
            var signs = block.load(as: UInt64.self)
            var position = 8
            for index in degree - weight..<degree {
                var place = degree
                while place > index {
                    if position == 136 {
                        sponge.squeeze(into: block)
                        position = 0
                    }
                    place = Int(block[position])
                    position += 1
                }
                polynomial[index] = polynomial[place]
                polynomial[place] = 1 - 2 * Int32(truncatingIfNeeded: signs & 1)
                signs >>= 1
            }
        }
    }
}
