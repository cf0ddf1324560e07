import WaggleBase
import WaggleFormats

let formatTargets: [(name: String, run: @Sendable (Bytes) -> Void)] = [
    ("cid", { bytes in
        if let cid = attempt({ try CID(bytes: bytes) }) {
            precondition(cid.bytes == bytes)
            precondition(CID(cid.description) == cid)
            _ = (cid.v0, cid.v1, cid.multihash.base58)
        }
        if let text = bytes.utf8, let cid = CID(text) { precondition(CID(cid.description) == cid) }
    }),
    ("multibase", { bytes in
        guard let text = bytes.utf8, let (base, data) = attempt({ try Multibase.decode(text) }) else { return }
        precondition(base == .identity || attempt({ try Multibase.decode(base.encode(data)).bytes }) == data)
    }),
    ("multiaddr", { bytes in
        if let address = attempt({ try Multiaddr(bytes: bytes) }) {
            precondition(address.bytes == bytes)
            precondition(Multiaddr(address.description) == address)
            _ = (address.socketAddress(over: .tcp), address.peerID, address.withoutPeerID)
        }
        if let text = bytes.utf8, let address = Multiaddr(text) { precondition(Multiaddr(address.description) == address) }
    }),
    ("dag-pb", { bytes in
        guard let node = attempt({ try PBNode(bytes) }) else {
            _ = attempt { try PBNode.links(of: bytes) }
            return
        }
        let encoded = node.encode()
        precondition(attempt { try PBNode(encoded).encode() } == encoded)
        precondition(attempt { try PBNode.links(of: bytes) } == node.links.map(\.hash))
    }),
    ("unixfs-data", { bytes in
        if let data = attempt({ try UnixFSData(bytes) }) { precondition(attempt { try UnixFSData(data.encode()) } == data) }
    }),
    ("dag-cbor", { bytes in
        if let value = attempt({ try DagCBOR.decode(bytes) }) { precondition(attempt { try DagCBOR.encode(value) } == bytes) }
        guard let value = attempt({ try DagCBOR.decode(bytes, .relaxed) }) else {
            _ = attempt { try DagCBOR.links(of: bytes) }
            return
        }
        precondition(attempt { try DagCBOR.links(of: bytes) } == value.links)
        precondition(attempt { try DagCBOR.decode(DagCBOR.encode(value)) } == value)
    }),
    ("dag-json", { bytes in
        if let value = attempt({ try DagJSON.decode(bytes) }) { precondition(attempt { try DagJSON.encode(value) } == bytes) }
        if let value = attempt({ try DagJSON.decode(bytes, .relaxed) }), let text = attempt({ try DagJSON.encode(value) }) {
            precondition(attempt { try DagJSON.decode(text) } == value)
        }
    }),
    ("json", { bytes in
        guard let value = attempt({ try JSON(parsing: bytes) }) else { return }
        precondition(attempt { try JSON(parsing: value.encode()) } == value)
        precondition(attempt { try JSON(parsing: value.encode(.indented)) } == value)
    }),
]
