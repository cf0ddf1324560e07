import WaggleBase
import WaggleCryptography
import WaggleFormats
@testable import WaggleNetwork
@testable import WaggleServices

private let start = Instant(nanoseconds: 1_000_000_000)

private let names: [PeerID] = (0..<4 as Range<UInt8>).compactMap { number in
    attempt { try PeerID(bytes: Bytes([0x12, 0x20] + [UInt8](repeating: number, count: 32))) }
}

let pubsubTargets: [(name: String, run: @Sendable (Bytes) -> Void)] = [
    ("pubsub-frames", { bytes in
        // However it is cut, the same RPCs come out.
        let whole = GossipCodec.cut(bytes, piece: max(1, bytes.count))
        for piece in [1, 3, 64] { precondition(GossipCodec.cut(bytes, piece: piece) == whole || whole == nil) }
    }),
    ("pubsub-message", { bytes in
        _ = attempt { try GossipCodec.decode(bytes) }
        var field = ProtobufWriter()
        field.write(2, bytes)
        let whole = field.finish()
        guard let message = attempt({ try GossipMessage(whole, whole.count - bytes.count..<whole.count) }) else { return }
        precondition(message.body == bytes && message.compacted().body == bytes)
        _ = AuthorKeys().isGenuine(message)
    }),
    ("pubsub-machine", { bytes in
        var cutter = Cutter(bytes)
        var now = start
        var machine = GossipMachine(
            local: names[3], parameters: GossipParameters(), policy: .authorOnly, rule: .authorAndSequence, seed: 1, now: now)
        machine.handle(.joined("t", TopicConfiguration()), at: now)
        for number in 0..<3 as Range<UInt32> {
            machine.handle(.connected(number, names[Int(number)], GossipTraits(version: .v13, isOutbound: number == 0, ip: nil)), at: now)
        }
        var turn: UInt32 = 0
        while let piece = cutter.next() {
            machine.handle(.received(turn % 3, piece), at: now)
            if turn % 7 == 6 {
                now = now + .seconds(1)
                machine.handle(.tick, at: now)
            }
            while let output = machine.next() { if case .validate(let ticket, _, _) = output { machine.handle(.verdict(ticket, .accept), at: now) } }
            while !machine.take(for: turn % 3).isEmpty {}
            turn += 1
        }
    }),
]
