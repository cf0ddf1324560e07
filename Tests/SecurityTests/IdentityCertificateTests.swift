import Testing
import WaggleBase
import WaggleCryptography
import WaggleFormats
import WaggleSimulation

@testable import WaggleNetwork

/// An ML-DSA-65 identity for tests, the same for the same seed.
func testSecondKey(_ seed: UInt8, _ kind: KeyKind = .mlDSA65) throws -> IdentityKeyPair {
    try IdentityKeyPair(generating: kind, random: SecureBytes([UInt8](repeating: seed, count: kind.randomLength)))
}

@Suite struct IdentityCertificateTests {
    private let now = WallTime(nanoseconds: 1_800_000_000_000_000_000)

    private func certificate(
        _ classical: IdentityKeyPair, _ postQuantum: IdentityKeyPair, sequence: UInt64 = 1, lifetime: Duration = .seconds(3600)
    ) throws -> IdentityCertificate {
        try #require(IdentityCertificate(classical: classical, postQuantum: postQuantum, sequence: sequence, expires: now + lifetime))
    }

    private func refusal(_ bytes: Bytes, at time: WallTime? = nil) -> IdentityCertificateError? {
        do throws(IdentityCertificateError) {
            _ = try IdentityCertificate(verifying: bytes, at: time ?? now)
            return nil
        } catch { return error }
    }

    /// The certificate with one field replaced.
    private func changed(_ certificate: IdentityCertificate, _ number: Int, _ value: Bytes) throws -> Bytes {
        var reader = ProtobufReader(certificate.encoded.span)
        var writer = ProtobufWriter()
        while let field = try reader.next() {
            writer.write(field.number, field.number == number ? value : certificate.encoded[try field.range()])
        }
        return writer.finish()
    }

    private func field(_ certificate: IdentityCertificate, _ number: Int) throws -> Bytes {
        var reader = ProtobufReader(certificate.encoded.span)
        while let field = try reader.next() {
            if field.number == number { return certificate.encoded[try field.range()] }
        }
        throw IdentityCertificateError.malformed
    }

    @Test(arguments: [KeyKind.mlDSA44, .mlDSA65, .mlDSA87, .slhDSAShake128s]) func roundTrip(kind: KeyKind) throws {
        let (classical, postQuantum) = (try testKey(1), try testSecondKey(2, kind))
        let made = try certificate(classical, postQuantum, sequence: 77)
        let read = try IdentityCertificate(verifying: made.encoded, at: now)
        #expect(read == made && read.digest == made.digest && read.sequence == 77 && read.expires == now + .seconds(3600))
        #expect(read.classicalPeer == PeerID(classical.publicKey) && read.postQuantumPeer == PeerID(postQuantum.publicKey))
        #expect(made.encoded.count <= IdentityCertificateLimits.length)
    }

    @Test func timesAreKept() throws {
        let made = try certificate(testKey(1), testSecondKey(2))
        #expect(refusal(made.encoded, at: now + .seconds(3599)) == nil)
        #expect(refusal(made.encoded, at: now + .seconds(3600)) == .expired)
        let long = try certificate(testKey(1), testSecondKey(2), lifetime: IdentityCertificateLimits.longestLifetime + .seconds(1))
        #expect(refusal(long.encoded) == .expired)
        #expect(refusal(long.encoded, at: now + .seconds(1)) == nil)
    }

    /// One signature without the other is worth nothing, whichever it is.
    @Test func aForgerOfOneSignatureHasNoCertificate() throws {
        let (classical, postQuantum, attacker, other) = (try testKey(1), try testSecondKey(2), try testKey(3), try testSecondKey(4))
        let victim = try certificate(classical, postQuantum)
        // He holds the Ed25519 key: all but the ML-DSA signature is right.
        let withForgedFirst = try certificate(classical, other)
        let body = try field(victim, 1)
        let later = try certificate(classical, postQuantum, sequence: 2)
        for (number, value) in [
            // A signature of another certificate of the same keys, of another key, an empty one, the other one's.
            (5, try field(later, 5)), (5, try field(withForgedFirst, 5)), (5, Bytes()), (5, try field(victim, 4)),
            (4, try field(later, 4)), (4, try field(certificate(attacker, postQuantum), 4)), (4, Bytes()), (4, try field(victim, 5)),
        ] {
            #expect(refusal(try changed(victim, number, value)) == .forged)
        }
        // Another body under the old signatures.
        #expect(refusal(try changed(victim, 1, try field(later, 1))) == .forged)
        #expect(body.count > 0)
    }

    @Test func namesMustBeThoseOfTheKeys() throws {
        let (classical, postQuantum, attacker, other) = (try testKey(1), try testSecondKey(2), try testKey(3), try testSecondKey(4))
        let victim = try certificate(classical, postQuantum)
        // The keys of somebody else below the victim's names.
        #expect(refusal(try changed(victim, 2, attacker.publicKey.encoded)) == .wrongPeer)
        #expect(refusal(try changed(victim, 3, other.publicKey.encoded)) == .wrongPeer)
        // The names swapped, signed by both keys.
        var body = ProtobufWriter()
        body.write(1, victim.postQuantumPeer.bytes)
        body.write(2, victim.classicalPeer.bytes)
        body.write(3, varint: 1)
        body.write(4, varint: UInt64(now.nanoseconds / 1_000_000_000) + 100)
        let bytes = body.finish()
        let signed = Bytes(Array("waggle-identity-certificate:".utf8) + bytes.array)
        var writer = ProtobufWriter()
        writer.write(1, bytes)
        writer.write(2, classical.publicKey.encoded)
        writer.write(3, postQuantum.publicKey.encoded)
        writer.write(4, try #require(classical.sign(signed)))
        writer.write(5, try #require(postQuantum.sign(signed)))
        #expect(refusal(writer.finish()) == .wrongPeer)
        // Keys in each other's place, and two of one kind.
        #expect(refusal(try changed(victim, 2, postQuantum.publicKey.encoded)) == .wrongKind)
        #expect(refusal(try changed(victim, 3, attacker.publicKey.encoded)) == .wrongKind)
        #expect(IdentityCertificate(classical: postQuantum, postQuantum: classical, sequence: 1, expires: now) == nil)
        #expect(IdentityCertificate(classical: classical, postQuantum: attacker, sequence: 1, expires: now) == nil)
    }

    @Test func damageIsNoCertificate() throws {
        let victim = try certificate(testKey(1), testSecondKey(2)).encoded
        for length in stride(from: 0, to: victim.count, by: 37) { #expect(refusal(victim.prefix(length)) != nil) }
        for index in stride(from: 0, to: victim.count, by: 41) {
            var bytes = victim.array
            bytes[index] ^= 0x10
            #expect(refusal(Bytes(bytes)) != nil, "byte \(index)")
        }
        #expect(refusal(Bytes(victim.array + [UInt8](repeating: 0, count: IdentityCertificateLimits.length))) == .malformed)
    }

    // MARK: Bindings

    private func withBindings(limit: Int = 8, _ body: @escaping @Sendable (IdentityBindings, World) throws -> Void) throws {
        let world = World(seed: 1)
        let system = world.host("alice").system
        try world.run { try body(try IdentityBindings(system: system, limit: limit), world) }
    }

    private static func certificate(
        _ first: UInt8, _ second: UInt8, _ bindings: IdentityBindings, sequence: UInt64 = 1, lifetime: Duration = .seconds(3600)
    ) throws -> IdentityCertificate {
        try #require(
            IdentityCertificate(
                classical: testKey(first), postQuantum: testSecondKey(second), sequence: sequence, expires: bindings.now + lifetime))
    }

    @Test func aKnownNameIsBelievedOnlyWithItsPartner() throws {
        try withBindings { bindings, _ in
            let one = try IdentityCertificateTests.certificate(1, 2, bindings)
            let (classical, postQuantum) = (one.classicalPeer, one.postQuantumPeer)
            // Before anything is known, one name is enough.
            #expect(try bindings.settle(classical) == IdentityBindings.Names(classical))
            #expect(try bindings.settle(one) == IdentityBindings.Names(classical, alias: postQuantum))
            #expect(bindings.partner(of: classical) == postQuantum && bindings.partner(of: postQuantum) == classical)
            #expect(throws: IdentityRefusal(classical, cause: .partnerMissing(postQuantum))) { try bindings.settle(classical) }
            #expect(throws: IdentityRefusal(postQuantum, cause: .partnerMissing(classical))) { try bindings.settle(postQuantum) }
            // With another partner a known name is not believed; the attacker is called by what is his own.
            let stolenFirst = try IdentityCertificateTests.certificate(1, 4, bindings, sequence: 99)
            #expect(try bindings.settle(stolenFirst) == IdentityBindings.Names(stolenFirst.postQuantumPeer))
            let stolenSecond = try IdentityCertificateTests.certificate(3, 2, bindings, sequence: 99)
            #expect(try bindings.settle(stolenSecond) == IdentityBindings.Names(stolenSecond.classicalPeer))
            #expect(bindings.partner(of: stolenFirst.postQuantumPeer) == nil && bindings.partner(of: stolenSecond.classicalPeer) == nil)
            #expect(bindings.partner(of: classical) == postQuantum && bindings.all.count == 1)
            // Both names of two different pairs.
            let other = try IdentityCertificateTests.certificate(5, 6, bindings)
            _ = try bindings.settle(other)
            let mixed = try IdentityCertificateTests.certificate(1, 6, bindings, sequence: 99)
            #expect(throws: IdentityRefusal(classical, cause: .contested)) { try bindings.settle(mixed) }
        }
    }

    @Test func olderCertificatesAreRefused() throws {
        try withBindings { bindings, _ in
            let newer = try IdentityCertificateTests.certificate(1, 2, bindings, sequence: 5)
            _ = try bindings.settle(newer)
            _ = try bindings.settle(newer)
            for sequence: UInt64 in [1, 4] {
                let older = try IdentityCertificateTests.certificate(1, 2, bindings, sequence: sequence)
                #expect(throws: IdentityRefusal(newer.classicalPeer, cause: .certificate(.superseded))) { try bindings.settle(older) }
            }
            // Another one under the same number.
            let twin = try IdentityCertificateTests.certificate(1, 2, bindings, sequence: 5, lifetime: .seconds(7200))
            #expect(throws: IdentityRefusal(newer.classicalPeer, cause: .certificate(.superseded))) { try bindings.settle(twin) }
            _ = try bindings.settle(IdentityCertificateTests.certificate(1, 2, bindings, sequence: 6))
            #expect(bindings.binding(of: newer.postQuantumPeer)?.sequence == 6)
        }
    }

    @Test func bindingsExpire() throws {
        let world = World(seed: 1)
        let system = world.host("alice").system
        try world.run {
            let bindings = try IdentityBindings(system: system)
            let one = try IdentityCertificateTests.certificate(1, 2, bindings)
            _ = try bindings.settle(one)
            try await world.sleep(for: .seconds(3601))
            #expect(bindings.partner(of: one.classicalPeer) == nil && bindings.all.isEmpty)
            #expect(try bindings.settle(one.classicalPeer) == IdentityBindings.Names(one.classicalPeer))
            // The names are free for other pairs then, and nothing of the old one is left.
            let other = try IdentityCertificateTests.certificate(1, 4, bindings)
            #expect(try bindings.settle(other).alias == other.postQuantumPeer)
            #expect(bindings.partner(of: one.postQuantumPeer) == nil && bindings.all.count == 1)
        }
    }

    /// What is met again and again stays when strangers flood the table.
    @Test func aFloodPushesOutItself() throws {
        try withBindings(limit: 4) { bindings, _ in
            let friend = try IdentityCertificateTests.certificate(1, 2, bindings)
            for _ in 0..<3 { _ = try bindings.settle(friend) }
            for number: UInt8 in 10..<30 { _ = try bindings.settle(IdentityCertificateTests.certificate(number, number + 100, bindings)) }
            #expect(bindings.all.count == 4 && bindings.partner(of: friend.classicalPeer) == friend.postQuantumPeer)
            #expect(bindings.forget(friend.postQuantumPeer) && bindings.partner(of: friend.classicalPeer) == nil)
            #expect(!bindings.forget(friend.postQuantumPeer))
        }
    }

    @Test func bindingsSurviveARestart() throws {
        let world = World(seed: 1)
        let host = world.host("alice")
        let names = try world.run {
            let store = try host.system.openStore("/data", tables: [IdentityBindings.table], capacity: 1 << 24)
            let bindings = try IdentityBindings(system: host.system, store: store)
            let one = try IdentityCertificateTests.certificate(1, 2, bindings)
            let gone = try IdentityCertificateTests.certificate(3, 4, bindings)
            _ = try bindings.settle(one)
            _ = try bindings.settle(gone)
            bindings.forget(gone.classicalPeer)
            await bindings.close()
            await store.close()
            return (one.classicalPeer, one.postQuantumPeer)
        }
        try world.run {
            let store = try host.system.openStore("/data", tables: [IdentityBindings.table], capacity: 1 << 24)
            let bindings = try IdentityBindings(system: host.system, store: store)
            #expect(bindings.partner(of: names.0) == names.1 && bindings.all.count == 1)
            await bindings.close()
            await store.close()
        }
    }

    /// The name of a key in chain networks is computed from its bytes, as another program would.
    @Test func chainAliases() throws {
        let key = try testSecondKey(1).publicKey
        let raw = try #require(key.mlDSA).encoded
        let digest = Hashing.digest(0x16, Bytes([0x12, 0x11] + raw.array))
        #expect(key.chainAlias == digest && digest?.count == 32)
        #expect(try testKey(1).publicKey.chainAlias != nil && testKey(1).publicKey.chainAlias != key.chainAlias)
    }

    @Test func ownCertificatesAreRenewed() throws {
        let second = try #require(SecondIdentity(testSecondKey(2), of: testKey(1)))
        let first = try #require(second.certificate(at: now))
        #expect(first.expires == now + IdentityCertificateLimits.lifetime)
        #expect(second.certificate(at: now + .seconds(86_400)) == first)
        let later = now + IdentityCertificateLimits.renewal
        let next = try #require(second.certificate(at: later))
        #expect(next.sequence > first.sequence && next.expires == later + IdentityCertificateLimits.lifetime)
        #expect(SecondIdentity(try testKey(2), of: try testKey(1)) == nil)
        #expect(SecondIdentity(try testSecondKey(1), of: try testSecondKey(2)) == nil)
        #expect(SecondIdentity(try testSecondKey(1, .slhDSAShake128s), of: try testKey(2)) == nil)
    }
}
