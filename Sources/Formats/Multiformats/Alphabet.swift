/// The digits of one base and the value of every byte in it.
struct Alphabet: Sendable {
    /// The digits in order of their values.
    let symbols: [UInt8]
    /// The value of each byte, `invalid` where it is no digit.
    let values: [UInt8]

    static let invalid: UInt8 = 0xff

    init(_ text: StaticString, ignoringCase: Bool = false) {
        symbols = text.withUTF8Buffer { Array($0) }
        var values = [UInt8](repeating: Alphabet.invalid, count: 256)
        for (value, symbol) in symbols.enumerated() {
            values[Int(symbol)] = UInt8(value)
            let isLetter = (0x41...0x5a).contains(symbol & 0xdf)
            if ignoringCase, isLetter { values[Int(symbol ^ 0x20)] = UInt8(value) }
        }
        self.values = values
    }
}
