import CKernels
import WaggleBase

/// A Keccak sponge (FIPS 202, section 4) over 25 lanes held in place: absorb, then squeeze.
struct KeccakSponge: Sendable {
    /// The suffix that tells the functions apart, with the first padding bit (FIPS 202, section 6; original Keccak has none).
    enum Domain: UInt8 {
        case keccak = 0x01
        case sha3 = 0x06
        case shake = 0x1f
    }

    private typealias Lanes = InlineArray<25, UInt64>

    private var lanes = Lanes(repeating: 0)
    private let rate: Int
    private let domain: Domain
    /// Bytes of the current block that are absorbed, or squeezed.
    private var position = 0
    private var isSqueezing = false

    /// A sponge that takes `rate` bytes a block.
    init(rate: Int, domain: Domain) {
        self.rate = rate
        self.domain = domain
    }

    /// Appends input. Only before the first `squeeze`.
    mutating func absorb(_ data: UnsafeRawBufferPointer) {
        precondition(!isSqueezing)
        guard var source = data.baseAddress else { return }
        var remaining = data.count
        if position > 0 || remaining < rate {
            let part = min(rate - position, remaining)
            xor(source, part)
            source += part
            remaining -= part
            guard position == rate else { return }
            permute()
        }
        let blocks = remaining / rate
        if blocks > 0 {
            withLanes { [rate] in ck_keccak_absorb($0, source.octets, rate, blocks) }
            source += blocks * rate
            remaining -= blocks * rate
        }
        xor(source, remaining)
    }

    /// The next bytes of output.
    mutating func squeeze(into output: UnsafeMutableRawBufferPointer) {
        if !isSqueezing { pad() }
        var filled = 0
        while filled < output.count {
            if position == rate { permute() }
            let part = min(rate - position, output.count - filled)
            let target = UnsafeMutableRawBufferPointer(rebasing: output[filled..<filled + part])
            withBytes { [position] in
                target.copyMemory(from: UnsafeRawBufferPointer(rebasing: UnsafeRawBufferPointer($0)[position..<position + part]))
            }
            position += part
            filled += part
        }
    }

    /// Overwrites a state that absorbed a secret.
    mutating func wipe() { WaggleCryptography.wipe(&lanes) }

    private mutating func pad() {
        withBytes { [position, rate, domain] in
            $0[position] ^= domain.rawValue
            $0[rate - 1] ^= 0x80
        }
        isSqueezing = true
        permute()
    }

    private mutating func permute() {
        withLanes { ck_keccak($0) }
        position = 0
    }

    private mutating func xor(_ source: UnsafeRawPointer, _ count: Int) {
        withBytes { [position] bytes in
            var index = 0
            while index < count {
                bytes[position + index] ^= source.load(fromByteOffset: index, as: UInt8.self)
                index += 1
            }
        }
        position += count
    }

    @inline(__always)
    private mutating func withLanes(_ body: (UnsafeMutablePointer<UInt64>) -> Void) {
        withUnsafeMutableBytes(of: &lanes) { body($0.baseAddress.unsafelyUnwrapped.assumingMemoryBound(to: UInt64.self)) }
    }

    // The lanes are little endian in the specification and in memory here: Waggle runs on little-endian processors only.
    @inline(__always)
    private mutating func withBytes(_ body: (UnsafeMutableRawBufferPointer) -> Void) {
        withUnsafeMutableBytes(of: &lanes) { body($0) }
    }
}
