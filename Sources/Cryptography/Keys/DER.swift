import WaggleBase

/// As much of DER (X.690) as keys take: elements with tags of one byte and definite lengths in their shortest form.
enum DER {
    static let integer: UInt8 = 0x02
    static let bitString: UInt8 = 0x03
    static let octetString: UInt8 = 0x04
    static let null: UInt8 = 0x05
    static let objectIdentifier: UInt8 = 0x06
    static let bmpString: UInt8 = 0x1e
    static let sequence: UInt8 = 0x30
    static let set: UInt8 = 0x31
    /// `[number]`, primitive or with elements inside.
    static func primitive(_ number: UInt8) -> UInt8 { 0x80 | number }
    static func constructed(_ number: UInt8) -> UInt8 { 0xa0 | number }

    /// An element of these contents, one behind the other, in memory that is wiped.
    static func element(_ tag: UInt8, _ contents: SecureBytes...) -> SecureBytes {
        let length = contents.reduce(0) { $0 + $1.count }
        let head = [tag] + encode(length: length)
        return SecureBytes(count: head.count + length) { output in
            output.copyBytes(from: head)
            var start = head.count
            for part in contents {
                part.withUnsafeBytes { UnsafeMutableRawBufferPointer(rebasing: output[start..<start + $0.count]).copyMemory(from: $0) }
                start += part.count
            }
        }
    }

    private static func encode(length: Int) -> [UInt8] {
        guard length >= 0x80 else { return [UInt8(length)] }
        let bytes = withUnsafeBytes(of: UInt32(length).bigEndian) { Array($0.drop { $0 == 0 }) }
        return [0x80 | UInt8(bytes.count)] + bytes
    }
}

/// A cursor over the elements of some DER.
struct DERReader: ~Escapable {
    private var reader: ByteReader

    @_lifetime(copy span)
    init(_ span: RawSpan) { reader = ByteReader(span) }

    var isAtEnd: Bool { reader.isAtEnd }

    /// The contents of the next element; nil, with nothing consumed, when it has another tag or is not valid.
    @_lifetime(self: copy self)
    @_lifetime(copy self)
    mutating func next(_ tag: UInt8) -> RawSpan? {
        var probe = reader
        guard probe.byte() == tag, let first = probe.byte() else { return nil }
        var length = Int(first)
        if first >= 0x80 {
            // Two bytes of length are more than any key takes.
            guard first == 0x81 || first == 0x82 else { return nil }
            length = 0
            for _ in 0..<Int(first & 0x7f) {
                guard let byte = probe.byte() else { return nil }
                length = length << 8 | Int(byte)
            }
            guard length >= (first == 0x81 ? 0x80 : 0x100) else { return nil }
        }
        guard let contents = probe.take(length) else { return nil }
        reader = probe
        return contents
    }

    /// The contents of the next element if they are exactly `length` bytes.
    @_lifetime(self: copy self)
    @_lifetime(copy self)
    mutating func next(_ tag: UInt8, length: Int) -> RawSpan? {
        guard let contents = next(tag), contents.byteCount == length else { return nil }
        return contents
    }
}
