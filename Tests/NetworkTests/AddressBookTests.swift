import Testing
import WaggleBase
import WaggleCryptography
import WaggleFormats
@testable import WaggleNetwork
import WaggleSimulation

@Suite struct AddressBookTests {
    private func key(_ number: UInt8) throws -> IdentityKeyPair {
        try IdentityKeyPair(ed25519Seed: SecureBytes([UInt8](repeating: number, count: 32)))
    }
    private func peer(_ number: UInt8) throws -> PeerID { PeerID(try key(number).publicKey) }
    private func address(_ number: Int) throws -> Multiaddr { try Multiaddr(parsing: "/ip4/10.1.\(number / 256).\(number % 256)/tcp/4001") }
    private func open(_ host: Host, _ limits: AddressBookLimits = AddressBookLimits()) throws -> (AddressBook, any KeyValueStore) {
        let store = try host.system.openStore("/data", tables: [AddressBook.table], capacity: 1 << 30)
        return (try AddressBook(system: host.system, store: store, limits: limits), store)
    }

    @Test func survivesARestart() throws {
        let world = World(seed: 41)
        let host = world.host("one")
        try world.run {
            let (book, store) = try open(host)
            let one = try peer(1)
            book.add([try address(1)], of: one, source: .connected)
            book.add([try address(2)], of: one, source: .hint)
            book.update(
                PeerInformation(peer: one, protocolVersion: "ipfs/0.1.0", agentVersion: "other/1", protocols: ["/a", "/b"], listenAddresses: [try address(3)]))
            await book.close()
            await store.close()
        }
        host.kill()
        host.restart()
        try world.run {
            let (book, store) = try open(host)
            let one = try peer(1)
            #expect(book.peers == [one])
            #expect(book.addresses(of: one) == [try address(1), try address(3), try address(2)])
            #expect(book.protocols(of: one) == ["/a", "/b"])
            #expect(book.agentVersion(of: one) == "other/1")
            #expect(book.protocolVersion(of: one) == "ipfs/0.1.0")
            await book.close()
            await store.close()
        }
    }

    /// What was written behind is there after a crash, without anybody having closed the book.
    @Test func writesBehind() throws {
        let world = World(seed: 42)
        let host = world.host("one")
        try world.run {
            let (book, _) = try open(host)
            for number in 1...50 { book.add([try address(number)], of: try peer(UInt8(number)), source: .connected) }
            try await world.sleep(for: .seconds(2))
        }
        host.kill()
        host.restart()
        try world.run {
            let (book, store) = try open(host)
            #expect(book.peers.count == 50)
            await book.close()
            await store.close()
        }
    }

    @Test func forgetsInTime() throws {
        let world = World(seed: 43)
        let host = world.host("one")
        try world.run(limit: .seconds(100 * 3600)) {
            let (book, store) = try open(host)
            let one = try peer(1)
            for (number, source) in AddressSource.allCases.enumerated() { book.add([try address(number)], of: one, source: source) }
            #expect(book.addresses(of: one) == [5, 4, 3, 2, 1, 0].map { try! address($0) })
            try await world.sleep(for: .seconds(31 * 60))
            #expect(book.addresses(of: one).count == 5)
            // Confirming an address gives it a new life.
            book.add([try address(1)], of: one, source: .dialed)
            try await world.sleep(for: .seconds(31 * 60))
            #expect(book.addresses(of: one).count == 5)
            try await world.sleep(for: .seconds(3 * 3600))
            #expect(book.addresses(of: one) == [5, 4, 3].map { try! address($0) })
            try await world.sleep(for: .seconds(49 * 3600))
            #expect(book.addresses(of: one) == [try address(5)])
            book.sweep()
            await book.close()
            await store.close()
        }
    }

    @Test func isBounded() throws {
        let world = World(seed: 44)
        let host = world.host("one")
        var limits = AddressBookLimits()
        limits.peers = 64
        limits.addressesPerPeer = 4
        limits.protocolsPerPeer = 3
        limits.versionLength = 5
        let settings = limits
        try world.run {
            let (book, store) = try open(host, settings)
            let friend = try peer(255)
            book.add([try address(1000)], of: friend, source: .configured)
            for number in 0..<20 { book.add([try address(number)], of: friend, source: .hint) }
            #expect(book.addresses(of: friend).count == 4)
            #expect(book.addresses(of: friend).first == (try address(1000)))
            for number in 1...250 {
                book.add([try address(number)], of: try peer(UInt8(number)), source: number == 3 ? .connected : .hint)
            }
            #expect(book.peers.count <= 64)
            // The most useful stay.
            #expect(book.peers.contains(friend))
            #expect(book.peers.contains(try peer(3)))
            book.update(PeerInformation(peer: friend, agentVersion: "0123456789", protocols: ["/1", "/2", "/3", "/4"]))
            #expect(book.protocols(of: friend).count == 3)
            #expect(book.agentVersion(of: friend) == "01234")
            let long = try Multiaddr(parsing: "/dns4/" + String(repeating: "a.", count: 100) + "b/tcp/1" + String(repeating: "/http", count: 200))
            book.add([long], of: friend, source: .configured)
            #expect(!book.addresses(of: friend).contains(long))
            await book.close()
            #expect(try store.read { try $0.count(AddressBook.table) } <= 64)
            await store.close()
        }
    }

    /// A connected peer's row stays, whatever else must go, and what it told goes on to be true.
    @Test func connectedPeersAreKept() throws {
        let world = World(seed: 45)
        let host = world.host("one")
        var limits = AddressBookLimits()
        limits.peers = 64
        let settings = limits
        try world.run(limit: .seconds(200 * 3600)) {
            let (book, store) = try open(host, settings)
            let (quiet, known) = (try peer(254), try peer(255))
            book.spare { [quiet, known] }
            // One of them told no address at all.
            book.update(PeerInformation(peer: quiet, protocols: ["/echo/1.0.0"]))
            book.add([try address(1)], of: known, source: .identified)
            book.add([try address(2)], of: known, source: .hint)
            for number in 1...200 { book.add([try address(number)], of: try peer(UInt8(number)), source: .connected) }
            #expect(book.count <= 64)
            #expect(book.protocols(of: quiet) == ["/echo/1.0.0"])
            for _ in 0..<400 {
                try await world.sleep(for: .seconds(600))
                book.sweep()
            }
            #expect(book.addresses(of: known) == [try address(1)])
            #expect(book.protocols(of: quiet) == ["/echo/1.0.0"])
            #expect(book.count == 2)
            book.spare { [] }
            try await world.sleep(for: .seconds(3 * 3600))
            book.sweep()
            #expect(book.count == 0)
            await book.close()
            await store.close()
        }
    }

    @Test func certifiedAddressesReplaceOlderOnes() throws {
        let world = World(seed: 45)
        let book = try AddressBook(system: world.host("one").system)
        let (one, own) = (try peer(1), try key(1))
        func certify(_ sequence: UInt64, _ numbers: [Int]) throws -> Bool {
            let record = PeerRecord(peer: one, sequence: sequence, addresses: try numbers.map(address))
            let envelope = try #require(record.signed(with: own)).encoded
            return book.certify(try PeerRecord(verifying: envelope), envelope: envelope)
        }
        book.add([try address(1)], of: one, source: .identified)
        book.add([try address(2)], of: one, source: .connected)
        #expect(try certify(5, [3, 4]))
        #expect(Set(book.addresses(of: one)) == Set([2, 3, 4].map { try! address($0) }))
        #expect(try !certify(4, [9]))
        #expect(try certify(6, [4]))
        #expect(Set(book.addresses(of: one)) == Set([2, 4].map { try! address($0) }))
        #expect(book.source(of: try address(4), of: one) == .certified)
        #expect(book.signedRecord(of: one) != nil)
    }

    /// A peer in the Internet cannot make us dial our own machine or our own network.
    @Test func addressesThatLeadElsewhereAreLeftOut() throws {
        let world = World(seed: 47)
        let book = try AddressBook(system: world.host("one").system)
        let told = try ["/ip4/127.0.0.1/tcp/1", "/ip4/192.168.1.2/tcp/1", "/ip4/8.8.8.8/tcp/1", "/ip6/::1/tcp/1", "/ip6/fd00::1/tcp/1"].map {
            try Multiaddr(parsing: $0)
        }
        for (number, (remote, expected)) in [("/ip4/9.9.9.9/tcp/5", [2]), ("/ip4/192.168.1.7/tcp/5", [1, 2, 4]), ("/ip4/127.0.0.1/tcp/5", [0, 1, 2, 3, 4])].enumerated() {
            let from = try Multiaddr(parsing: remote)
            let (unsigned, signed) = (try peer(UInt8(2 * number)), try peer(UInt8(2 * number + 1)))
            book.update(PeerInformation(peer: unsigned, listenAddresses: told), from: from)
            #expect(book.addresses(of: unsigned) == expected.map { told[$0] })
            let record = PeerRecord(peer: signed, sequence: 1, addresses: told)
            book.certify(record, envelope: try #require(record.signed(with: key(UInt8(2 * number + 1)))).encoded, from: from)
            #expect(book.addresses(of: signed) == expected.map { told[$0] })
        }
    }

    @Test func addressesOfOthersAreRefused() throws {
        let world = World(seed: 46)
        let book = try AddressBook(system: world.host("one").system)
        let (one, two) = (try peer(1), try peer(2))
        book.add([try address(1).with(peer: one), try address(2).with(peer: two)], of: one, source: .hint)
        #expect(book.addresses(of: one) == [try address(1)])
        book.remove(try address(1), of: one)
        #expect(book.addresses(of: one).isEmpty)
        book.add([try address(1)], of: one, source: .hint)
        book.remove(one)
        #expect(book.peers.isEmpty)
    }

    @Test func forgedEnvelopesAreRefused() throws {
        let (one, own) = (try peer(1), try key(1))
        let record = PeerRecord(peer: one, sequence: 1, addresses: [try address(1)])
        let good = try #require(record.signed(with: own))
        #expect(try PeerRecord(verifying: good.encoded) == record)
        // Signed by somebody else.
        let foreign = try #require(record.signed(with: key(2)))
        #expect(throws: EnvelopeError.wrongPeer) { try PeerRecord(verifying: foreign.encoded) }
        // For another purpose, or of another type.
        let purpose = try #require(SignedEnvelope(signing: record.encoded, type: PeerRecord.payloadType, domain: "libp2p-relay-rsvp", with: own))
        #expect(throws: EnvelopeError.forged) { try PeerRecord(verifying: purpose.encoded) }
        let type = try #require(SignedEnvelope(signing: record.encoded, type: [3, 2], domain: PeerRecord.domain, with: own))
        #expect(throws: EnvelopeError.wrongType) { try PeerRecord(verifying: type.encoded) }
        #expect(throws: EnvelopeError.tooLong) { try PeerRecord(verifying: Bytes([UInt8](repeating: 0, count: SignedEnvelope.maximumLength + 1))) }
        // Every bit counts, and no prefix passes or traps.
        let bytes = good.encoded.array
        for index in bytes.indices {
            var changed = bytes
            changed[index] ^= 1
            do {
                let verified = try PeerRecord(verifying: Bytes(changed))
                // Only a field number that nobody reads may change without harm; then something needed is missing.
                #expect(verified == record)
            } catch {}
            #expect(throws: EnvelopeError.self) { try PeerRecord(verifying: Bytes(bytes[..<index].map { $0 })) }
        }
    }
}
