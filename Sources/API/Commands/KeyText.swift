import WaggleAssembly
import WaggleBase
import WaggleCryptography
import WaggleFormats
import WaggleNetwork

/// How commands name keys: `--ipns-base`, and names that cannot upset a terminal.
struct KeyText: Sendable {
    static let option = Option.string(
        "ipns-base", about: "Encoding used for keys: Can either be a multibase encoded CID or a base58btc encoded multihash. Takes {b58mh|base36|k|base32|b...}.",
        default: "base36")

    /// nil for the plain multihash in base58.
    private let base: Multibase?

    init(_ request: Request) throws(CommandError) {
        let name = request.string("ipns-base") ?? "base36"
        guard name != "b58mh", name != "v0" else {
            base = nil
            return
        }
        let short = name.unicodeScalars.count == 1 ? name.unicodeScalars.first.flatMap { Multibase(prefix: $0) } : nil
        guard let base = short ?? Multibase(name: name) else { throw .client("unsupported multibase encoding: \(name)") }
        self.base = base
    }

    func callAsFunction(_ peer: PeerID) -> String { base.map { peer.cidText(base: $0) } ?? peer.description }

    func callAsFunction(_ key: IdentityKeyPair) -> String { self(PeerID(key.publicKey)) }

    /// A name with what does not print in Go's escapes, as Kubo shows it.
    static func printable(_ name: String) -> String {
        name.unicodeScalars.map { scalar in
            switch scalar {
            case "\\": "\\\\"
            case "\n": "\\n"
            case "\r": "\\r"
            case "\t": "\\t"
            case _ where scalar.value < 0x20 || scalar.value == 0x7f: "\\x" + hexadecimal(scalar, 2)
            case _ where (0x80..<0xa0).contains(scalar.value) || isInvisible(scalar): scalar.value < 0x10000 ? "\\u" + hexadecimal(scalar, 4) : "\\U" + hexadecimal(scalar, 8)
            default: String(scalar)
            }
        }.joined()
    }

    private static func isInvisible(_ scalar: Unicode.Scalar) -> Bool {
        switch scalar.properties.generalCategory {
        case .control, .format, .surrogate, .privateUse, .unassigned, .lineSeparator, .paragraphSeparator: true
        case .spaceSeparator: scalar != " "
        default: false
        }
    }

    private static func hexadecimal(_ scalar: Unicode.Scalar, _ digits: Int) -> String {
        let text = String(scalar.value, radix: 16)
        return String(repeating: "0", count: max(0, digits - text.count)) + text
    }
}

/// The kinds of keys that commands make: `--type` and `--size`, `init`'s `--identity` and `--bits`.
struct KeyChoice: Sendable {
    /// Those that are offered, the default first.
    static let kinds: [KeyKind] = [.ed25519, .rsa, .secp256k1, .mlDSA44, .mlDSA65, .mlDSA87, .slhDSAShake128s]
    static var names: String { kinds.map(\.option).joined(separator: ", ") }

    let kind: KeyKind
    private let bits: Int

    /// `others` are what else the command would have taken.
    init(type: String, size: Int64?, others: String = "") throws(CommandError) {
        guard let kind = KeyKind(option: type), KeyChoice.kinds.contains(kind) else {
            throw CommandError("unrecognized key type: \(type); known are \(KeyChoice.names)\(others)")
        }
        self.kind = kind
        bits = Int(clamping: size ?? Int64(RSALimits.bits.lowerBound))
        guard let size else { return }
        switch kind {
        case .rsa:
            guard bits >= RSALimits.bits.lowerBound else { throw CommandError("rsa keys must be >= \(RSALimits.bits.lowerBound) bits to be useful") }
            guard bits <= RSALimits.bits.upperBound else { throw CommandError("rsa keys must be <= \(RSALimits.bits.upperBound) bits") }
            // libcrypto makes odd sizes too, but peers count in bytes.
            guard bits.isMultiple(of: 8) else { throw CommandError("invalid key size \(bits): rsa keys have whole bytes") }
        case .ed25519, .secp256k1:
            guard bits == 256 else { throw CommandError("invalid key size \(size): \(type) keys are always 256 bits") }
        default: throw CommandError("invalid key size \(size): \(type) keys have one size, which the type names")
        }
    }

    /// What is printed while the key is made.
    var announcement: String {
        switch kind {
        case .rsa: "generating \(bits)-bit RSA keypair..."
        default: "generating \(kind.name.uppercased()) keypair..."
        }
    }

    func generate(on system: any System) async throws -> IdentityKeyPair {
        do { return try await IdentityKeyPair.generate(kind, bits: bits, on: system) } catch let error as KeyError {
            throw CommandError("no key of type \(kind.option) could be made: \(error)")
        }
    }
}
