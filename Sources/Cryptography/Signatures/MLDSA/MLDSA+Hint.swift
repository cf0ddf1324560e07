/// The hint of a signature: for each row the places of its ones in ascending order, all in hintWeight bytes, then for each row where
/// its places end (algorithms 20 and 21).
extension MLDSA {
    @inline(never) // scripts/constant-time leaves it out by its name: a hint is public
    static func encodeHint(_ hint: UnsafePointer<UInt8>, _ parameters: Parameters, into output: UnsafeMutablePointer<UInt8>) {
        output.update(repeating: 0, count: parameters.hintWeight + parameters.rows)
        var end = 0
        for row in 0..<parameters.rows {
            for place in 0..<degree where hint[row * degree + place] != 0 {
                output[end] = UInt8(place)
                end += 1
            }
            output[parameters.hintWeight + row] = UInt8(end)
        }
    }

    /// Whether it was well formed: only one encoding of each hint is allowed.
    static func decodeHint(_ bytes: UnsafePointer<UInt8>, _ parameters: Parameters, into hint: UnsafeMutablePointer<UInt8>) -> Bool {
        hint.update(repeating: 0, count: parameters.rows * degree)
        var start = 0
        for row in 0..<parameters.rows {
            let end = Int(bytes[parameters.hintWeight + row])
            guard end >= start, end <= parameters.hintWeight else { return false }
            for index in start..<end {
                guard index == start || bytes[index] > bytes[index - 1] else { return false }
                hint[row * degree + Int(bytes[index])] = 1
            }
            start = end
        }
        return (start..<parameters.hintWeight).allSatisfy { bytes[$0] == 0 }
    }
}
