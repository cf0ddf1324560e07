import Testing
import WaggleBase
import WaggleFormats
import WaggleNetwork
@testable import WaggleServices

@Suite struct KademliaKeyTests {
    @Test func placesAreHashes() throws {
        let key = KademliaKey(hashing: "abc" as Bytes)
        #expect(key.bytes.description == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad")
        #expect(KademliaKey(bytes: key.bytes) == key)
        #expect(KademliaKey(bytes: [1, 2]) == nil)
    }

    @Test func prefixesAreCounted() {
        let zero = KademliaKey(0, 0, 0, 0)
        #expect(zero.commonPrefix(with: zero) == 256)
        for bit in 0..<256 {
            let other = zero.sibling(at: bit, rest: zero)
            #expect(zero.commonPrefix(with: other) == bit)
            let filled = zero.sibling(at: bit, rest: KademliaKey(.max, .max, .max, .max))
            #expect(zero.commonPrefix(with: filled) == bit)
            #expect(filled >= other)
        }
        let key = KademliaKey(hashing: "x" as Bytes), rest = KademliaKey(hashing: "y" as Bytes)
        for bit in 0..<256 { #expect(key.commonPrefix(with: key.sibling(at: bit, rest: rest)) == bit) }
    }

    @Test func aimsComeClose() {
        for number in 0..<4 {
            let place = KademliaKey(hashing: Bytes(utf8: "\(number)"))
            let key = KademliaAim.key(near: place, bits: 8, seed: KademliaKey(hashing: "seed" as Bytes).bytes)
            #expect(KademliaKey(hashing: key).commonPrefix(with: place) >= 8)
            #expect(throws: Never.self) { try PeerID(bytes: key) }
        }
    }

    @Test func groupsAreNetworks() throws {
        func group(_ text: String) -> IPGroup? { IPGroup([Multiaddr(text)!]) }
        #expect(group("/ip4/8.8.1.1/tcp/1") == group("/ip4/8.8.200.3/tcp/2"))
        #expect(group("/ip4/8.8.1.1/tcp/1") != group("/ip4/8.9.1.1/tcp/1"))
        #expect(group("/ip6/2600:1::1/tcp/1") == group("/ip6/2600:1:ff::9/tcp/1"))
        #expect(group("/ip6/2600:1::1/tcp/1") != group("/ip6/2600:2::1/tcp/1"))
        #expect(group("/ip4/10.0.0.1/tcp/1") == nil)
        #expect(group("/ip4/127.0.0.1/tcp/1") == nil)
        #expect(group("/dns/example.org/tcp/1") == nil)
    }
}
