/// A code of the multicodec registry: an IPLD codec, a hash function, a key type, a multiaddr protocol.
///
/// Wire shape: unsigned varint. Spec: multiformats/multicodec, `table.csv`.
public struct Multicodec: RawRepresentable, Hashable, Sendable {
    public let rawValue: UInt64

    @inlinable public init(rawValue: UInt64) { self.rawValue = rawValue }

    // Hash functions.
    public static let identity = Multicodec(rawValue: 0x00)
    public static let sha1 = Multicodec(rawValue: 0x11)
    public static let sha2_256 = Multicodec(rawValue: 0x12)
    public static let sha2_512 = Multicodec(rawValue: 0x13)
    public static let sha3_512 = Multicodec(rawValue: 0x14)
    public static let sha3_384 = Multicodec(rawValue: 0x15)
    public static let sha3_256 = Multicodec(rawValue: 0x16)
    public static let sha3_224 = Multicodec(rawValue: 0x17)
    public static let shake128 = Multicodec(rawValue: 0x18)
    public static let shake256 = Multicodec(rawValue: 0x19)
    public static let keccak224 = Multicodec(rawValue: 0x1a)
    public static let keccak256 = Multicodec(rawValue: 0x1b)
    public static let keccak384 = Multicodec(rawValue: 0x1c)
    public static let keccak512 = Multicodec(rawValue: 0x1d)
    public static let blake3 = Multicodec(rawValue: 0x1e)
    public static let sha2_384 = Multicodec(rawValue: 0x20)
    public static let murmur3x64_64 = Multicodec(rawValue: 0x22)
    public static let doubleSHA2_256 = Multicodec(rawValue: 0x56)
    public static let blake2b256 = Multicodec(rawValue: 0xb220)
    public static let blake2b512 = Multicodec(rawValue: 0xb240)
    public static let blake2s256 = Multicodec(rawValue: 0xb260)

    // IPLD codecs.
    public static let cbor = Multicodec(rawValue: 0x51)
    public static let raw = Multicodec(rawValue: 0x55)
    public static let dagPB = Multicodec(rawValue: 0x70)
    public static let dagCBOR = Multicodec(rawValue: 0x71)
    public static let libp2pKey = Multicodec(rawValue: 0x72)
    public static let gitRaw = Multicodec(rawValue: 0x78)
    public static let dagJOSE = Multicodec(rawValue: 0x85)
    public static let dagJSON = Multicodec(rawValue: 0x0129)
    public static let json = Multicodec(rawValue: 0x0200)

    // Namespaces and records.
    public static let ipldNamespace = Multicodec(rawValue: 0xe2)
    public static let ipfsNamespace = Multicodec(rawValue: 0xe3)
    public static let ipnsNamespace = Multicodec(rawValue: 0xe5)
    public static let libp2pPeerRecord = Multicodec(rawValue: 0x0301)
    public static let libp2pRelayReservation = Multicodec(rawValue: 0x0302)
    public static let transportBitswap = Multicodec(rawValue: 0x0900)
    public static let transportIPFSGatewayHTTP = Multicodec(rawValue: 0x0920)

    /// The code named `name` in the registry, for example `dag-pb`.
    public init?(name: String) {
        guard let code = Registry.shared.codes[name] else { return nil }
        self.init(rawValue: code)
    }

    /// The name in the registry; nil for a code it does not list.
    public var name: String? { Registry.shared.entries[rawValue]?.name }

    /// What the registry says the code is for: `multihash`, `ipld`, `multiaddr`, `key` …
    public var tag: String? { Registry.shared.entries[rawValue]?.tag }

    /// All codes with the tag `tag`, in ascending order.
    public static func all(tagged tag: String) -> [Multicodec] {
        Registry.shared.entries.filter { $0.value.tag == tag }.keys.sorted().map(Multicodec.init(rawValue:))
    }

    /// The parsed table, built at its first use.
    private struct Registry {
        var entries: [UInt64: (name: String, tag: String)] = [:]
        var codes: [String: UInt64] = [:]

        static let shared = Registry()

        init() {
            for line in MulticodecTable.text.split(separator: "\n") {
                let fields = line.split(separator: " ")
                guard fields.count == 3, let code = UInt64(fields[0], radix: 16) else { continue }
                entries[code] = (String(fields[1]), String(fields[2]))
                codes[String(fields[1])] = code
            }
        }
    }
}

extension Multicodec: CustomStringConvertible {
    /// The name, or `0x…` for a code outside the registry.
    public var description: String { name ?? "0x" + String(rawValue, radix: 16) }
}
