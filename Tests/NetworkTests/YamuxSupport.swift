import WaggleBase

@testable import WaggleNetwork
@testable import WaggleStack

/// A machine and what it told.
struct YamuxEnd {
    var machine: YamuxMachine
    var opened: [UInt32] = []
    var received: [UInt32: [UInt8]] = [:]
    var ended: Set<UInt32> = []
    var closed: Set<UInt32> = []
    var resets: [UInt32: UInt32] = [:]
    var refused: [UInt32] = []
    var writable: [UInt32] = []
    var farewells: [UInt32] = []
    var violation: MuxerViolation?
    var openable = 0
    var timedOut = false
    /// Payload is taken from the window as soon as it arrives.
    var consumes = true
    /// Payload is kept.
    var records = true

    init(_ role: Role, inbound: Int = 1024, outbound: Int = 4096, unread: Int = 64 << 20, at now: Instant = YamuxEnd.start) {
        machine = YamuxMachine(
            MuxerParameters(role: role, inboundStreams: inbound, outboundStreams: outbound, unreadBytes: unread, now: now))
    }

    static let start = Instant(nanoseconds: 1_000_000_000)

    mutating func open(at now: Instant = YamuxEnd.start) throws -> UInt32 {
        guard let id = machine.openStream(at: now) else { throw StreamError.closed }
        return id
    }

    mutating func take(_ bytes: Bytes, at now: Instant = YamuxEnd.start) {
        machine.receive(bytes, at: now)
        drain(at: now)
    }

    mutating func drain(at now: Instant = YamuxEnd.start) {
        while let event = machine.events.popFirst() {
            switch event {
            case .opened(let id): opened.append(UInt32(id))
            case .data(let id, let bytes):
                if records { received[UInt32(id), default: []] += bytes.array }
                if consumes { machine.consumed(bytes.count, on: UInt32(id), at: now) }
            case .finished(let id): ended.insert(UInt32(id))
            case .reset(let id, let code): resets[UInt32(id)] = code
            case .refused(let id): refused.append(UInt32(id))
            case .writable(let id): writable.append(UInt32(id))
            case .closed(let id): closed.insert(UInt32(id))
            case .openable: openable += 1
            case .goAway(let code): farewells.append(code)
            case .violation(let violation): self.violation = violation
            case .timedOut: timedOut = true
            }
        }
    }

    /// Every frame that may be sent now.
    mutating func frames(room: Int = 65_507, at now: Instant = YamuxEnd.start) -> [YamuxFrame] {
        var frames: [YamuxFrame] = []
        while let frame = machine.nextFrame(room: room, at: now) { frames.append(frame) }
        drain(at: now)
        return frames
    }

    /// The same as bytes.
    mutating func wire(room: Int = 65_507, at now: Instant = YamuxEnd.start) -> Bytes {
        var writer = ByteWriter()
        for frame in frames(room: room, at: now) { writer.write(frame) }
        return writer.finish()
    }
}

extension ByteWriter {
    mutating func write(_ frame: YamuxFrame) {
        write(frame.header)
        write(frame.payload)
    }

    mutating func write(_ header: YamuxHeader) {
        var raw = [UInt8](repeating: 0, count: YamuxHeader.size)
        raw.withUnsafeMutableBytes { if let base = $0.baseAddress { header.write(to: base) } }
        write(raw)
    }
}

/// A frame as it travels.
func yamuxFrame(_ kind: YamuxKind, _ flags: YamuxFlags = [], stream: UInt32 = 0, length: UInt32? = nil, _ payload: [UInt8] = []) -> Bytes {
    var writer = ByteWriter()
    writer.write(YamuxHeader(kind, flags, stream: stream, length: length ?? UInt32(payload.count)))
    writer.write(payload)
    return writer.finish()
}

func pattern(_ count: Int, seed: UInt64 = 1) -> Bytes {
    var random = TestRandom(seed: seed)
    return Bytes(count: count) { buffer in
        var index = 0
        while index < count {
            buffer[index] = UInt8(truncatingIfNeeded: random.next())
            index += 1
        }
        return count
    }
}

/// SplitMix64.
struct TestRandom: RandomNumberGenerator {
    var state: UInt64
    init(seed: UInt64) { state = seed }

    mutating func next() -> UInt64 {
        state &+= 0x9e37_79b9_7f4a_7c15
        var value = state
        value = (value ^ (value >> 30)) &* 0xbf58_476d_1ce4_e5b9
        value = (value ^ (value >> 27)) &* 0x94d0_49bb_1331_11eb
        return value ^ (value >> 31)
    }
}

/// Lets two ends talk until neither has anything to say.
func exchange(_ left: inout YamuxEnd, _ right: inout YamuxEnd, at now: Instant = YamuxEnd.start) {
    while true {
        let toRight = left.wire(at: now)
        right.take(toRight, at: now)
        let toLeft = right.wire(at: now)
        left.take(toLeft, at: now)
        if toRight.isEmpty, toLeft.isEmpty { return }
    }
}
