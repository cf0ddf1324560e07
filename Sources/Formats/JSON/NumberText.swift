/// Doubles as ECMAScript writes them (ECMA-262, Number::toString), which is what the implementations of DAG-JSON agree on, but with `.0`
/// behind a number that would otherwise read as an integer.
enum NumberText {
    static func of(_ value: Double) -> String {
        let (digits, point) = shortest(value.magnitude)
        let sign = value.sign == .minus ? "-" : ""
        let count = digits.utf8.count
        switch point {
        case count...max(count, 21): return sign + digits + String(repeating: "0", count: point - count) + ".0"
        case 1...21: return sign + digits.prefix(point) + "." + digits.dropFirst(point)
        case -5...0: return sign + "0." + String(repeating: "0", count: -point) + digits
        default:
            let exponent = point - 1
            let fraction = count > 1 ? "." + digits.dropFirst() : ""
            return sign + digits.prefix(1) + fraction + "e" + (exponent < 0 ? "-" : "+") + String(exponent.magnitude)
        }
    }

    /// The fewest digits that read back as `value`, without zeros around them, and where the decimal point stands in them.
    private static func shortest(_ value: Double) -> (digits: String, point: Int) {
        let text = value.description.split(separator: "e")
        let parts = (text.first ?? "0").split(separator: ".", omittingEmptySubsequences: false)
        let whole = parts.first ?? "0"
        let fraction = parts.count > 1 ? parts[1] : ""
        let exponent = text.count > 1 ? Int(text[1]) ?? 0 : 0
        let all = Array((whole + fraction).utf8)
        guard let first = all.firstIndex(where: { $0 != UInt8(ascii: "0") }), let last = all.lastIndex(where: { $0 != UInt8(ascii: "0") }) else {
            return ("0", 1)
        }
        return (String(decoding: all[first...last], as: UTF8.self), whole.utf8.count - first + exponent)
    }
}
