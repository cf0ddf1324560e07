import WaggleBase
import WaggleFormats
import WaggleNetwork

/// The messages of fetch. Spec: libp2p/specs fetch, "Message Format".
enum FetchMessage {
    /// `FetchRequest { string identifier = 1 }`. Keys of records are bytes that need not be UTF-8, and others send them as they are.
    static let request = MessageCodec<Bytes>(
        encode: { key in
            var writer = ProtobufWriter(capacity: key.count + 4)
            writer.write(1, key)
            return writer.finish()
        },
        decode: { bytes in
            var key = Bytes()
            var reader = ProtobufReader(bytes.span)
            while let field = try reader.next() {
                if field.number == 1 { key = bytes[try field.range()] }
            }
            return key
        })

    /// `FetchResponse { StatusCode status = 1; bytes data = 2 }` with OK = 0, NOT_FOUND = 1 and, in all implementations, ERROR = 2.
    static let response = MessageCodec<FetchResult>(
        encode: { result in
            var writer = ProtobufWriter(capacity: 16)
            switch result {
            case .found(let data):
                writer.write(1, varint: 0)
                writer.write(2, data)
            case .notFound: writer.write(1, varint: 1)
            case .failed: writer.write(1, varint: 2)
            }
            return writer.finish()
        },
        decode: { bytes in
            var status: UInt64 = 0
            var data = Bytes()
            var reader = ProtobufReader(bytes.span)
            while let field = try reader.next() {
                switch field.number {
                case 1: status = try field.uint64()
                case 2: data = bytes[try field.range()]
                default: break
                }
            }
            switch status {
            case 0: return .found(data)
            case 1: return .notFound
            default: return .failed
            }
        })
}

/// What a remote has under a key.
public enum FetchResult: Sendable, Hashable {
    case found(Bytes)
    case notFound
    /// The remote could not look.
    case failed
}
