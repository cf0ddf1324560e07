import WaggleBase

/// A value of the IPLD data model, which DAG-CBOR and DAG-JSON both express completely.
///
/// Spec: ipld.io/docs/data-model/kinds.
public enum Value: Sendable {
    case null
    case bool(Bool)
    /// The codecs carry -2^64 … 2^64 - 1.
    case integer(Int128)
    /// Never NaN or infinite in what a codec reads; refused by what writes.
    case float(Double)
    case string(String)
    case bytes(Bytes)
    case list([Value])
    case map(OrderedMap<Value>)
    indirect case link(CID)

    /// The integers of the data model as the codecs carry them.
    public static let integers: ClosedRange<Int128> = -(1 << 64)...(1 << 64) - 1
}

/// How exactly a decoder insists on the one canonical form.
public enum Strictness: Sendable {
    /// Only what the encoder of the same format would write.
    case canonical
    /// Also what older or careless encoders wrote and the specification lets a decoder accept.
    case relaxed
}

extension Value: Hashable {
    /// Equal in kind and content; strings byte by byte, maps in any order.
    public static func == (left: Value, right: Value) -> Bool {
        switch (left, right) {
        case (.null, .null): true
        case (.bool(let left), .bool(let right)): left == right
        case (.integer(let left), .integer(let right)): left == right
        case (.float(let left), .float(let right)): left == right
        case (.string(let left), .string(let right)): left.utf8.elementsEqual(right.utf8)
        case (.bytes(let left), .bytes(let right)): left == right
        case (.list(let left), .list(let right)): left == right
        case (.map(let left), .map(let right)): left == right
        case (.link(let left), .link(let right)): left == right
        default: false
        }
    }

    public func hash(into hasher: inout Hasher) {
        switch self {
        case .null: hasher.combine(0)
        case .bool(let value): hasher.combine(value)
        case .integer(let value): hasher.combine(value)
        case .float(let value): hasher.combine(value)
        case .string(var text): text.withUTF8 { hasher.combine(bytes: UnsafeRawBufferPointer($0)) }
        case .bytes(let value): hasher.combine(value)
        case .list(let values): hasher.combine(values)
        case .map(let entries): hasher.combine(entries)
        case .link(let cid): hasher.combine(cid)
        }
    }
}

extension Value {
    /// The member `key` of a map; nil where there is none.
    public subscript(key: String) -> Value? {
        guard case .map(let entries) = self else { return nil }
        return entries[key]
    }

    /// The element `index` of a list; nil where there is none.
    public subscript(index: Int) -> Value? {
        guard case .list(let values) = self, values.indices.contains(index) else { return nil }
        return values[index]
    }

    public var bool: Bool? { if case .bool(let value) = self { value } else { nil } }
    /// The integer, where it fits.
    public var int: Int? { if case .integer(let value) = self { Int(exactly: value) } else { nil } }
    public var float: Double? { if case .float(let value) = self { value } else { nil } }
    public var string: String? { if case .string(let value) = self { value } else { nil } }
    public var bytes: Bytes? { if case .bytes(let value) = self { value } else { nil } }
    public var list: [Value]? { if case .list(let values) = self { values } else { nil } }
    public var map: OrderedMap<Value>? { if case .map(let entries) = self { entries } else { nil } }
    public var link: CID? { if case .link(let cid) = self { cid } else { nil } }

    /// All links in the value, depth first in the order of its lists and maps.
    public var links: [CID] {
        var found: [CID] = []
        collectLinks(&found)
        return found
    }

    private func collectLinks(_ found: inout [CID]) {
        switch self {
        case .link(let cid): found.append(cid)
        case .list(let values): for value in values { value.collectLinks(&found) }
        case .map(let entries): for (_, value) in entries { value.collectLinks(&found) }
        default: break
        }
    }
}

extension Value: ExpressibleByNilLiteral, ExpressibleByBooleanLiteral, ExpressibleByIntegerLiteral, ExpressibleByFloatLiteral,
    ExpressibleByStringLiteral, ExpressibleByArrayLiteral, ExpressibleByDictionaryLiteral
{
    public init(nilLiteral: ()) { self = .null }
    public init(booleanLiteral value: Bool) { self = .bool(value) }
    public init(integerLiteral value: Int64) { self = .integer(Int128(value)) }
    public init(floatLiteral value: Double) { self = .float(value) }
    public init(stringLiteral value: String) { self = .string(value) }
    public init(arrayLiteral elements: Value...) { self = .list(elements) }
    public init(dictionaryLiteral elements: (String, Value)...) { self = .map(OrderedMap(elements)) }
}
