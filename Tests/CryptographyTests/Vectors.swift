import Foundation
import Testing
import WaggleBase
import WaggleCryptography

/// Files of `Tests/Vectors`, found from the place of this one.
enum Vectors {
    static func data(_ path: String) throws -> Data {
        let tests = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
        return try Data(contentsOf: tests.appendingPathComponent("Vectors/\(path)"))
    }

    static func bytes(_ path: String) throws -> Bytes { Bytes([UInt8](try data(path))) }

    static func json<T: Decodable>(_ path: String, as type: T.Type) throws -> T {
        try JSONDecoder().decode(type, from: data(path))
    }
}

/// A Wycheproof file, with the fields of its groups and tests that the schema in question has.
struct Wycheproof<Group: Decodable>: Decodable {
    let numberOfTests: Int
    let testGroups: [Group]

    static func load(_ name: String) throws -> Wycheproof {
        try Vectors.json("wycheproof/\(name)_test.json", as: Wycheproof.self)
    }
}

/// What Wycheproof expects of a test.
enum Verdict: String, Decodable {
    case valid, invalid, acceptable
}

/// Bytes that JSON holds as hexadecimal text.
struct Hex: Decodable {
    let bytes: Bytes

    init(from decoder: any Decoder) throws {
        let text = try decoder.singleValueContainer().decode(String.self)
        guard let bytes = Bytes(hex: text) else {
            throw DecodingError.dataCorrupted(.init(codingPath: decoder.codingPath, debugDescription: "not hexadecimal"))
        }
        self.bytes = bytes
    }
}

extension Optional where Wrapped == Hex {
    /// The bytes of a field that this kind of test must have; `#require` does not nest.
    func required() throws -> Bytes { try #require(self).bytes }
}

extension Bytes {
    init?(hex text: String) {
        guard text.utf8.count % 2 == 0 else { return nil }
        var array: [UInt8] = []
        array.reserveCapacity(text.utf8.count / 2)
        var high: UInt8?
        for character in text {
            guard let digit = character.hexDigitValue else { return nil }
            if let upper = high {
                array.append(upper << 4 | UInt8(digit))
                high = nil
            } else {
                high = UInt8(digit)
            }
        }
        self.init(array)
    }

    /// Reproducible bytes that follow no pattern a hash or cipher could have.
    init(pseudorandom count: Int, seed: UInt64) {
        var state = seed &* 0x9e37_79b9_7f4a_7c15 | 1
        self.init((0..<count).map { _ in
            state ^= state << 13
            state ^= state >> 7
            state ^= state << 17
            return UInt8(truncatingIfNeeded: state >> 24)
        })
    }
}

extension SecureBytes {
    var revealed: Bytes { Bytes(span) }
}

// `#expect` and `#require` take their arguments apart and cannot hold a span, so the tests pass `Bytes`.

extension X25519.PrivateKey {
    init?(_ bytes: Bytes) { self.init(bytes.span) }
}

extension Ed25519.PublicKey {
    init?(_ bytes: Bytes) { self.init(bytes.span) }
}

extension ECDSA.PublicKey {
    init?(_ curve: ECDSA.Curve, point: Bytes) { self.init(curve, point: point.span) }
    init?(_ curve: ECDSA.Curve, subjectPublicKeyInfo der: Bytes) { self.init(curve, subjectPublicKeyInfo: der.span) }
}

extension ECDSA.PrivateKey {
    init?(_ curve: ECDSA.Curve, scalar: Bytes) { self.init(curve, scalar: scalar.span) }
}

extension RSA.PublicKey {
    init(_ der: Bytes) throws(KeyError) { try self.init(subjectPublicKeyInfo: der.span) }
}

extension PublicKey {
    init(_ kind: Kind, raw: Bytes) throws(KeyError) { try self.init(kind, raw: raw.span) }
}

extension IdentityKeyPair {
    init(decoding bytes: Bytes) throws(KeyError) { try self.init(decoding: bytes.span) }
}
