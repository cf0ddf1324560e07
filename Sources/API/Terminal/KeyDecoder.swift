/// Keys as a terminal sends them.
enum Key: Equatable, Sendable {
    case text(Character)
    case enter, tab, backspace, delete
    case left, right, up, down, home, end, wordLeft, wordRight
    /// Control and a letter, in lower case.
    case control(Character)
    case deleteWord, deleteNextWord
}

/// Takes bytes of a terminal apart into keys, however they are cut.
///
/// ```
/// ground ──ESC──► escape ──'['──► sequence ──final byte──► ground
///    └──lead byte──► inside a UTF-8 character ──last byte──► ground
/// ```
struct KeyDecoder {
    private enum State {
        case ground
        case escape
        /// Parameter bytes so far.
        case sequence([UInt8])
        /// One more byte names the key.
        case single
        case character([UInt8], length: Int)
    }

    /// Parameter bytes of one escape sequence; what is longer is no key.
    private static let longestSequence = 16
    private var state = State.ground
    /// What comes was pasted, as the terminal says (bracketed paste): a tabulator in it is a blank and other keys of control are none.
    private var isPasting = false

    /// The key that `byte` completes, if it does.
    mutating func decode(_ byte: UInt8) -> Key? {
        guard let key = key(byte) else { return nil }
        guard isPasting else { return key }
        switch key {
        case .text, .enter: return key
        case .tab: return .text(" ")
        default: return nil
        }
    }

    private mutating func key(_ byte: UInt8) -> Key? {
        switch state {
        case .ground: return ground(byte)
        case .escape:
            state = .ground
            switch byte {
            case UInt8(ascii: "["): state = .sequence([])
            case UInt8(ascii: "O"): state = .single
            case 0x1b: state = .escape
            case UInt8(ascii: "b"): return .wordLeft
            case UInt8(ascii: "f"): return .wordRight
            case UInt8(ascii: "d"): return .deleteNextWord
            case 0x7f, 8: return .deleteWord
            default: break
            }
            return nil
        case .single:
            state = .ground
            return Self.letter(byte)
        case .sequence(let parameters):
            if (0x40...0x7e).contains(byte) {
                state = .ground
                if byte == UInt8(ascii: "~"), parameters == Array("200".utf8) || parameters == Array("201".utf8) {
                    isPasting = parameters.last == UInt8(ascii: "0")
                    return nil
                }
                return Self.sequence(parameters, byte)
            }
            // A control character ends what was no sequence.
            if byte < 0x20 || parameters.count >= Self.longestSequence {
                state = .ground
                return byte < 0x20 ? ground(byte) : nil
            }
            state = .sequence(parameters + [byte])
            return nil
        case .character(let bytes, let length):
            guard byte & 0xc0 == 0x80 else {
                state = .ground
                return ground(byte)
            }
            let all = bytes + [byte]
            guard all.count == length else {
                state = .character(all, length: length)
                return nil
            }
            state = .ground
            // What is no UTF-8 after all is no key.
            guard let text = String(validating: all, as: UTF8.self), let character = text.first else { return nil }
            return .text(character)
        }
    }

    private mutating func ground(_ byte: UInt8) -> Key? {
        switch byte {
        case 0x1b:
            state = .escape
            return nil
        case 9: return .tab
        case 10, 13: return .enter
        case 8, 0x7f: return .backspace
        case 0..<0x20: return byte == 23 ? .deleteWord : .control(Character(Unicode.Scalar(byte + 0x60)))
        case 0x20..<0x7f: return .text(Character(Unicode.Scalar(byte)))
        case 0xc2...0xdf: state = .character([byte], length: 2)
        case 0xe0...0xef: state = .character([byte], length: 3)
        case 0xf0...0xf4: state = .character([byte], length: 4)
        default: break
        }
        return nil
    }

    private static func letter(_ byte: UInt8) -> Key? {
        switch byte {
        case UInt8(ascii: "A"): .up
        case UInt8(ascii: "B"): .down
        case UInt8(ascii: "C"): .right
        case UInt8(ascii: "D"): .left
        case UInt8(ascii: "H"): .home
        case UInt8(ascii: "F"): .end
        default: nil
        }
    }

    private static func sequence(_ parameters: [UInt8], _ final: UInt8) -> Key? {
        let numbers = parameters.split(separator: UInt8(ascii: ";"), omittingEmptySubsequences: false).map { Int(String(decoding: $0, as: UTF8.self)) ?? 0 }
        if final == UInt8(ascii: "~") {
            switch numbers.first {
            case 1, 7: return .home
            case 4, 8: return .end
            case 3: return numbers.count > 1 ? .deleteNextWord : .delete
            default: return nil
            }
        }
        // With Alt (3) or Control (5) the arrows go by words.
        if numbers.count == 2, [3, 5].contains(numbers[1]) {
            switch final {
            case UInt8(ascii: "C"): return .wordRight
            case UInt8(ascii: "D"): return .wordLeft
            default: break
            }
        }
        return letter(final)
    }
}
