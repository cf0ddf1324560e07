import WaggleBase
import WaggleFormats
import WaggleNetwork

/// One message of the protocol, as it was read: windows onto the bytes that arrived.
///
/// Wire: protobuf `Message { MessageType type = 1; bytes key = 2; Record record = 3; repeated Peer closerPeers = 8; repeated Peer
/// providerPeers = 9; int32 clusterLevelRaw = 10; }`, behind an unsigned varint of its length. Spec: libp2p kad-dht, section "RPC messages".
/// Reading takes at most two allocations, whatever is in it; peers and addresses beyond the limits are left out.
package struct KademliaMessage: Sendable {
    package enum Kind: UInt8, Sendable {
        case putValue = 0
        case getValue = 1
        case addProvider = 2
        case getProviders = 3
        case findNode = 4
        case ping = 5
    }

    /// Where a value lies in the message.
    struct Window: Sendable {
        var start: UInt32
        var end: UInt32

        init(_ range: Range<Int>) {
            start = UInt32(truncatingIfNeeded: range.lowerBound)
            end = UInt32(truncatingIfNeeded: range.upperBound)
        }

        var range: Range<Int> { Int(start)..<Int(end) }
        var count: Int { Int(end - start) }
    }

    /// A peer in the message.
    struct PeerRow: Sendable {
        var id: Window
        /// Its addresses among all of the message.
        var firstAddress: UInt32
        var addressCount: UInt32
        var isProvider: Bool
    }

    let bytes: Bytes
    package private(set) var kind = Kind.putValue
    private var keyWindow = Window(0..<0)
    private var recordKey: Window?
    private var recordValue: Window?
    private var hasRecord = false
    private(set) var peers: [PeerRow] = []
    private(set) var addresses: [Window] = []

    /// What `bytes` say. Throws on what is not such a message, and on a key or value beyond the limits.
    package init(_ bytes: Bytes) throws(ProtobufError) {
        self.bytes = bytes
        var closer = 0
        var providers = 0
        var reader = ProtobufReader(bytes.span)
        while let field = try reader.next() {
            switch field.number {
            case 1:
                guard let kind = Kind(rawValue: UInt8(truncatingIfNeeded: min(try field.uint64(), 255))) else { throw .value(field: 1) }
                self.kind = kind
            case 2:
                keyWindow = Window(try field.range())
                guard keyWindow.count <= KademliaLimits.key else { throw .limit(field: 2) }
            case 3: try readRecord(try field.message())
            case 8:
                closer += 1
                if closer <= KademliaLimits.closerPeers { try readPeer(try field.message(), isProvider: false) }
            case 9:
                providers += 1
                if providers <= KademliaLimits.providerPeers { try readPeer(try field.message(), isProvider: true) }
            default: break
            }
        }
    }

    private mutating func readRecord(_ message: borrowing ProtobufReader) throws(ProtobufError) {
        var reader = copy message
        hasRecord = true
        recordKey = Window(0..<0)
        recordValue = Window(0..<0)
        while let field = try reader.next() {
            switch field.number {
            case 1: recordKey = Window(try field.range())
            case 2:
                let window = Window(try field.range())
                guard window.count <= KademliaLimits.value.bytes else { throw .limit(field: 3) }
                recordValue = window
            default: break
            }
        }
    }

    private mutating func readPeer(_ message: borrowing ProtobufReader, isProvider: Bool) throws(ProtobufError) {
        var reader = copy message
        if peers.isEmpty {
            // An answer has twenty peers with a few addresses each.
            peers.reserveCapacity(24)
            addresses.reserveCapacity(96)
        }
        var row = PeerRow(id: Window(0..<0), firstAddress: UInt32(addresses.count), addressCount: 0, isProvider: isProvider)
        while let field = try reader.next() {
            switch field.number {
            case 1: row.id = Window(try field.range())
            case 2:
                let window = Window(try field.range())
                guard row.addressCount < KademliaLimits.addressesPerPeer, window.count <= KademliaLimits.address else { continue }
                addresses.append(window)
                row.addressCount += 1
            default: break
            }
        }
        peers.append(row)
    }

    // MARK: What it says

    package var key: Bytes { bytes[keyWindow.range] }

    /// The key, for hashing without a count of references.
    func withKey<R>(_ body: (UnsafeRawBufferPointer) -> R) -> R {
        bytes.withUnsafeBytes { body(UnsafeRawBufferPointer(rebasing: $0[keyWindow.range])) }
    }

    var keyCount: Int { keyWindow.count }

    /// The record's key and value; nil when there is no record.
    var record: (key: Bytes, value: Bytes)? {
        guard hasRecord, let recordKey, let recordValue else { return nil }
        return (bytes[recordKey.range], bytes[recordValue.range])
    }

    /// Peers that are named; those whose id is none, or who have no usable address, too, with what is usable of them.
    package func contacts(providers: Bool) -> [KademliaContact] {
        var contacts: [KademliaContact] = []
        contacts.reserveCapacity(peers.count)
        for row in peers where row.isProvider == providers {
            if let contact = contact(row) { contacts.append(contact) }
        }
        return contacts
    }

    /// The peer of a row; nil when its id is none.
    func contact(_ row: PeerRow) -> KademliaContact? {
        let peer: PeerID
        // A copy: what is kept for long must not keep the whole message.
        do { peer = try PeerID(bytes: Bytes(bytes[row.id.range].span)) } catch { return nil }
        var contact = KademliaContact(peer: peer, addresses: [])
        for index in 0..<Int(row.addressCount) {
            let window = addresses[Int(row.firstAddress) + index]
            // Addresses of kinds that this build does not know are of no use here.
            if let address = lenient(Bytes(bytes[window.range].span)), let bare = bare(address, peer) { contact.addresses.append(bare) }
        }
        return contact
    }

    private func lenient(_ bytes: Bytes) -> Multiaddr? {
        do { return try Multiaddr(bytes: bytes) } catch { return nil }
    }

    /// Without the peer itself at the end; nil when another one is there.
    private func bare(_ address: Multiaddr, _ peer: PeerID) -> Multiaddr? {
        guard let hash = address.peerID else { return address }
        guard hash == peer.multihash else { return nil }
        return address.withoutPeerID
    }
}
