import WaggleBase
import WaggleFormats
import WaggleNetwork

/// What peers tell each other about themselves.
///
/// Wire: protobuf `Identify { bytes publicKey = 1; repeated bytes listenAddrs = 2; repeated string protocols = 3; bytes observedAddr = 4;
/// string protocolVersion = 5; string agentVersion = 6; bytes signedPeerRecord = 8; }`, in one or more frames, each with an unsigned varint
/// of its length in front, whose fields are merged. Spec: libp2p identify, section "The Identify Message".
struct IdentifyMessage: Equatable {
    var publicKey: Bytes?
    var listenAddresses: [Multiaddr]?
    var protocols: [ProtocolID]?
    var observedAddress: Multiaddr?
    var protocolVersion: String?
    var agentVersion: String?
    var signedRecord: Bytes?
    /// Addresses seen, usable or not, so that a flood of unusable ones ends too.
    private var addressesSeen = 0
    private var protocolsSeen = 0

    init() {}

    /// Adds the fields of one frame. Addresses of an unknown kind, and what is beyond the limits, are left out.
    mutating func merge(_ frame: Bytes) throws(ProtobufError) {
        var reader = ProtobufReader(frame.span)
        while let field = try reader.next() {
            switch field.number {
            case 1: publicKey = frame[try field.range()].compacted()
            case 2:
                let bytes = frame[try field.range()]
                addressesSeen += 1
                guard addressesSeen <= IdentifyLimits.addresses else { continue }
                listenAddresses = listenAddresses ?? []
                if let address = IdentifyMessage.address(bytes) { listenAddresses?.append(address) }
            case 3:
                protocolsSeen += 1
                guard protocolsSeen <= IdentifyLimits.protocols, try field.bytes().byteCount <= IdentifyLimits.protocolName else { continue }
                protocols = protocols ?? []
                protocols?.append(ProtocolID(try field.string()))
            case 4: observedAddress = IdentifyMessage.address(frame[try field.range()])
            case 5: protocolVersion = IdentifyMessage.cut(try field.string())
            case 6: agentVersion = IdentifyMessage.cut(try field.string())
            case 8: signedRecord = frame[try field.range()].compacted()
            default: break
            }
        }
    }

    private static func address(_ bytes: Bytes) -> Multiaddr? {
        do { return try Multiaddr(bytes: bytes) } catch { return nil }
    }

    private static func cut(_ text: String) -> String {
        guard text.utf8.count > IdentifyLimits.version else { return text }
        var text = text
        while text.utf8.count > IdentifyLimits.version { text.removeLast() }
        return text
    }

    /// The frames to send, without their lengths. The record comes last, because some readers only take the first frame.
    var frames: [Bytes] {
        var frames: [Bytes] = []
        var current = ProtobufWriter(capacity: 1024)
        for piece in pieces() {
            if current.count > 0, current.count + piece.count > IdentifyLimits.writtenFrame.bytes {
                frames.append(current.finish())
                current = ProtobufWriter(capacity: 1024)
            }
            current.raw(piece)
        }
        frames.append(current.finish())
        return Array(frames.prefix(IdentifyLimits.frames))
    }

    private func pieces() -> [Bytes] {
        func field(_ write: (inout ProtobufWriter) -> Void) -> Bytes {
            var writer = ProtobufWriter(capacity: 128)
            write(&writer)
            return writer.finish()
        }
        var pieces: [Bytes] = []
        if let publicKey { pieces.append(field { $0.write(1, publicKey) }) }
        if let protocolVersion { pieces.append(field { $0.write(5, protocolVersion) }) }
        if let agentVersion { pieces.append(field { $0.write(6, agentVersion) }) }
        if let observedAddress { pieces.append(field { $0.write(4, observedAddress.bytes) }) }
        for name in protocols ?? [] { pieces.append(field { $0.write(3, name.text) }) }
        for address in listenAddresses ?? [] { pieces.append(field { $0.write(2, address.bytes) }) }
        if let signedRecord { pieces.append(field { $0.write(8, signedRecord) }) }
        return pieces
    }
}
