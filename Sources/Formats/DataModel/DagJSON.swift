import WaggleBase

/// The data model in JSON.
///
/// Wire shape: JSON without white space, members sorted by the bytes of their names; a link is `{"/": "<CID>"}`, bytes are
/// `{"/": {"bytes": "<base64 without padding>"}}`, and a float always has a point or an exponent. Spec: ipld.io/specs/codecs/dag-json.
public enum DagJSON {
    /// The canonical encoding.
    public static func encode(_ value: Value) throws(DagJSONError) -> Bytes {
        try json(value, depth: 0).encode(JSON.Style(sortsKeys: true))
    }

    /// The value that all of `block` holds.
    ///
    /// With `.relaxed` white space, any order of members, any spelling of numbers and strings and CIDs in any base are accepted.
    public static func decode(_ block: Bytes, _ strictness: Strictness = .canonical) throws(DagJSONError) -> Value {
        let parsed: JSON
        do { parsed = try JSON(parsing: block) } catch { throw .json(error) }
        let value = try value(parsed)
        if strictness == .canonical { guard try encode(value) == block else { throw .notCanonical } }
        return value
    }

    // MARK: From the data model

    private static func json(_ value: Value, depth: Int) throws(DagJSONError) -> JSON {
        guard depth <= FormatsLimits.depth else { throw .json(.limit) }
        switch value {
        case .null: return .null
        case .bool(let value): return .bool(value)
        case .integer(let value):
            guard Value.integers.contains(value) else { throw .number }
            return .integer(value)
        case .float(let value):
            guard value.isFinite else { throw .number }
            return .number(value)
        case .string(let text): return .string(text)
        case .bytes(let bytes):
            guard depth + 2 <= FormatsLimits.depth else { throw .json(.limit) }
            return ["/": ["bytes": .string(Multibase.base64.encode(bytes, prefixed: false))]]
        case .link(let cid):
            guard depth + 1 <= FormatsLimits.depth else { throw .json(.limit) }
            return ["/": .string(cid.description)]
        case .list(let values):
            var elements: [JSON] = []
            elements.reserveCapacity(values.count)
            for value in values { elements.append(try json(value, depth: depth + 1)) }
            return .array(elements)
        case .map(let entries):
            if let reserved = entries["/"] {
                // It would read as a link or as bytes.
                if reserved.string != nil || reserved["bytes"]?.string != nil { throw .reserved }
            }
            var members = OrderedMap<JSON>()
            for (key, value) in entries { members[key] = try json(value, depth: depth + 1) }
            return .object(members)
        }
    }

    // MARK: To the data model

    private static func value(_ json: JSON) throws(DagJSONError) -> Value {
        switch json {
        case .null: return .null
        case .bool(let value): return .bool(value)
        case .integer(let value):
            guard Value.integers.contains(value) else { throw .number }
            return .integer(value)
        case .number(let value): return .float(value)
        case .string(let text): return .string(text)
        case .array(let elements):
            var values: [Value] = []
            values.reserveCapacity(elements.count)
            for element in elements { values.append(try value(element)) }
            return .list(values)
        case .object(let members):
            if let special = try special(members) { return special }
            var entries = OrderedMap<Value>()
            for (key, member) in members { entries[key] = try value(member) }
            return .map(entries)
        }
    }

    /// The link or the bytes that an object with a member `/` stands for; nil where it is a map.
    private static func special(_ members: OrderedMap<JSON>) throws(DagJSONError) -> Value? {
        guard let reserved = members["/"] else { return nil }
        if let text = reserved.string {
            guard members.count == 1 else { throw .reserved }
            do { return .link(try CID(parsing: text)) } catch { throw .link(error) }
        }
        if let text = reserved["bytes"]?.string {
            guard members.count == 1, reserved.object?.count == 1 else { throw .reserved }
            do { return .bytes(try Multibase.base64.decode(unprefixed: text)) } catch { throw .bytes(error) }
        }
        return nil
    }
}

/// Why text is not DAG-JSON, or a value cannot be written.
public enum DagJSONError: Error, Equatable, Sendable {
    case json(JSONError)
    /// The text is not what the encoder writes for its value.
    case notCanonical
    /// A map with the key `/` that is or would be neither a link nor bytes nor clearly a map.
    case reserved
    /// NaN, an infinity, or an integer outside 64 bits and a sign.
    case number
    /// The CID of a link.
    case link(CIDError)
    /// The base64 text of bytes.
    case bytes(MultibaseError)
}
