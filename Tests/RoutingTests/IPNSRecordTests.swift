import Foundation
import Testing
import WaggleBase
import WaggleCryptography
import WaggleFormats
import WaggleNetwork

@testable import WaggleContent

enum RecordFiles {
    static let folder = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent().appendingPathComponent("Vectors/ipns")

    static func read(_ name: String) throws -> Bytes { Bytes([UInt8](try Data(contentsOf: folder.appendingPathComponent(name + ".ipns-record")))) }
}

/// 2026-01-01.
let newYear = WallTime(nanoseconds: 1_767_225_600_000_000_000)

func testKey(_ number: UInt8) throws -> IdentityKeyPair {
    try IdentityKeyPair(ed25519Seed: SecureBytes(count: 32) { $0.initializeMemory(as: UInt8.self, repeating: number) })
}

@Suite struct IPNSRecordTests {
    @Test(arguments: [
        ("k51qzi5uqu5dlkw8pxuw9qmqayfdeh4kfebhmreauqdc6a7c3y7d5i9fi8mk9w_v1-v2", "/ipfs/bafkqaddwgevxmmraojswg33smq"),
        ("k51qzi5uqu5dilgf7gorsh9vcqqq4myo6jd4zmqkuy9pxyxi5fua3uf7axph4y_v1-v2-broken-signature-v1", "/ipfs/bafkqahtwgevxmmrao5uxi2bamjzg623fnyqhg2lhnzqxi5lsmuqhmmi"),
        ("k51qzi5uqu5dit2ku9mutlfgwyz8u730on38kd10m97m36bjt66my99hb6103f_v2", nil),
        ("12D3KooWLQzUv2FHWGVPXTXSZpdHs7oHbXub2G5WC8Tx4NQhyd2d", nil),
        ("QmVujd5Vb7moysJj8itnGufN7MEtPRCNHkKpNuA4onsRa3", nil),
    ])
    func recordsOfOthersAreGood(file: String, path: String?) throws {
        let bytes = try RecordFiles.read(file)
        let record = try IPNSRecord(decoding: bytes)
        let name = try #require(IPNSName(String(file.prefix { $0 != "_" })))
        try record.verify(name, at: newYear)
        if let path { #expect(try record.path.description == path) }
        #expect(IPNSName(routingKey: name.routingKey) == name)
        // What was read is written the same.
        if file.contains("broken") == false { #expect(record.message.encode() == bytes) }
        #expect(throws: IPNSError.foreignKey) {
            try IPNSRecord(IPNSMessage(bytes).with(key: testKey(9).publicKey.encoded), record.fields).verify(name, at: newYear)
        }
        #expect(throws: IPNSError.expired) { try record.verify(name, at: WallTime(nanoseconds: .max)) }
    }

    @Test(arguments: [
        ("k51qzi5uqu5dm4tm0wt8srkg9h9suud4wuiwjimndrkydqm81cqtlb5ak6p7ku_v1", IPNSError.noData),
        ("k51qzi5uqu5dlmit2tuwdvnx4sbnyqgmvbxftl0eo3f33wwtb9gr7yozae9kpw_v1-v2-broken-v1-value", .mismatch(field: "Value")),
        ("k51qzi5uqu5diamp7qnnvs1p1gzmku3eijkeijs3418j23j077zrkok63xdm8c_v1-v2-broken-signature-v2", .forged),
    ])
    func badRecordsAreRefused(file: String, error: IPNSError) throws {
        let name = try #require(IPNSName(String(file.prefix { $0 != "_" })))
        #expect(throws: error) { try IPNSRecord(decoding: try RecordFiles.read(file)).verify(name, at: newYear) }
    }

    @Test func madeRecordsAreRead() throws {
        let key = try testKey(1)
        let name = IPNSName(PeerID(key.publicKey))
        for compatible in [true, false] {
            var content = IPNSRecord.Content(value: "/ipfs/bafkqaaa/a", sequence: 7, validity: newYear + .seconds(3600), timeToLive: .seconds(30))
            content.extensions["_note"] = "hello"
            let made = try IPNSRecord(content, with: key, compatible: compatible)
            let record = try IPNSRecord(decoding: made.encoded)
            try record.verify(name, at: newYear)
            #expect(try record.path.description == "/ipfs/bafkqaaa/a")
            #expect(record.sequence == 7 && record.timeToLive == .seconds(30) && record.validity == newYear + .seconds(3600))
            #expect(record.signatureType == (compatible ? "V1+V2" : "V2"))
            #expect(record.extensions["_note"] == "hello" && record.extensions.count == 1)
            #expect(record.message.publicKey == nil)
            #expect(throws: IPNSError.forged) { try IPNSRecord(decoding: tamper(made.encoded)).verify(name, at: newYear) }
            #expect(throws: IPNSError.forged) { try record.verify(IPNSName(PeerID(testKey(2).publicKey)), at: newYear) }
            #expect(throws: IPNSError.expired) { try record.verify(name, at: newYear + .seconds(3601)) }
        }
    }

    /// Changes one byte of the signed data.
    private func tamper(_ bytes: Bytes) -> Bytes {
        var array = bytes.array
        // The last byte belongs to the value of a field.
        array[array.count - 1] ^= 1
        return Bytes(array)
    }

    @Test func sequencesOf64Bits() throws {
        let key = try testKey(1)
        let content = IPNSRecord.Content(value: "/ipfs/bafkqaaa", sequence: .max, validity: newYear)
        let record = try IPNSRecord(decoding: try IPNSRecord(content, with: key).encoded)
        #expect(record.sequence == .max)
        try record.verify(IPNSName(PeerID(key.publicKey)), at: newYear)
    }

    @Test func largeRecordsAreRefused() throws {
        #expect(throws: IPNSError.tooLarge(bytes: NamingLimits.record + 1)) {
            _ = try IPNSRecord(decoding: Bytes([UInt8](repeating: 0x4a, count: NamingLimits.record + 1)))
        }
        let long = "/ipfs/bafkqaaa/" + String(repeating: "x", count: NamingLimits.record)
        #expect(throws: IPNSError.self) { _ = try IPNSRecord(.init(value: long, sequence: 1, validity: newYear), with: testKey(1)) }
    }

    @Test func whichRecordIsBetter() throws {
        let key = try testKey(1)
        func record(_ sequence: UInt64, _ validity: WallTime, _ value: String = "/ipfs/bafkqaaa") throws -> Bytes {
            try IPNSRecord(.init(value: value, sequence: sequence, validity: validity), with: key).encoded
        }
        let validator = IPNSValidator()
        let records = [try record(1, newYear), try record(3, newYear), try record(3, newYear + .seconds(1)), try record(2, newYear + .seconds(9)), Bytes([1])]
        let key1 = IPNSName(PeerID(key.publicKey)).routingKey
        #expect(validator.best(of: records, for: key1) == 2)
        #expect(validator.best(of: records.reversed(), for: key1) == 2)
        // Equal in both: any, but everybody the same.
        let twins = [try record(3, newYear, "/ipfs/bafkqaaa/a"), try record(3, newYear, "/ipfs/bafkqaaa/b")]
        #expect(twins[validator.best(of: twins, for: key1)] == twins.reversed()[validator.best(of: twins.reversed(), for: key1)])
        try validator.validate(records[0], for: key1, at: newYear)
        #expect(throws: IPNSError.invalidName) { try validator.validate(records[0], for: "/ipns/nothing", at: newYear) }
        #expect(throws: IPNSError.expired) { try validator.validate(records[0], for: key1, at: newYear + .seconds(2)) }
    }

    @Test(arguments: [
        ("2023-11-20T10:30:00Z", 1_700_476_200_000_000_000), ("2023-11-20T10:30:00.5Z", 1_700_476_200_500_000_000),
        ("1970-01-01T00:00:00.000000001Z", 1), ("1969-12-31T23:59:59.9Z", -100_000_000), ("2024-02-29T00:00:00Z", 1_709_164_800_000_000_000),
    ])
    func times(text: String, nanoseconds: Int64) throws {
        #expect(WallTime(rfc3339: text)?.nanoseconds == nanoseconds)
        #expect(WallTime(nanoseconds: nanoseconds).rfc3339 == text)
    }

    @Test func timesInOtherForms() {
        #expect(WallTime(rfc3339: "2023-11-20T12:30:00.123456789123+02:00")?.nanoseconds == 1_700_476_200_123_456_789)
        #expect(WallTime(rfc3339: "9999-12-31T00:00:00Z")?.nanoseconds == .max)
        for nanoseconds in [Int64.max, .min, .min + 1000, -1, 0] {
            let time = WallTime(nanoseconds: nanoseconds)
            #expect(WallTime(rfc3339: time.rfc3339) == time)
        }
        for text in ["", "2023-11-20", "2023-13-20T00:00:00Z", "2023-02-29T00:00:00Z", "2023-01-01T24:00:00Z", "2023-01-01T00:00:00", "2023-01-01T00:00:00Zx", "2023-01-01T00:00:00.Z"] {
            #expect(WallTime(rfc3339: text) == nil, "\(text)")
        }
    }
}

extension IPNSMessage {
    func with(key: Bytes) -> IPNSMessage {
        var copy = self
        copy.publicKey = key
        return copy
    }
}
