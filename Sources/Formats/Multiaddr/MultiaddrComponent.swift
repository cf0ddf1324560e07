import WaggleBase

extension Multiaddr {
    /// One step of an address: a protocol and its value.
    public struct Component: Hashable, Sendable {
        /// The protocol.
        public let kind: MultiaddrProtocol
        /// The value as on the wire, without its length; empty where the protocol has none.
        public let value: Bytes

        /// A component with a value in its wire form.
        public init(_ kind: MultiaddrProtocol, value: Bytes = Bytes()) throws(MultiaddrError) {
            let fits: Bool =
                switch kind.size {
                case .none: value.isEmpty
                case .fixed(let size): value.count == size
                case .prefixed: value.count <= FormatsLimits.multiaddrBytes
                }
            guard fits, MultiaddrValue.isValid(value, of: kind) else { throw .invalidValue(kind) }
            self.init(checked: kind, value)
        }

        /// A component with a value in text, without slash in front.
        public init(_ kind: MultiaddrProtocol, text: String) throws(MultiaddrError) {
            guard kind.hasValue, text.utf8.count <= FormatsLimits.multiaddrTextBytes, let value = MultiaddrValue.parse(text, of: kind) else {
                throw .invalidValue(kind)
            }
            self.init(checked: kind, value)
        }

        init(checked kind: MultiaddrProtocol, _ value: Bytes) {
            self.kind = kind
            self.value = value
        }

        /// The canonical text of the value; empty where the protocol has none.
        public var text: String { kind.hasValue ? MultiaddrValue.text(value, of: kind) : "" }

        /// `/name` or `/name/value`.
        public var description: String { kind.hasValue ? "/\(kind.name)/\(text)" : "/\(kind.name)" }

        func encode(to writer: inout ByteWriter) {
            writer.write(varint: kind.rawValue)
            if kind.size == .prefixed { writer.write(varint: UInt64(value.count)) }
            writer.write(value)
        }
    }

    /// The components of an address, from the outside in.
    public struct Components: Sequence, IteratorProtocol, Sendable {
        private let bytes: Bytes
        private var offset = 0

        init(_ bytes: Bytes) { self.bytes = bytes }

        /// The next component. The bytes were checked when the address was made, so this ends only at their end.
        public mutating func next() -> Component? {
            do {
                guard let (component, length) = try Multiaddr.component(bytes.dropFirst(offset)) else { return nil }
                offset += length
                return component
            } catch {
                return nil
            }
        }
    }

    /// The component at the start of `bytes` and its length; nil when there are no bytes.
    static func component(_ bytes: Bytes) throws(MultiaddrError) -> (Component, length: Int)? {
        guard !bytes.isEmpty else { return nil }
        var reader = ByteReader(bytes.span)
        let place = try Multiaddr.place(&reader, end: bytes.count)
        return (Component(checked: place.kind, bytes[place.value]), place.value.upperBound)
    }
}
