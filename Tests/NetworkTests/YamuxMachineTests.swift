import Testing
import WaggleBase

@testable import WaggleNetwork
@testable import WaggleStack

/// Two machines, or one and hand-made frames; no socket, no clock.
struct YamuxMachineTests {
    let start = YamuxEnd.start

    @Test func aStreamGoesThereAndBack() throws {
        var (alice, bob) = (YamuxEnd(.initiator), YamuxEnd(.responder))
        let id = try alice.open()
        #expect(id == 1)
        alice.machine.send("hello", on: id)
        exchange(&alice, &bob)
        #expect(bob.opened == [1] && bob.received[1] == Array("hello".utf8))
        bob.machine.send("good day", on: 1)
        bob.machine.finish(1)
        exchange(&alice, &bob)
        #expect(alice.received[1] == Array("good day".utf8) && alice.ended == [1] && alice.closed.isEmpty)
        alice.machine.finish(id)
        exchange(&alice, &bob)
        #expect(alice.closed == [1] && bob.closed == [1])
        #expect(alice.machine.streams.isEmpty && bob.machine.streams.isEmpty)
        #expect(alice.machine.unreadTotal == 0 && alice.machine.queuedTotal == 0 && alice.machine.unacknowledged == 0)
        #expect(bob.machine.inboundCount == 0)
    }

    @Test func flagsTravelInFramesOfTheirOwn() throws {
        var alice = YamuxEnd(.initiator)
        let id = try alice.open()
        alice.machine.send("x", on: id)
        alice.machine.finish(id)
        let headers = alice.frames().map(\.header)
        #expect(
            headers == [
                YamuxHeader(.ping, .syn, length: 1), YamuxHeader(.windowUpdate, .syn, stream: 1),
                YamuxHeader(.data, stream: 1, length: 1), YamuxHeader(.windowUpdate, .fin, stream: 1),
            ])
    }

    @Test func theListenerOpensEvenStreams() throws {
        var bob = YamuxEnd(.responder)
        let id2 = try bob.open()
        #expect(id2 == 2)
        let id4 = try bob.open()
        #expect(id4 == 4)
    }

    @Test func inputMayBeCutAnywhere() throws {
        var alice = YamuxEnd(.initiator)
        for index in 0..<3 {
            let id = try alice.open()
            alice.machine.send(pattern(40, seed: UInt64(index)), on: id)
            alice.machine.finish(id)
        }
        let wire = alice.wire(room: 17)
        for cut in 0...wire.count {
            var bob = YamuxEnd(.responder)
            bob.take(wire.prefix(cut))
            bob.take(wire.dropFirst(cut))
            check(bob)
        }
        var bob = YamuxEnd(.responder)
        for index in 0..<wire.count { bob.take(wire[index..<index + 1]) }
        check(bob)

        func check(_ bob: YamuxEnd) {
            #expect(bob.opened == [1, 3, 5] && bob.ended == [1, 3, 5] && bob.violation == nil)
            for index in 0..<3 { #expect(bob.received[UInt32(2 * index + 1)] == pattern(40, seed: UInt64(index)).array) }
        }
    }

    @Test func payloadIsDeliveredInPlace() {
        var bob = YamuxEnd(.responder)
        bob.take(yamuxFrame(.windowUpdate, .syn, stream: 1))
        let wire = yamuxFrame(.data, stream: 1, pattern(100).array)
        bob.machine.receive(wire, at: start)
        guard case .data(_, let bytes) = bob.machine.events.popFirst() else { return #expect(Bool(false)) }
        bytes.withUnsafeBytes { part in wire.withUnsafeBytes { whole in #expect(part.baseAddress == whole.baseAddress.map { $0 + 12 }) } }
    }

    @Test func aStreamMayOpenWithDataOrWithAWindow() {
        var bob = YamuxEnd(.responder)
        bob.take(yamuxFrame(.data, .syn, stream: 1, Array("first".utf8)))
        bob.take(yamuxFrame(.windowUpdate, .syn, stream: 3, length: 1000))
        bob.take(yamuxFrame(.data, [.syn, .fin], stream: 5, Array("all".utf8)))
        #expect(bob.opened == [1, 3, 5] && bob.received[1] == Array("first".utf8) && bob.received[5] == Array("all".utf8))
        #expect(bob.ended == [5])
        #expect(bob.machine.streams[3]?.sendWindow == YamuxLimits.initialWindow + 1000)
        // The acknowledgement goes out with the first thing that is sent.
        #expect(bob.frames().map(\.header.kind) == [.ping])
        bob.machine.send("answer", on: 3)
        #expect(bob.frames().map(\.header) == [YamuxHeader(.windowUpdate, .ack, stream: 3), YamuxHeader(.data, stream: 3, length: 6)])
    }

    @Test func aWriterStopsAtTheWindow() throws {
        var (alice, bob) = (YamuxEnd(.initiator), YamuxEnd(.responder))
        bob.consumes = false
        let id = try alice.open()
        alice.machine.send(pattern(1 << 20), on: id)
        exchange(&alice, &bob)
        #expect(bob.received[1]?.count == YamuxLimits.initialWindow)
        #expect(alice.machine.queuedTotal == (1 << 20) - YamuxLimits.initialWindow)
        // Less than half of the window is not worth a frame.
        bob.machine.consumed(YamuxLimits.initialWindow / 2 - 1, on: 1, at: start)
        exchange(&alice, &bob)
        #expect(bob.received[1]?.count == YamuxLimits.initialWindow)
        bob.machine.consumed(1, on: 1, at: start + .seconds(1))
        exchange(&alice, &bob)
        #expect(bob.received[1]?.count == YamuxLimits.initialWindow * 3 / 2)
        bob.consumes = true
        bob.machine.consumed(.max, on: 1, at: start)
        exchange(&alice, &bob)
        #expect(bob.received[1] == pattern(1 << 20).array && bob.machine.unreadTotal == 0)
    }

    @Test func windowsGrowWithTheRoundTripAndWithinTheBudget() throws {
        var (alice, bob) = (YamuxEnd(.initiator), YamuxEnd(.responder))
        alice.take(bob.wire())
        let now = start + .milliseconds(10)
        bob.take(alice.wire(), at: now)
        #expect(bob.machine.smoothed == .milliseconds(10))
        bob.records = false
        let mebibyte = pattern(1 << 20)
        let first = try alice.open(at: now)
        for _ in 0..<24 {
            alice.machine.send(mebibyte, on: first)
            exchange(&alice, &bob, at: now)
        }
        #expect(bob.machine.streams[first]?.window == YamuxLimits.largestWindow)
        let ids = try (0..<4).map { _ in try alice.open(at: now) }
        for _ in 0..<24 {
            for id in ids { alice.machine.send(mebibyte, on: id) }
            exchange(&alice, &bob, at: now)
        }
        let windows = bob.machine.streams.values.map(\.window)
        #expect(bob.machine.grown == windows.reduce(0) { $0 + $1 - YamuxLimits.initialWindow })
        #expect(bob.machine.grown <= YamuxLimits.windowBudget)
        // The budget comes back with the streams.
        for id in [first] + ids { bob.machine.reset(id, code: 0) }
        #expect(bob.machine.grown == 0)
    }

    @Test func windowsStayWhereTheReaderIsSlow() throws {
        var (alice, bob) = (YamuxEnd(.initiator), YamuxEnd(.responder))
        exchange(&alice, &bob)
        let id = try alice.open()
        alice.machine.send(pattern(4 << 20), on: id)
        bob.consumes = false
        var now = start
        for _ in 0..<30 {
            exchange(&alice, &bob, at: now)
            now = now + .seconds(1)
            bob.machine.consumed(128 << 10, on: id, at: now)
        }
        #expect(bob.machine.streams[id]?.window == YamuxLimits.initialWindow)
    }

    @Test func streamsTakeTurns() throws {
        var (alice, bob) = (YamuxEnd(.initiator), YamuxEnd(.responder))
        let ids = try (0..<5).map { _ in try alice.open() }
        for id in ids { alice.machine.send(pattern(100_000), on: id) }
        let order = alice.frames(room: 10_000).filter { $0.header.kind == .data }.map(\.header.stream)
        #expect(order == (0..<10).flatMap { _ in ids })
        exchange(&alice, &bob)
    }

    @Test func smallWritesShareAFrame() throws {
        var (alice, bob) = (YamuxEnd(.initiator), YamuxEnd(.responder))
        let id = try alice.open()
        for index in 0..<1000 { alice.machine.send(Bytes([UInt8(truncatingIfNeeded: index)]), on: id) }
        #expect(alice.machine.queuedTotal == 1000)
        let data = alice.frames().filter { $0.header.kind == .data }
        #expect(data.count < 8)
        var writer = ByteWriter()
        writer.write(YamuxHeader(.windowUpdate, .syn, stream: 1))
        for frame in data { writer.write(frame) }
        bob.take(writer.finish())
        #expect(bob.received[1] == (0..<1000).map { UInt8(truncatingIfNeeded: $0) })
    }

    @Test func aWriterHearsWhenItsQueueHasFallen() throws {
        var (alice, bob) = (YamuxEnd(.initiator), YamuxEnd(.responder))
        let id = try alice.open()
        alice.machine.send(pattern(200_000), on: id)
        alice.machine.notifyWritable(id, below: 100_000)
        _ = alice.machine.nextFrame(room: 1000, at: start)
        #expect(alice.writable.isEmpty)
        exchange(&alice, &bob)
        #expect(alice.writable == [id])
    }

    // MARK: Ends

    @Test func resetsCarryTheirCode() throws {
        var (alice, bob) = (YamuxEnd(.initiator), YamuxEnd(.responder))
        let id = try alice.open()
        exchange(&alice, &bob)
        alice.machine.send(pattern(1000), on: id)
        alice.machine.reset(id, code: 0x1004)
        exchange(&alice, &bob)
        #expect(bob.resets == [1: 0x1004] && bob.received.isEmpty)
        #expect(alice.machine.streams.isEmpty && bob.machine.streams.isEmpty && alice.machine.queuedTotal == 0)
        // One that the remote never heard of vanishes.
        let other = try alice.open()
        alice.machine.reset(other, code: 1)
        #expect(alice.frames().isEmpty)
        // Older implementations reset with an empty data frame.
        bob.take(yamuxFrame(.data, .syn, stream: 5))
        bob.take(yamuxFrame(.data, .rst, stream: 5))
        #expect(bob.resets[5] == 0)
    }

    @Test func lateFramesOfAResetStreamAreThrownAway() throws {
        var bob = YamuxEnd(.responder)
        bob.take(yamuxFrame(.windowUpdate, .syn, stream: 1))
        bob.machine.reset(1, code: 0)
        bob.take(yamuxFrame(.data, stream: 1, pattern(50_000).array))
        bob.take(yamuxFrame(.windowUpdate, stream: 1, length: 77))
        bob.take(yamuxFrame(.windowUpdate, .fin, stream: 1))
        bob.take(yamuxFrame(.windowUpdate, .rst, stream: 1))
        bob.take(yamuxFrame(.data, .syn, stream: 3, Array("next".utf8)))
        #expect(bob.violation == nil && bob.received[1] == nil && bob.received[3] == Array("next".utf8))
        #expect(bob.machine.unreadTotal == 0)
    }

    @Test func aResetInTheMiddleOfAFrame() {
        var bob = YamuxEnd(.responder)
        bob.take(yamuxFrame(.windowUpdate, .syn, stream: 1))
        let frame = yamuxFrame(.data, .fin, stream: 1, pattern(100).array)
        bob.take(frame.prefix(50))
        bob.machine.reset(1, code: 0)
        bob.take(frame.dropFirst(50))
        bob.take(yamuxFrame(.data, .syn, stream: 3, [1]))
        #expect(bob.received[1]?.count == 38 && bob.ended.isEmpty && bob.received[3] == [1] && bob.violation == nil)
    }

    @Test func theFarewellComesLast() throws {
        var (alice, bob) = (YamuxEnd(.initiator), YamuxEnd(.responder))
        let id = try alice.open()
        alice.machine.send(pattern(1000), on: id)
        alice.machine.finish(id)
        alice.machine.goAway(code: 0x1006)
        #expect(alice.machine.opening == .never)
        #expect(throws: StreamError.self) { try alice.open() }
        #expect(alice.frames().last?.header == YamuxHeader(.goAway, length: 0x1006))
        bob.take(yamuxFrame(.goAway, length: 5))
        #expect(bob.farewells == [5] && bob.machine.opening == .never)
        // Who has said farewell takes no streams.
        alice.take(yamuxFrame(.windowUpdate, .syn, stream: 2))
        #expect(alice.opened.isEmpty && alice.frames().map(\.header.flags) == [.rst])
    }

    @Test func aStoppedReaderDoesNotStopTheRemote() throws {
        var (alice, bob) = (YamuxEnd(.initiator), YamuxEnd(.responder))
        bob.consumes = false
        let id = try alice.open()
        alice.machine.send(pattern(700_000), on: id)
        exchange(&alice, &bob)
        #expect(bob.machine.unreadTotal == YamuxLimits.initialWindow)
        bob.machine.stop(id, code: 9, at: start)
        #expect(bob.machine.unreadTotal == 0)
        exchange(&alice, &bob)
        #expect(alice.machine.queuedTotal == 0 && alice.resets.isEmpty)
        // But not without end.
        alice.machine.send(pattern(2 << 20), on: id)
        exchange(&alice, &bob)
        #expect(alice.resets == [id: 9] && bob.resets == [id: 9] && bob.machine.streams.isEmpty)
    }

    // MARK: Time

    @Test func silenceEndsTheSession() {
        var alice = YamuxEnd(.initiator)
        _ = alice.wire()
        #expect(alice.machine.deadline == start + YamuxLimits.pingTimeout)
        alice.machine.tick(at: start + .seconds(19))
        alice.drain()
        #expect(!alice.timedOut)
        // Anything that arrives shows that the remote is there.
        alice.take(yamuxFrame(.ping, .syn, length: 3), at: start + .seconds(19))
        alice.machine.tick(at: start + .seconds(20))
        alice.drain()
        #expect(!alice.timedOut && alice.machine.deadline == start + .seconds(39))
        alice.machine.tick(at: start + .seconds(39))
        alice.drain()
        #expect(alice.timedOut && alice.machine.deadline == nil)
    }

    @Test func pingsMeasureAndKeepAlive() {
        var (alice, bob) = (YamuxEnd(.initiator), YamuxEnd(.responder))
        let ping = alice.wire()
        bob.take(ping, at: start)
        alice.take(bob.wire(at: start), at: start + .milliseconds(20))
        #expect(alice.machine.smoothed == .milliseconds(20))
        let next = start + YamuxLimits.keepAlive
        #expect(alice.machine.deadline == next)
        alice.machine.tick(at: next)
        #expect(alice.frames(at: next).map(\.header) == [
            YamuxHeader(.ping, .ack, length: 1), YamuxHeader(.ping, .syn, length: 2),
        ])
        // A slower answer moves the estimate a little, a faster one at once.
        alice.take(yamuxFrame(.ping, .ack, length: 2), at: next + .milliseconds(100))
        #expect(alice.machine.smoothed == .milliseconds(30))
        alice.machine.tick(at: next + YamuxLimits.keepAlive)
        _ = alice.frames(at: next + YamuxLimits.keepAlive)
        alice.take(yamuxFrame(.ping, .ack, length: 3), at: next + YamuxLimits.keepAlive + .milliseconds(10))
        #expect(alice.machine.smoothed == .milliseconds(10))
    }
}
