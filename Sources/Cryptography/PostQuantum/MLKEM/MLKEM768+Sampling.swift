import CKernels

/// Polynomials from seeds, eight streams of Keccak at a time.
extension MLKEM768 {
    /// The matrix of a public seed, row after row (algorithm 13, lines 3 to 7). Its running time depends on the seed only.
    static func sampleMatrix(_ seed: Seed, into matrix: UnsafeMutablePointer<Int16>, _ workspace: borrowing Workspace) {
        // Nine entries: eight streams at once, the last alone.
        start(seed, workspace.states, lastLane: 20) { streamSuffix(entry: $0) }
        var counts = SIMD8<Int>.zero
        for block in 0..<3 {
            ck_keccak_x8(workspace.states)
            ck_keccak_x8_extract(workspace.states, workspace.blocks + block * 168, Workspace.blockStride, 21)
        }
        for stream in 0..<8 {
            let bytes = workspace.blocks + stream * Workspace.blockStride
            counts[stream] = ck_mlkem_reject(matrix + stream * degree, 0, bytes, Workspace.blockStride)
        }
        // Three blocks leave fewer than 256 values below q about once in a hundred polynomials.
        while counts.min() < degree {
            ck_keccak_x8(workspace.states)
            ck_keccak_x8_extract(workspace.states, workspace.blocks, Workspace.blockStride, 21)
            for stream in 0..<8 where counts[stream] < degree {
                let bytes = workspace.blocks + stream * Workspace.blockStride
                counts[stream] = ck_mlkem_reject(matrix + stream * degree, counts[stream], bytes, 168)
            }
        }
        sampleEntry(8, seed, into: matrix + 8 * degree, workspace)
    }

    /// One entry of the matrix (algorithm 7).
    private static func sampleEntry(
        _ entry: Int, _ seed: Seed, into polynomial: UnsafeMutablePointer<Int16>, _ workspace: borrowing Workspace
    ) {
        let state = workspace.states
        state.update(repeating: 0, count: 25)
        for lane in 0..<4 { state[lane] = seed[lane] }
        state[4] = streamSuffix(entry: entry)
        state[20] = lastByte
        var count = 0
        while count < degree {
            ck_keccak(state)
            count = ck_mlkem_reject(polynomial, count, UnsafeMutableRawPointer(state).octets, 168)
        }
    }

    /// Short polynomials from a secret seed and the counters 0 ..< count, at most eight (algorithms 2 and 8, eta = 2).
    static func sampleNoise(
        _ seed: Seed, count: Int, into polynomials: UnsafeMutablePointer<Int16>, _ workspace: borrowing Workspace
    ) {
        start(seed, workspace.states, lastLane: 16) { UInt64($0) | 0x1f << 8 }
        ck_keccak_x8(workspace.states)
        ck_keccak_x8_extract(workspace.states, workspace.blocks, 128, 16)
        for index in 0..<count { ck_mlkem_sample_binomial(polynomials + index * degree, workspace.blocks + index * 128) }
    }

    /// The padding's last bit, in the last lane of a block.
    private static var lastByte: UInt64 { 0x80 << 56 }

    /// What follows the seed for entry (row, column): column, row, SHAKE's suffix.
    private static func streamSuffix(entry: Int) -> UInt64 {
        UInt64(entry % rank) | UInt64(entry / rank) << 8 | 0x1f << 16
    }

    /// Eight states that have absorbed the seed and a suffix each, padded, not yet permuted.
    @inline(__always)
    private static func start(_ seed: Seed, _ states: UnsafeMutablePointer<UInt64>, lastLane: Int, suffix: (Int) -> UInt64) {
        states.update(repeating: 0, count: 200)
        for stream in 0..<8 {
            for lane in 0..<4 { states[8 * lane + stream] = seed[lane] }
            states[8 * 4 + stream] = suffix(stream)
            states[8 * lastLane + stream] = lastByte
        }
    }
}
