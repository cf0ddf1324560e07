import Foundation
import Testing
import WaggleBase

/// The folder of test vectors.
let vectors = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent().appending(path: "Vectors")

/// The rows of a comma-separated vector file, fields trimmed of blanks and quotes, without the header.
func rows(_ path: String) throws -> [[String]] {
    try String(contentsOf: vectors.appending(path: path), encoding: .utf8).split(separator: "\n").dropFirst().map {
        $0.split(separator: ",", omittingEmptySubsequences: false).map {
            $0.trimmingCharacters(in: .whitespaces).trimmingCharacters(in: ["\""])
        }
    }
}

/// The bytes that `text` (hexadecimal) stands for.
func hex(_ text: String) -> Bytes {
    var bytes: [UInt8] = []
    var rest = Substring(text.filter { !$0.isWhitespace })
    while rest.count >= 2 {
        bytes.append(UInt8(rest.prefix(2), radix: 16)!)
        rest = rest.dropFirst(2)
    }
    return Bytes(bytes)
}

/// SplitMix64: the same numbers for the same seed.
struct Seeded: RandomNumberGenerator {
    var state: UInt64
    init(_ seed: UInt64) { state = seed }

    mutating func next() -> UInt64 {
        state &+= 0x9e37_79b9_7f4a_7c15
        var value = state
        value = (value ^ (value >> 30)) &* 0xbf58_476d_1ce4_e5b9
        value = (value ^ (value >> 27)) &* 0x94d0_49bb_1331_11eb
        return value ^ (value >> 31)
    }

    mutating func bytes(_ count: Int) -> Bytes { Bytes((0..<count).map { _ in UInt8.random(in: 0...255, using: &self) }) }
}

/// Checks a strict codec: the whole of `encoded` decodes and encodes to itself, no proper prefix decodes, and every corruption of one bit
/// is either refused or encodes to itself as well.
func verifyCodec(_ encoded: Bytes, sourceLocation: SourceLocation = #_sourceLocation, recode: (Bytes) throws -> Bytes) {
    do {
        let again = try recode(encoded)
        #expect(again == encoded, sourceLocation: sourceLocation)
    } catch {
        Issue.record("the whole: \(error)", sourceLocation: sourceLocation)
    }
    for length in 0..<encoded.count where (try? recode(encoded.prefix(length))) != nil {
        Issue.record("a prefix of \(length) bytes decodes", sourceLocation: sourceLocation)
    }
    for corrupt in corruptions(encoded) {
        if let again = try? recode(corrupt) { #expect(again == corrupt, sourceLocation: sourceLocation) }
    }
}

/// Runs `decode` on every prefix and every corruption of one bit: it may throw what it likes, but must not trap.
func verifyNoTrap(_ encoded: Bytes, decode: (Bytes) throws -> Void) {
    for length in 0...encoded.count { _ = try? decode(encoded.prefix(length)) }
    for corrupt in corruptions(encoded) { _ = try? decode(corrupt) }
}

/// `encoded` with one bit flipped, each bit of the first 256 bytes in turn.
func corruptions(_ encoded: Bytes) -> [Bytes] {
    (0..<min(encoded.count, 256) * 8).map { bit in
        var array = encoded.array
        array[bit / 8] ^= 1 << UInt8(bit % 8)
        return Bytes(array)
    }
}
