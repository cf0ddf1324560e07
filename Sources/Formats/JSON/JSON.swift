import WaggleBase

/// A JSON value that keeps integers exact and members in their order: for configuration, RPC and DAG-JSON.
///
/// Spec: RFC 8259. Read strictly: no comments, no duplicate members, no lone surrogates, no byte order mark.
public enum JSON: Sendable {
    case null
    case bool(Bool)
    /// A number without fraction and exponent.
    case integer(Int128)
    /// Any other number; finite.
    case number(Double)
    case string(String)
    case array([JSON])
    case object(OrderedMap<JSON>)

    /// The value that all of `text` holds, apart from white space around it.
    public init(parsing text: Bytes) throws(JSONError) {
        self = try text.withUnsafeBytes { text throws(JSONError) in
            var parser = JSONParser(text)
            return try parser.document()
        }
    }

    /// The value that all of `text` holds, apart from white space around it.
    public init(parsing text: String) throws(JSONError) { try self.init(parsing: Bytes(utf8: text)) }
}

/// Why text is not JSON. Offsets are in bytes.
public enum JSONError: Error, Equatable, Sendable {
    /// The text ends inside a value.
    case truncated
    /// A byte that cannot stand there.
    case unexpected(UInt8, at: Int)
    /// A number outside the range of a double, or an integer outside 128 bits.
    case number(at: Int)
    /// A string that is not UTF-8 or has a wrong escape.
    case string(at: Int)
    /// A second member with the same name.
    case duplicate(String)
    /// Deeper than `FormatsLimits.depth` or with more than `FormatsLimits.values` values.
    case limit
}

extension JSON: Hashable {
    /// Equal in kind and content; strings byte by byte, objects in any order, and `1` is not `1.0`.
    public static func == (left: JSON, right: JSON) -> Bool {
        switch (left, right) {
        case (.null, .null): true
        case (.bool(let left), .bool(let right)): left == right
        case (.integer(let left), .integer(let right)): left == right
        case (.number(let left), .number(let right)): left == right
        case (.string(let left), .string(let right)): left.utf8.elementsEqual(right.utf8)
        case (.array(let left), .array(let right)): left == right
        case (.object(let left), .object(let right)): left == right
        default: false
        }
    }

    public func hash(into hasher: inout Hasher) {
        switch self {
        case .null: hasher.combine(0)
        case .bool(let value): hasher.combine(value)
        case .integer(let value): hasher.combine(value)
        case .number(let value): hasher.combine(value)
        case .string(var text): text.withUTF8 { hasher.combine(bytes: UnsafeRawBufferPointer($0)) }
        case .array(let values): hasher.combine(values)
        case .object(let members): hasher.combine(members)
        }
    }
}

extension JSON {
    /// The member `key` of an object; nil where there is none. Setting it makes an object of anything else; setting nil removes it.
    public subscript(key: String) -> JSON? {
        get {
            guard case .object(let members) = self else { return nil }
            return members[key]
        }
        set {
            var members = object ?? OrderedMap()
            members[key] = newValue
            self = .object(members)
        }
    }

    /// The element `index` of an array; nil where there is none.
    public subscript(index: Int) -> JSON? {
        guard case .array(let values) = self, values.indices.contains(index) else { return nil }
        return values[index]
    }

    public var bool: Bool? { if case .bool(let value) = self { value } else { nil } }
    /// The integer, where it fits.
    public var int: Int? { if case .integer(let value) = self { Int(exactly: value) } else { nil } }
    /// The number, integers included.
    public var double: Double? {
        switch self {
        case .integer(let value): Double(value)
        case .number(let value): value
        default: nil
        }
    }
    public var string: String? { if case .string(let value) = self { value } else { nil } }
    public var array: [JSON]? { if case .array(let values) = self { values } else { nil } }
    public var object: OrderedMap<JSON>? { if case .object(let members) = self { members } else { nil } }
    public var isNull: Bool { if case .null = self { true } else { false } }
}

extension JSON: ExpressibleByNilLiteral, ExpressibleByBooleanLiteral, ExpressibleByIntegerLiteral, ExpressibleByFloatLiteral,
    ExpressibleByStringLiteral, ExpressibleByStringInterpolation, ExpressibleByArrayLiteral, ExpressibleByDictionaryLiteral
{
    public init(nilLiteral: ()) { self = .null }
    public init(booleanLiteral value: Bool) { self = .bool(value) }
    public init(integerLiteral value: Int64) { self = .integer(Int128(value)) }
    public init(floatLiteral value: Double) { self = .number(value) }
    public init(stringLiteral value: String) { self = .string(value) }
    public init(arrayLiteral elements: JSON...) { self = .array(elements) }
    public init(dictionaryLiteral elements: (String, JSON)...) { self = .object(OrderedMap(elements)) }

    /// An integer of any type.
    public init(_ value: some BinaryInteger) { self = Int128(exactly: value).map(JSON.integer) ?? .number(Double(value)) }
}
