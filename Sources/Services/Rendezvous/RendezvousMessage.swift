import WaggleBase
import WaggleFormats
import WaggleNetwork

/// What a rendezvous server answers.
public enum RendezvousStatus: UInt64, Error, Sendable {
    case ok = 0
    case invalidNamespace = 100
    case invalidRecord = 101
    case invalidTime = 102
    case invalidCookie = 103
    case notAuthorized = 200
    case internalError = 300
    case unavailable = 400
}

/// A message of the rendezvous protocol.
///
/// Wire: protobuf `Message { type = 1; Register register = 2; RegisterResponse registerResponse = 3; Unregister unregister = 4; Discover discover = 5;
/// DiscoverResponse discoverResponse = 6; }` with an unsigned varint of its length in front. Spec: libp2p specs, rendezvous, section "Protobuf".
enum RendezvousMessage: Equatable, Sendable {
    /// `Register { string ns = 1; bytes signedPeerRecord = 2; uint64 ttl = 3; }`, seconds.
    struct Register: Equatable, Sendable {
        var namespace = ""
        /// The envelope, or `PeerInfo { bytes id = 1; repeated bytes addrs = 2; }` of the first version of the protocol.
        var record = Bytes()
        var seconds: UInt64?
    }

    /// `RegisterResponse { status = 1; string statusText = 2; uint64 ttl = 3; }`
    struct Registered: Equatable, Sendable {
        var status = RendezvousStatus.ok
        var text = ""
        var seconds: UInt64?
    }

    /// `Unregister { string ns = 1; bytes id = 2; }`; newer peers leave the id out.
    struct Unregister: Equatable, Sendable {
        var namespace = ""
        var id: Bytes?
    }

    /// `Discover { string ns = 1; uint64 limit = 2; bytes cookie = 3; }`
    struct Discover: Equatable, Sendable {
        var namespace = ""
        var limit: UInt64?
        var cookie: Bytes?
    }

    /// `DiscoverResponse { repeated Register registrations = 1; bytes cookie = 2; status = 3; string statusText = 4; }`
    struct Discovered: Equatable, Sendable {
        var registrations: [Register] = []
        var cookie: Bytes?
        var status = RendezvousStatus.ok
        var text = ""
    }

    case register(Register)
    case registered(Registered)
    case unregister(Unregister)
    case discover(Discover)
    case discovered(Discovered)
}

// MARK: Writing

extension RendezvousMessage {
    var encoded: Bytes {
        var writer = ProtobufWriter(capacity: 512)
        switch self {
        case .register(let part):
            writer.write(1, varint: 0)
            writer.message(2) { RendezvousMessage.write(part, &$0) }
        case .registered(let part):
            writer.write(1, varint: 1)
            writer.message(3) { writer in
                writer.write(1, varint: part.status.rawValue)
                if !part.text.isEmpty { writer.write(2, part.text) }
                if let seconds = part.seconds { writer.write(3, varint: seconds) }
            }
        case .unregister(let part):
            writer.write(1, varint: 2)
            writer.message(4) { writer in
                writer.write(1, part.namespace)
                if let id = part.id { writer.write(2, id) }
            }
        case .discover(let part):
            writer.write(1, varint: 3)
            writer.message(5) { writer in
                if !part.namespace.isEmpty { writer.write(1, part.namespace) }
                if let limit = part.limit { writer.write(2, varint: limit) }
                if let cookie = part.cookie { writer.write(3, cookie) }
            }
        case .discovered(let part):
            writer.write(1, varint: 4)
            writer.message(6) { writer in
                for register in part.registrations { writer.message(1) { RendezvousMessage.write(register, &$0) } }
                if let cookie = part.cookie { writer.write(2, cookie) }
                writer.write(3, varint: part.status.rawValue)
                if !part.text.isEmpty { writer.write(4, part.text) }
            }
        }
        return writer.finish()
    }

    private static func write(_ register: Register, _ writer: inout ProtobufWriter) {
        writer.write(1, register.namespace)
        writer.write(2, register.record)
        if let seconds = register.seconds { writer.write(3, varint: seconds) }
    }
}

// MARK: Reading

extension RendezvousMessage {
    init(decoding bytes: Bytes) throws(ProtobufError) {
        var type: UInt64 = 0
        var register = Register(), registered = Registered(), unregister = Unregister(), discover = Discover(), discovered = Discovered()
        var reader = ProtobufReader(bytes.span)
        while let field = try reader.next() {
            switch field.number {
            case 1: type = try field.uint64()
            case 2: register = try RendezvousMessage.register(field.message(), bytes)
            case 3:
                var part = try field.message()
                while let inner = try part.next() {
                    switch inner.number {
                    case 1: registered.status = RendezvousStatus(rawValue: try inner.uint64()) ?? .internalError
                    case 2: registered.text = try inner.string()
                    case 3: registered.seconds = try inner.uint64()
                    default: continue
                    }
                }
            case 4:
                var part = try field.message()
                while let inner = try part.next() {
                    switch inner.number {
                    case 1: unregister.namespace = try inner.string()
                    case 2: unregister.id = bytes[try inner.range()]
                    default: continue
                    }
                }
            case 5:
                var part = try field.message()
                while let inner = try part.next() {
                    switch inner.number {
                    case 1: discover.namespace = try inner.string()
                    case 2: discover.limit = try inner.uint64()
                    case 3: discover.cookie = bytes[try inner.range()]
                    default: continue
                    }
                }
            case 6:
                var part = try field.message()
                while let inner = try part.next() {
                    switch inner.number {
                    case 1:
                        guard discovered.registrations.count < RendezvousLimits.page else { throw .limit(field: 1) }
                        discovered.registrations.append(try RendezvousMessage.register(inner.message(), bytes))
                    case 2: discovered.cookie = bytes[try inner.range()]
                    case 3: discovered.status = RendezvousStatus(rawValue: try inner.uint64()) ?? .internalError
                    case 4: discovered.text = try inner.string()
                    default: continue
                    }
                }
            default: continue
            }
        }
        switch type {
        case 0: self = .register(register)
        case 1: self = .registered(registered)
        case 2: self = .unregister(unregister)
        case 3: self = .discover(discover)
        case 4: self = .discovered(discovered)
        default: throw .value(field: 1)
        }
    }

    private static func register(_ part: consuming ProtobufReader, _ bytes: Bytes) throws(ProtobufError) -> Register {
        var register = Register()
        var part = part
        while let field = try part.next() {
            switch field.number {
            case 1: register.namespace = try field.string()
            case 2: register.record = bytes[try field.range()]
            case 3: register.seconds = try field.uint64()
            default: continue
            }
        }
        return register
    }
}

/// A peer and its addresses as the first version of the protocol told them, without a signature.
struct UnsignedPeer: Equatable, Sendable {
    var peer: PeerID
    var addresses: [Multiaddr]

    var encoded: Bytes {
        var writer = ProtobufWriter(capacity: 256)
        writer.write(1, peer.bytes)
        for address in addresses { writer.write(2, address.bytes) }
        return writer.finish()
    }

    init(_ peer: PeerID, _ addresses: [Multiaddr]) {
        self.peer = peer
        self.addresses = addresses
    }

    /// Nil for anything else. Addresses of kinds that this build does not know are left out.
    init?(decoding bytes: Bytes) {
        do {
            var peer: PeerID?
            var addresses: [Multiaddr] = []
            var seen = 0
            var reader = ProtobufReader(bytes.span)
            while let field = try reader.next() {
                switch field.number {
                case 1: peer = try PeerID(bytes: bytes[try field.range()])
                case 2:
                    seen += 1
                    guard seen <= RendezvousLimits.unsignedAddresses else { return nil }
                    do { addresses.append(try Multiaddr(bytes: bytes[try field.range()])) } catch is MultiaddrError { continue }
                default: return nil
                }
            }
            guard let peer else { return nil }
            self.init(peer, addresses)
        } catch { return nil }
    }
}
