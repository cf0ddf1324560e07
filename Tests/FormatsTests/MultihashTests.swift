import Testing
import WaggleBase
import WaggleFormats

@Suite struct MultihashTests {
    @Test func vectors() throws {
        let names = ["sha1": ["sha1"], "sha2-256": ["sha2-256"], "sha2-512": ["sha2-512"], "sha3": ["sha3-512", "sha3-384", "sha3-256", "sha3-224"]]
        let rows = try rows("multiformats/multihash/test_cases.csv")
        #expect(rows.count == 260)
        for row in rows {
            let bytes = hex(row[3])
            let hash = try Multihash(bytes: bytes)
            #expect(names[row[0]]?.contains(hash.code.description) == true)
            #expect(hash.digest.count * 8 == Int(row[1]))
            #expect(try Multihash(hash.code, digest: hash.digest).bytes == bytes)
            #expect(try Multihash(base58: hash.base58) == hash)
        }
    }

    @Test func splits() throws {
        let hash = try Multihash(.sha2_256, digest: Bytes([UInt8](repeating: 7, count: 32)))
        verifyCodec(hash.bytes) { try Multihash(bytes: $0).bytes }
        var reader = ByteReader(Bytes(hash.bytes.array + [1, 2]).span)
        #expect(try Multihash.decode(from: &reader) == hash)
        #expect(reader.remaining == 2)
    }

    @Test func limits() throws {
        let longest = Bytes([UInt8](repeating: 1, count: FormatsLimits.digestBytes))
        let hash = try Multihash(.identity, digest: longest)
        #expect(try Multihash(bytes: hash.bytes).digest == longest)
        #expect(throws: MultihashError.digestTooLong(bytes: 129)) {
            try Multihash(.identity, digest: Bytes([UInt8](repeating: 1, count: FormatsLimits.digestBytes + 1)))
        }
        #expect(throws: MultihashError.digestTooLong(bytes: 129)) { try Multihash(bytes: hex("008101")) }
        #expect(throws: MultihashError.digestTooLong(bytes: (1 << 63) - 1)) { try Multihash(bytes: hex("12ffffffffffffffff7f")) }
        #expect(throws: MultihashError.trailingBytes(1)) { try Multihash(bytes: hex("00010102")) }
        #expect(throws: MultihashError.malformed) { try Multihash(bytes: hex("9200010102")) }
        #expect(throws: MultihashError.malformed) { try Multihash(base58: "0OIl") }
    }
}

@Suite struct MulticodecTests {
    @Test func registry() throws {
        let rows = try rows("multiformats/multicodec/table.csv")
        #expect(rows.count == 637)
        for row in rows {
            let code = try #require(UInt64(row[2].dropFirst(2), radix: 16))
            let codec = Multicodec(rawValue: code)
            #expect(codec.name == row[0])
            #expect(codec.tag == row[1])
            #expect(Multicodec(name: row[0]) == codec)
        }
        #expect(Multicodec(rawValue: 0xffff_ffff).description == "0xffffffff")
        #expect(Multicodec(name: "no such codec") == nil)
        #expect(Multicodec.all(tagged: "ipld").contains(.dagPB))
    }

    @Test(arguments: [
        (Multicodec.identity, "identity"), (.sha1, "sha1"), (.sha2_256, "sha2-256"), (.sha2_512, "sha2-512"), (.sha3_512, "sha3-512"),
        (.sha3_384, "sha3-384"), (.sha3_256, "sha3-256"), (.sha3_224, "sha3-224"), (.shake128, "shake-128"), (.shake256, "shake-256"),
        (.keccak224, "keccak-224"), (.keccak256, "keccak-256"), (.keccak384, "keccak-384"), (.keccak512, "keccak-512"),
        (.blake3, "blake3"), (.sha2_384, "sha2-384"), (.murmur3x64_64, "murmur3-x64-64"), (.doubleSHA2_256, "dbl-sha2-256"),
        (.blake2b256, "blake2b-256"), (.blake2b512, "blake2b-512"), (.blake2s256, "blake2s-256"), (.cbor, "cbor"), (.raw, "raw"),
        (.dagPB, "dag-pb"), (.dagCBOR, "dag-cbor"), (.libp2pKey, "libp2p-key"), (.gitRaw, "git-raw"), (.dagJOSE, "dag-jose"),
        (.dagJSON, "dag-json"), (.json, "json"), (.ipldNamespace, "ipld"), (.ipfsNamespace, "ipfs"), (.ipnsNamespace, "ipns"),
        (.libp2pPeerRecord, "libp2p-peer-record"), (.libp2pRelayReservation, "libp2p-relay-rsvp"), (.transportBitswap, "transport-bitswap"),
        (.transportIPFSGatewayHTTP, "transport-ipfs-gateway-http"),
    ]) func constants(_ codec: Multicodec, _ name: String) { #expect(codec.name == name) }
}
