extension PBNode {
    /// The node in the data model: a map of `Links` and, where present, `Data`.
    /// Spec: ipld.io/specs/codecs/dag-pb, "Logical Format".
    public var value: Value {
        var node = OrderedMap<Value>()
        if let data { node["Data"] = .bytes(data) }
        node["Links"] = .list(
            links.map { link in
                var entry = OrderedMap<Value>([("Hash", .link(link.hash))])
                if let name = link.name { entry["Name"] = .string(name) }
                if let size = link.size { entry["Tsize"] = .integer(Int128(size)) }
                return .map(entry)
            })
        return .map(node)
    }

    /// The node that `value` describes; throws `.shape` when it has members of other names or kinds, or lacks `Links` or a `Hash`.
    public init(_ value: Value) throws(DagPBError) {
        guard let node = value.map, let entries = node["Links"]?.list else { throw .shape }
        self.init()
        for (key, member) in node {
            switch key {
            case "Links": break
            case "Data":
                guard let bytes = member.bytes else { throw .shape }
                data = bytes
            default: throw .shape
            }
        }
        for entry in entries { links.append(try PBLink(entry)) }
    }
}

extension PBLink {
    fileprivate init(_ value: Value) throws(DagPBError) {
        guard let entry = value.map, let hash = entry["Hash"]?.link else { throw .shape }
        self.init(hash: hash)
        for (key, member) in entry {
            switch key {
            case "Hash": break
            case "Name":
                guard let text = member.string else { throw .shape }
                name = text
            case "Tsize":
                guard case .integer(let integer) = member, let exact = UInt64(exactly: integer) else { throw .shape }
                size = exact
            default: throw .shape
            }
        }
    }
}
