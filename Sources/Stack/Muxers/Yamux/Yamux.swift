import WaggleBase
import WaggleNetwork

/// yamux 1.0, the muxer of libp2p's byte-stream transports.
///
/// `YamuxMachine` is the session, `YamuxHeader` the wire format, `YamuxStream` what is known of a stream, `YamuxLimits` the bounds.
public struct Yamux: Muxer {
    public init() {}

    package var protocolID: ProtocolID { "/yamux/1.0.0" }

    package func makeSession(_ parameters: MuxerParameters) -> any MuxerSession { YamuxSession(parameters) }
}

/// The machine behind the class that connections know.
final class YamuxSession: MuxerSession {
    private var machine: YamuxMachine

    init(_ parameters: MuxerParameters) { machine = YamuxMachine(parameters) }

    var maximumHeader: Int { YamuxHeader.size }
    var deadline: Instant? { machine.deadline }
    var roundTrip: Duration? { machine.smoothed }
    var hasFrames: Bool { machine.hasFrames }
    var queuedBytes: Int { machine.queuedTotal }
    var unreadBytes: Int { machine.unreadTotal }

    var mayGrowWindows: Bool {
        get { machine.mayGrow }
        set { machine.mayGrow = newValue }
    }

    var opening: MuxerOpening {
        let opening = machine.opening
        if opening == .later { machine.wantsOpening = true }
        return opening
    }

    func receive(_ plaintext: Bytes, at now: Instant) { machine.receive(plaintext, at: now) }
    func tick(at now: Instant) { machine.tick(at: now) }
    func nextEvent() -> MuxerEvent? { machine.events.popFirst() }

    func nextFrame(header: UnsafeMutableRawPointer, maximumPayload: Int, at now: Instant) -> MuxerFrame? {
        guard let frame = machine.nextFrame(room: maximumPayload, at: now) else { return nil }
        frame.header.write(to: header)
        return MuxerFrame(headerLength: YamuxHeader.size, payload: frame.payload)
    }

    func openStream(at now: Instant) -> UInt64? { machine.openStream(at: now).map(UInt64.init) }
    func send(_ bytes: Bytes, on stream: UInt64) { machine.send(bytes, on: id(stream)) }
    func queuedBytes(on stream: UInt64) -> Int { machine.streams[id(stream)]?.queue.count ?? 0 }
    func notifyWritable(_ stream: UInt64, below mark: Int) { machine.notifyWritable(id(stream), below: mark) }
    func finish(_ stream: UInt64) { machine.finish(id(stream)) }
    func reset(_ stream: UInt64, code: UInt32) { machine.reset(id(stream), code: code) }
    func stop(_ stream: UInt64, code: UInt32, at now: Instant) { machine.stop(id(stream), code: code, at: now) }
    func consumed(_ count: Int, on stream: UInt64, at now: Instant) { machine.consumed(count, on: id(stream), at: now) }
    func goAway(code: UInt32) { machine.goAway(code: code) }

    // Ids come from this session, so they fit.
    private func id(_ stream: UInt64) -> UInt32 { UInt32(truncatingIfNeeded: stream) }
}
