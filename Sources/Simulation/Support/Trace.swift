import WaggleBase

/// What happened in a world, as a running digest and, if asked for, as lines of text.
///
/// Every timer, connection attempt, segment, reset, commit and fault goes in with its time, so two runs that differ anywhere
/// differ here.
public struct Trace: Equatable, Sendable, CustomStringConvertible {
    /// Digest of all events so far.
    public private(set) var hash: UInt64 = 0
    /// Number of events so far.
    public private(set) var count = 0
    /// One line an event, when the world's options ask for lines.
    public private(set) var lines: [String] = []

    private let keepsLines: Bool
    private var digest = Digest()

    init(keepsLines: Bool) { self.keepsLines = keepsLines }

    public static func == (left: Trace, right: Trace) -> Bool { left.hash == right.hash && left.count == right.count }

    public var description: String { "\(count) events, digest \(String(hash, radix: 16))" }

    mutating func note(_ now: Instant, _ event: Event) {
        digest.mix(now.nanoseconds)
        event.mix(into: &digest)
        hash = digest.value
        count += 1
        if keepsLines, let text = event.text { lines.append("\(now.nanoseconds / 1000) µs: \(text)") }
    }

    enum Event {
        case timer
        case connecting(from: SocketAddress, to: SocketAddress)
        case connected(from: SocketAddress, to: SocketAddress)
        case failed(from: SocketAddress, to: SocketAddress)
        case segment(from: SocketAddress, to: SocketAddress, Bytes)
        case finished(from: SocketAddress, to: SocketAddress)
        case reset(from: SocketAddress, to: SocketAddress)
        case held(from: SocketAddress, to: SocketAddress)
        case commit(host: String, writes: Int, durable: Bool)
        case fault(String)
        case datagram(from: SocketAddress, to: SocketAddress, Bytes)

        func mix(into digest: inout Digest) {
            switch self {
            case .timer: digest.mix(1)
            case .connecting(let from, let to): Self.mix(2, from, to, &digest)
            case .connected(let from, let to): Self.mix(3, from, to, &digest)
            case .failed(let from, let to): Self.mix(4, from, to, &digest)
            case .segment(let from, let to, let bytes):
                Self.mix(5, from, to, &digest)
                bytes.withUnsafeBytes { digest.mix($0) }
            case .finished(let from, let to): Self.mix(6, from, to, &digest)
            case .reset(let from, let to): Self.mix(7, from, to, &digest)
            case .held(let from, let to): Self.mix(8, from, to, &digest)
            case .commit(_, let writes, let durable): digest.mix(9 | UInt64(writes) << 8 | (durable ? 1 << 63 : 0))
            case .fault(let text):
                digest.mix(10)
                for byte in text.utf8 { digest.mix(UInt64(byte)) }
            case .datagram(let from, let to, let bytes):
                Self.mix(11, from, to, &digest)
                bytes.withUnsafeBytes { digest.mix($0) }
            }
        }

        private static func mix(_ kind: UInt64, _ from: SocketAddress, _ to: SocketAddress, _ digest: inout Digest) {
            digest.mix(kind << 32 | UInt64(from.port) << 16 | UInt64(to.port))
            for address in [from.ip, to.ip] {
                switch address {
                case .v4(let value): digest.mix(UInt64(value))
                case .v6(let high, let low, _):
                    digest.mix(high)
                    digest.mix(low)
                }
            }
        }

        var text: String? {
            switch self {
            case .timer: nil
            case .connecting(let from, let to): "\(from.text) dials \(to.text)"
            case .connected(let from, let to): "\(from.text) connected to \(to.text)"
            case .failed(let from, let to): "\(from.text) failed to reach \(to.text)"
            case .segment(let from, let to, let bytes): "\(from.text) -> \(to.text) \(bytes.count) bytes"
            case .finished(let from, let to): "\(from.text) -> \(to.text) end"
            case .reset(let from, let to): "\(from.text) -> \(to.text) reset"
            case .held(let from, let to): "\(from.text) -> \(to.text) lost, will be sent again"
            case .commit(let host, let writes, let durable): "\(host) commits \(writes) writes\(durable ? ", durable" : "")"
            case .fault(let text): text
            case .datagram(let from, let to, let bytes): "\(from.text) -> \(to.text) datagram of \(bytes.count) bytes"
            }
        }
    }
}

extension SocketAddress {
    var text: String {
        switch ip {
        case .v4(let value): "\(value >> 24).\(value >> 16 & 255).\(value >> 8 & 255).\(value & 255):\(port)"
        case .v6(let high, let low, _): "[\(String(high, radix: 16))/\(String(low, radix: 16))]:\(port)"
        }
    }
}
