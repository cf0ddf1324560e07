import WaggleBase
import WaggleCryptography
import WaggleNetwork

/// The REFUSAL of `/animica/1`: why the open hellos do not fit, so that both sides know. It is not authenticated and changes nothing but the
/// words of an error: the connection ends, and no weaker channel is tried.
///
/// Wire: reason (u8) ‖ what the sender has: version (u16), chain id (u64), policy root (32), or nothing.
/// Spec: `docs/specs/animica-channel.md`, section "Refusal".
enum AnimicaRefusal {
    static func frame(_ reason: HandshakeRefusal.Reason, _ channel: AnimicaChannel) -> Bytes {
        var detail = ByteWriter(capacity: 40)
        switch reason {
        case .version: detail.write(integer: AnimicaHello.currentVersion)
        case .chain: detail.write(integer: channel.network.chain)
        case .policy: channel.network.policy.root.withUnsafeBytes { detail.write($0) }
        case .algorithm, .busy: break
        }
        let bytes = detail.finish()
        return Bytes([AnimicaFrame.Kind.refusal.rawValue, 0, UInt8(truncatingIfNeeded: 1 + bytes.count), reason.rawValue] + bytes.array)
    }

    /// The error that the content of a refusal stands for.
    static func read(_ content: RawSpan, _ channel: AnimicaChannel) throws(HandshakeError) -> HandshakeError {
        var reader = ByteReader(content)
        guard let code = reader.byte(), let reason = HandshakeRefusal.Reason(rawValue: code) else { throw .malformed }
        let ours: String
        var theirs = "unknown"
        switch reason {
        case .version:
            ours = "\(AnimicaHello.currentVersion)"
            if let version = reader.integer(UInt16.self) { theirs = "\(version)" }
        case .chain:
            ours = "\(channel.network.chain)"
            if let chain = reader.integer(UInt64.self) { theirs = "\(chain)" }
        case .policy:
            ours = "\(channel.network.policy.root)"
            if let root = reader.take(32) { theirs = "\(Bytes(root))" }
        case .algorithm:
            let policy = channel.network.policy
            ours = names(policy.algorithms.map(\.id))
        case .busy:
            ours = ""
        }
        return .refused(HandshakeRefusal(reason, ours: ours, theirs: theirs, isByPeer: true))
    }

    /// Names of algorithms, numbers where a name is not known.
    static func names(_ ids: [UInt16]) -> String {
        ids.map { id in AlgorithmPolicy.Algorithm.all.first { $0.id == id }?.name ?? "0x" + String(id, radix: 16) }.joined(separator: ", ")
    }
}
