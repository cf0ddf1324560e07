import WaggleBase
import WaggleFormats

/// One message of bitswap, as it was read.
///
/// Wire shape (protobuf): `wantlist` (1, message: `entries` (1, message), `full` (2, bool)), `blocks` (2, bytes; 1.0 only), `payload` (3,
/// message: `prefix` (1), `data` (2)), `blockPresences` (4, message: `cid` (1), `type` (2: 0 have, 1 do not have)), `pendingBytes`
/// (5, int32). An entry: `block` (1, CID), `priority` (2, int32), `cancel` (3, bool), `wantType` (4: 0 block, 1 have), `sendDontHave`
/// (5, bool). On the stream each message follows its length as a varint. Spec: ipfs/specs, bitswap-protocol.
struct BitswapMessage: Sendable {
    /// A change of the sender's wantlist.
    struct Entry: Hashable, Sendable {
        enum Want: Int32, Sendable {
            case block = 0
            case have = 1
        }
        var cid: CID
        var priority: Int32 = 1
        var cancel = false
        var want = Want.block
        /// Asks for an answer even where there is no block.
        var sendDontHave = false

        static func cancel(_ cid: CID) -> Entry { Entry(cid: cid, priority: 0, cancel: true) }
    }

    /// A block with what it claims to be. `data` is a window onto the message.
    struct Payload: Sendable {
        var prefix: BlockPrefix
        var data: Bytes
    }

    struct Presence: Hashable, Sendable {
        var cid: CID
        var isHere: Bool
    }

    var entries: [Entry] = []
    /// The entries are the whole wantlist, not a change of it.
    var isFull = false
    var payloads: [Payload] = []
    var presences: [Presence] = []
    /// Bytes of blocks that the sender has queued for us behind this message.
    var pendingBytes = 0

    init() {}

    // MARK: Reading

    /// Decodes a message without its length. Unknown fields are skipped.
    init(_ bytes: Bytes) throws(BitswapError) {
        var reader = ProtobufReader(bytes.span)
        do {
            while let field = try reader.next() {
                switch field.number {
                case 1: try readWantlist(try field.message())
                case 2: try append(Payload(prefix: .v0, data: bytes[try field.range()]))
                case 3: try readPayload(try field.message(), bytes)
                case 4: try readPresence(try field.message())
                case 5: pendingBytes = Int(max(0, try field.int32()))
                default: break
                }
            }
        } catch let error as BitswapError {
            throw error
        } catch {
            throw .malformed
        }
    }

    private mutating func readWantlist(_ reader: consuming ProtobufReader) throws {
        while let field = try reader.next() {
            switch field.number {
            case 1:
                guard entries.count < BitswapLimits.messageItems else { throw BitswapError.tooManyItems }
                entries.append(try BitswapMessage.entry(try field.message()))
            case 2: isFull = try field.bool()
            default: break
            }
        }
    }

    private static func entry(_ reader: consuming ProtobufReader) throws -> Entry {
        var cid: CID?
        var entry = (priority: Int32(0), cancel: false, want: Entry.Want.block, sendDontHave: false)
        while let field = try reader.next() {
            switch field.number {
            case 1: cid = try BitswapMessage.cid(field)
            case 2: entry.priority = try field.int32()
            case 3: entry.cancel = try field.bool()
            case 4:
                guard let want = Entry.Want(rawValue: try field.int32()) else { throw BitswapError.malformed }
                entry.want = want
            case 5: entry.sendDontHave = try field.bool()
            default: break
            }
        }
        guard let cid else { throw BitswapError.malformed }
        return Entry(
            cid: cid, priority: entry.priority, cancel: entry.cancel, want: entry.want, sendDontHave: entry.sendDontHave)
    }

    private mutating func readPayload(_ reader: consuming ProtobufReader, _ bytes: Bytes) throws {
        var prefix: BlockPrefix?
        var data: Range<Int>?
        while let field = try reader.next() {
            switch field.number {
            case 1: prefix = try BlockPrefix(try field.bytes())
            case 2: data = try field.range()
            default: break
            }
        }
        guard let prefix else { throw BitswapError.malformed }
        // An empty block has no data field at all.
        try append(Payload(prefix: prefix, data: data.map { bytes[$0] } ?? Bytes()))
    }

    private mutating func append(_ payload: Payload) throws {
        guard payloads.count < BitswapLimits.messageItems else { throw BitswapError.tooManyItems }
        payloads.append(payload)
    }

    private mutating func readPresence(_ reader: consuming ProtobufReader) throws {
        var cid: CID?
        var isHere = true
        while let field = try reader.next() {
            switch field.number {
            case 1: cid = try BitswapMessage.cid(field)
            case 2:
                switch try field.int32() {
                case 0: isHere = true
                case 1: isHere = false
                default: throw BitswapError.malformed
                }
            default: break
            }
        }
        guard let cid else { throw BitswapError.malformed }
        guard presences.count < BitswapLimits.messageItems else { throw BitswapError.tooManyItems }
        presences.append(Presence(cid: cid, isHere: isHere))
    }

    private static func cid(_ field: borrowing ProtobufField) throws -> CID {
        var reader = ByteReader(try field.bytes())
        let cid = try CID.decode(from: &reader)
        guard reader.isAtEnd else { throw BitswapError.malformed }
        return cid
    }
}
