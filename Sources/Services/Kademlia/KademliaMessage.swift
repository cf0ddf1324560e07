import WaggleBase
import WaggleFormats
import WaggleNetwork

/// One message of the protocol, as it was read: windows onto the bytes that arrived.
///
/// Wire: protobuf `Message { MessageType type = 1; bytes key = 2; Record record = 3; repeated Peer closerPeers = 8; repeated Peer
/// providerPeers = 9; int32 clusterLevelRaw = 10; }`, behind an unsigned varint of its length. Spec: libp2p kad-dht, section "RPC messages".
/// Everything is checked once, when it is read, and that allocates nothing; peers are looked at where they lie, as often as asked for. Peers and
/// addresses beyond the limits are left out.
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

    let bytes: Bytes
    package private(set) var kind = Kind.putValue
    private var keyWindow = Window(0..<0)
    private var recordKey: Window?
    private var recordValue: Window?
    private var hasRecord = false

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
                if closer <= KademliaLimits.closerPeers { try KademliaMessage.checkPeer(try field.message()) }
            case 9:
                providers += 1
                if providers <= KademliaLimits.providerPeers { try KademliaMessage.checkPeer(try field.message()) }
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

    private static func checkPeer(_ message: borrowing ProtobufReader) throws(ProtobufError) {
        var reader = copy message
        while let field = try reader.next() { if field.number == 1 || field.number == 2 { _ = try field.range() } }
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

    /// Calls `body` with where each peer lies, in the order of the message.
    func forEachPeer(providers: Bool, _ body: (Window) -> Void) {
        var left = providers ? KademliaLimits.providerPeers : KademliaLimits.closerPeers
        let number = providers ? Int(KademliaMessage.providerField) : Int(KademliaMessage.closerField)
        var reader = ProtobufReader(bytes.span)
        // Nothing is thrown: all of it was read before.
        do {
            while left > 0, let field = try reader.next() {
                guard field.number == number else { continue }
                left -= 1
                body(Window(try field.range()))
            }
        } catch {}
    }

    /// Peers that are named, with what is usable of their addresses; without those whose id is none.
    package func contacts(providers: Bool) -> [KademliaContact] {
        var contacts: [KademliaContact] = []
        forEachPeer(providers: providers) { row in
            if contacts.isEmpty { contacts.reserveCapacity(providers ? 4 : 20) }
            if let contact = contact(row) { contacts.append(contact) }
        }
        return contacts
    }

    /// The place of the peer that lies at `row`; nil when its id is none.
    func place(_ row: Window) -> KademliaKey? {
        guard let peer = PeerID(window: bytes[KademliaMessage.id(bytes.span, row.range)]) else { return nil }
        return KademliaKey(peer)
    }

    /// The peer that lies at `row`; nil when its id is none. It shares a little memory with its addresses, and none with the message.
    func contact(_ row: Window) -> KademliaContact? {
        let block = Bytes(bytes[row.range].span)
        let isSmall = block.count <= KademliaLimits.sharedPeer
        func piece(_ range: Range<Int>) -> Bytes { isSmall ? block[range] : Bytes(block[range].span) }
        guard let peer = PeerID(window: piece(KademliaMessage.id(block.span, 0..<block.count))) else { return nil }
        var contact = KademliaContact(peer: peer, addresses: [])
        var left = KademliaLimits.addressesPerPeer
        var reader = ProtobufReader(block.span)
        do {
            while left > 0, let field = try reader.next() {
                guard field.number == 2 else { continue }
                let range = try field.range()
                guard range.count <= KademliaLimits.address else { continue }
                left -= 1
                if let address = usable(piece(range), peer), !contact.addresses.contains(address) { contact.addresses.append(address) }
            }
        } catch {}
        return contact
    }

    /// Addresses of kinds that this build does not know are of no use here.
    private func usable(_ address: Bytes, _ peer: PeerID) -> Multiaddr? {
        do { return try Multiaddr.bare(address, of: peer.bytes) } catch { return nil }
    }

    /// Where a peer's id lies in its message, which takes `range` of `span`; the last one counts, as everywhere in protobuf.
    private static func id(_ span: RawSpan, _ range: Range<Int>) -> Range<Int> {
        var id = 0..<0
        var reader = ProtobufReader(span.extracting(range))
        do {
            while let field = try reader.next() { if field.number == 1 { id = try field.range() } }
        } catch {}
        return id.lowerBound + range.lowerBound..<id.upperBound + range.lowerBound
    }
}
