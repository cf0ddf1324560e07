import Testing
import WaggleBase

@testable import WaggleNetwork
@testable import WaggleStack

/// What broke other implementations, and every limit that a remote can reach.
struct YamuxAdvisoryTests {
    let start = YamuxEnd.start

    private func opened() -> YamuxEnd {
        var bob = YamuxEnd(.responder)
        bob.take(yamuxFrame(.windowUpdate, .syn, stream: 1))
        _ = bob.wire()
        return bob
    }

    private func expectCutOff(_ bob: inout YamuxEnd, _ violation: MuxerViolation, _ comment: Comment? = nil) {
        #expect(bob.violation == violation, comment)
        #expect(bob.frames().map(\.header) == [YamuxHeader(.goAway, length: 1)], comment)
        // Nothing has an effect afterwards.
        bob.take(yamuxFrame(.windowUpdate, .syn, stream: 9))
        #expect(!bob.opened.contains(9) && bob.frames().isEmpty && bob.machine.deadline == nil, comment)
    }

    @Test func unknownVersionsAndTypes() {
        for bytes: Bytes in [
            Bytes([1, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 0]), Bytes([0, 4, 0, 1, 0, 0, 0, 1, 0, 0, 0, 0]), Bytes([UInt8](repeating: 0xff, count: 12)),
        ] {
            var bob = opened()
            bob.take(bytes)
            expectCutOff(&bob, .malformed)
        }
    }

    @Test func dataBeyondTheWindow() {
        var bob = opened()
        bob.consumes = false
        for _ in 0..<4 { bob.take(yamuxFrame(.data, stream: 1, pattern(64 << 10).array)) }
        #expect(bob.violation == nil)
        bob.take(yamuxFrame(.data, stream: 1, [0]))
        expectCutOff(&bob, .window)
        // The length alone is enough; nothing waits for the payload.
        var other = opened()
        other.take(yamuxFrame(.data, stream: 1, length: .max))
        expectCutOff(&other, .window)
    }

    @Test func oversizedFirstFrame() {
        for length in [UInt32(262_145), .max] {
            var bob = opened()
            bob.take(yamuxFrame(.data, .syn, stream: 3, length: length))
            #expect(bob.machine.streams[3] == nil && !bob.opened.contains(3))
            expectCutOff(&bob, .window)
        }
        var bob = opened()
        bob.take(yamuxFrame(.data, .syn, stream: 3, pattern(262_144).array))
        #expect(bob.received[3]?.count == 262_144 && bob.violation == nil)
    }

    @Test func windowOverflow() {
        var bob = opened()
        bob.take(yamuxFrame(.windowUpdate, stream: 1, length: .max - 262_144))
        #expect(bob.violation == nil && bob.machine.streams[1]?.sendWindow == Int(UInt32.max))
        bob.take(yamuxFrame(.windowUpdate, stream: 1, length: 1))
        expectCutOff(&bob, .window)
        var other = opened()
        other.take(yamuxFrame(.windowUpdate, .syn, stream: 3, length: .max))
        expectCutOff(&other, .window)
    }

    @Test func streamsThatAreNotTheirs() {
        for (flags, id) in [(YamuxFlags.syn, UInt32(0)), (.syn, 2), (.syn, 1), ([], 0), ([], 2), (.fin, 4), (.rst, 6)] {
            var bob = opened()
            bob.take(yamuxFrame(.windowUpdate, flags, stream: id))
            expectCutOff(&bob, .badStream, "\(flags) on \(id)")
        }
    }

    @Test func dataAfterTheEnd() {
        var bob = opened()
        bob.take(yamuxFrame(.windowUpdate, .fin, stream: 1))
        bob.take(yamuxFrame(.windowUpdate, .fin, stream: 1))
        #expect(bob.violation == nil)
        bob.take(yamuxFrame(.data, stream: 1, [1]))
        expectCutOff(&bob, .dataAfterEnd)
    }

    @Test func pingFlood() {
        var bob = opened()
        for value in 0..<100 { bob.take(yamuxFrame(.ping, .syn, length: UInt32(value))) }
        // A bounded number of answers waits, however many pings came.
        #expect(bob.machine.control.count == YamuxLimits.pongs)
        #expect(bob.frames().map(\.header.length) == (0..<UInt32(YamuxLimits.pongs)).map { $0 })
        for value in 0..<YamuxLimits.idleFrames where bob.violation == nil {
            bob.take(yamuxFrame(.ping, .syn, length: UInt32(value)))
            _ = bob.frames()
        }
        #expect(bob.violation == .flood)
    }

    @Test func patienceComesBack() {
        var bob = opened()
        var now = start
        for _ in 0..<100 {
            for _ in 0..<YamuxLimits.idleFramesPerSecond { bob.take(yamuxFrame(.ping, .ack, length: 77), at: now) }
            now = now + .milliseconds(1001)
        }
        #expect(bob.violation == nil)
    }

    @Test func emptyFrameFloods() {
        let frames = [
            yamuxFrame(.data, stream: 1), yamuxFrame(.windowUpdate, stream: 1), yamuxFrame(.data, stream: 99, [1]),
            yamuxFrame(.ping, .ack), yamuxFrame(.windowUpdate, .rst, stream: 99), yamuxFrame(.goAway),
        ]
        for frame in frames {
            var bob = opened()
            if frame == yamuxFrame(.goAway) { bob.take(frame) }
            for _ in 0...YamuxLimits.idleFrames { bob.take(frame) }
            #expect(bob.violation == .flood)
        }
    }

    @Test func payloadInSinglesIsNotAFlood() {
        var bob = opened()
        for _ in 0..<3 * YamuxLimits.idleFrames { bob.take(yamuxFrame(.data, stream: 1, [7])) }
        #expect(bob.violation == nil && bob.received[1]?.count == 3 * YamuxLimits.idleFrames)
    }

    @Test func tooManyInboundStreams() {
        var bob = YamuxEnd(.responder, inbound: 10)
        for index in 0..<12 { bob.take(yamuxFrame(.windowUpdate, .syn, stream: UInt32(2 * index + 1))) }
        #expect(bob.opened.count == 10)
        #expect(
            bob.frames().dropFirst().map(\.header) == [21, 23].map { YamuxHeader(.windowUpdate, .rst, stream: $0, length: 0x1002) })
        // The payload of a refused stream is thrown away.
        bob.take(yamuxFrame(.data, .syn, stream: 25, [1, 2, 3]))
        bob.take(yamuxFrame(.data, stream: 25, [4, 5, 6]))
        bob.machine.reset(1, code: 0)
        bob.take(yamuxFrame(.data, .syn, stream: 27, [8]))
        #expect(bob.received == [27: [8]] && bob.violation == nil)
    }

    @Test func theBacklogIsBounded() throws {
        var (alice, bob) = (YamuxEnd(.initiator), YamuxEnd(.responder))
        for _ in 0..<YamuxLimits.unacknowledged { _ = try alice.open() }
        #expect(alice.machine.opening == .later)
        #expect(throws: StreamError.self) { try alice.open() }
        exchange(&alice, &bob)
        #expect(bob.opened.count == YamuxLimits.unacknowledged && alice.openable == 0)
        // A remote that does not keep to it is served all the same.
        bob.take(yamuxFrame(.windowUpdate, .syn, stream: 1001))
        #expect(bob.opened.contains(1001) && bob.frames().isEmpty)
        bob.machine.send("x", on: 1)
        exchange(&alice, &bob)
        #expect(alice.openable == 1 && alice.machine.opening == .possible)
        // A refusal frees a place, too.
        bob.machine.reset(3, code: 0)
        exchange(&alice, &bob)
        #expect(alice.machine.unacknowledged == YamuxLimits.unacknowledged - 2)
    }

    @Test func openingAndResettingWithoutReading() {
        var bob = YamuxEnd(.responder)
        _ = bob.wire()
        var id: UInt32 = 1
        for _ in 0..<200_000 where bob.violation == nil {
            bob.take(yamuxFrame(.windowUpdate, .syn, stream: id))
            bob.take(yamuxFrame(.windowUpdate, .rst, stream: id))
            id += 2
        }
        #expect(bob.machine.touched.count < 1000 && bob.machine.ready.count < 1000 && bob.machine.control.count < 1000)
        // When every opening makes us owe a reset, the remote has to read them.
        for _ in 0..<YamuxLimits.pendingControl + 1 where bob.violation == nil {
            bob.take(yamuxFrame(.windowUpdate, .syn, stream: id))
            bob.machine.reset(id, code: 1)
            bob.drain()
            id += 2
        }
        #expect(bob.violation == .flood)
    }

    @Test func unreadPayloadIsBounded() {
        var bob = YamuxEnd(.responder, unread: 600_000)
        bob.consumes = false
        for id in [UInt32(1), 3, 5] {
            bob.take(yamuxFrame(.windowUpdate, .syn, stream: id))
            for _ in 0..<4 { bob.take(yamuxFrame(.data, stream: id, pattern(64 << 10).array)) }
        }
        #expect(bob.refused == [5] && bob.machine.unreadTotal == 2 * YamuxLimits.initialWindow)
        #expect(bob.frames().last?.header == YamuxHeader(.windowUpdate, .rst, stream: 5, length: 0x1002))
    }

    // MARK: Fuzz

    @Test(arguments: 0..<40) func anyBytes(seed: UInt64) {
        var random = TestRandom(seed: seed)
        var bob = YamuxEnd(seed % 2 == 0 ? .responder : .initiator)
        for _ in 0..<300 {
            bob.take(pattern(Int.random(in: 0..<60, using: &random), seed: random.next()))
            _ = bob.frames(room: Int.random(in: 1..<1000, using: &random))
        }
    }

    /// Frames that are almost right, in any order, with commands in between.
    @Test(arguments: 0..<60) func anyFrames(seed: UInt64) {
        var random = TestRandom(seed: seed)
        for _ in 0..<20 {
            var bob = YamuxEnd(.responder, inbound: 20, unread: 2 << 20)
            bob.consumes = Bool.random(using: &random)
            var now = start
            for _ in 0..<400 {
                let kind = YamuxKind(rawValue: UInt8.random(in: 0..<4, using: &random)) ?? .data
                var flags = YamuxFlags()
                if Int.random(in: 0..<3, using: &random) == 0 { flags.insert(YamuxFlags(rawValue: UInt16.random(in: 0..<16, using: &random))) }
                let stream = UInt32.random(in: 0..<30, using: &random) | 1
                let length: UInt32 = [0, 1, 100, 70_000, .max].randomElement(using: &random) ?? 0
                let payload = kind == .data ? pattern(Int(min(length, 100)), seed: 1).array : []
                let wire = yamuxFrame(kind, flags, stream: kind == .goAway || kind == .ping ? 0 : stream, length: length, payload)
                let cut = Int.random(in: 0...wire.count, using: &random)
                bob.take(wire.prefix(cut), at: now)
                switch Int.random(in: 0..<12, using: &random) {
                case 0: bob.machine.send(pattern(5000), on: stream)
                case 1: bob.machine.finish(stream)
                case 2: bob.machine.reset(stream, code: 4)
                case 3: bob.machine.stop(stream, code: 5, at: now)
                case 4: bob.machine.consumed(Int.random(in: 0..<100_000, using: &random), on: stream, at: now)
                case 5: _ = bob.machine.openStream(at: now)
                case 6: now = now + .milliseconds(Int64.random(in: 0..<30_000, using: &random))
                case 7: bob.machine.tick(at: now)
                case 8: _ = bob.frames(room: Int.random(in: 1..<70_000, using: &random), at: now)
                default: break
                }
                bob.drain(at: now)
                bob.take(wire.dropFirst(cut), at: now)
                check(bob.machine)
            }
        }
    }

    private func check(_ machine: YamuxMachine) {
        let streams = machine.streams.values
        #expect(machine.unreadTotal == streams.reduce(0) { $0 + $1.unread })
        #expect(machine.queuedTotal == streams.reduce(0) { $0 + $1.queue.count })
        #expect(machine.grown == streams.reduce(0) { $0 + $1.window - YamuxLimits.initialWindow })
        #expect(machine.inboundCount == streams.count { !$0.isOutbound } && machine.outboundCount == streams.count { $0.isOutbound })
        #expect(machine.unacknowledged == streams.count { $0.isOutbound && !$0.isAcknowledged })
        for stream in streams {
            #expect(stream.credit >= 0 && stream.unread >= 0 && stream.credit + stream.unread <= stream.window)
            #expect(stream.sendWindow >= 0 && stream.sendWindow <= Int(UInt32.max))
        }
    }

    /// Two machines with everything random: what arrives is what was written.
    @Test(arguments: 0..<20) func anyConversation(seed: UInt64) {
        var random = TestRandom(seed: seed)
        var ends = [YamuxEnd(.initiator), YamuxEnd(.responder)]
        var wires = [Bytes(), Bytes()]
        var written: [[UInt32: [UInt8]]] = [[:], [:]]
        var now = start
        for step in 0..<3000 {
            let side = Int.random(in: 0..<2, using: &random)
            now = now + .microseconds(Int64.random(in: 0..<500, using: &random))
            let ids = ends[side].machine.streams.keys.filter { ends[side].machine.streams[$0]?.isFinishing == false }.sorted()
            switch Int.random(in: 0..<10, using: &random) {
            case 0 where ids.count < 30:
                if let id = ends[side].machine.openStream(at: now) { written[side][id] = [] }
            case 1, 2, 3:
                guard step < 2500, let id = ids.randomElement(using: &random) else { continue }
                let bytes = pattern(Int.random(in: 0..<30_000, using: &random), seed: random.next())
                ends[side].machine.send(bytes, on: id)
                written[side][id, default: []] += bytes.array
            case 4:
                guard let id = ids.randomElement(using: &random) else { continue }
                ends[side].machine.finish(id)
            case 5, 6, 7:
                wires[side] = joined(wires[side], ends[side].wire(room: Int.random(in: 1..<66_000, using: &random), at: now))
            default:
                let count = Int.random(in: 0...wires[side].count, using: &random)
                let part = wires[side].prefix(count)
                wires[side] = wires[side].dropFirst(count)
                ends[1 - side].take(part, at: now)
            }
        }
        for _ in 0..<200 {
            for side in 0..<2 {
                for id in ends[side].machine.streams.keys.sorted() { ends[side].machine.finish(id) }
                ends[1 - side].take(joined(wires[side], ends[side].wire(at: now)), at: now)
                wires[side] = Bytes()
            }
        }
        for side in 0..<2 {
            #expect(ends[side].violation == nil && ends[side].resets.isEmpty && ends[side].machine.streams.isEmpty)
            for (id, bytes) in written[side] where !bytes.isEmpty { #expect(ends[1 - side].received[id] == bytes) }
        }
    }

    private func joined(_ left: Bytes, _ right: Bytes) -> Bytes {
        var writer = ByteWriter(capacity: left.count + right.count)
        writer.write(left)
        writer.write(right)
        return writer.finish()
    }
}
