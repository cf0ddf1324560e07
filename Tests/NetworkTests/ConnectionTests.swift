import Synchronization
import Testing
import WaggleBase
import WaggleSimulation

@testable import WaggleNetwork
@testable import WaggleStack

/// Connections on simulated sockets, with segments of any size.
struct ConnectionTests {
    static let echo: StreamHandler = { stream in
        while let bytes = try await stream.read() { try await stream.write(bytes) }
    }

    @Test(arguments: 1...8) func echoes(seed: UInt64) throws {
        try ConnectionPair.run(seed: seed) { pair in
            pair.farRouter.serve("/echo", Self.echo)
            let stream = try await pair.near.openStream(["/echo"])
            #expect(stream.protocolID == "/echo" && stream.direction == .outbound && pair.near.streamCount == 1)
            try await stream.write("hello")
            stream.finish()
            #expect(try await stream.readAll(limit: .kibibytes(1)) == "hello")
            #expect(try await stream.read() == nil)
            try await pair.world.sleep(for: .seconds(1))
            #expect(pair.near.streamCount == 0 && pair.far.streamCount == 0 && pair.farRouter.open == 0)
            #expect(pair.near.roundTrip != nil && pair.far.roundTrip != nil)
        }
    }

    @Test func theSameSeedGivesTheSameCourse() throws {
        func course() throws -> (UInt64, Int) {
            try ConnectionPair.run(seed: 99) { pair in
                pair.farRouter.serve("/echo", Self.echo)
                let stream = try await pair.near.openStream(["/echo"])
                try await stream.write(pattern(300_000))
                stream.finish()
                _ = try await stream.readAll(limit: .mebibytes(1))
                return (pair.world.trace.hash, pair.near.bytesIn)
            }
        }
        let (first, second) = (try course(), try course())
        #expect(first == second)
    }

    @Test func theFirstWriteTravelsWithTheOpening() throws {
        try ConnectionPair.run { pair in
            pair.farRouter.serve("/echo", Self.echo)
            let stream = try await pair.near.openStream(["/echo"])
            try await stream.write("data")
            try await pair.world.sleep(for: .microseconds(1))
            // Ping, SYN, protocol and data share one record.
            #expect((pair.near.records as? TestRecords)?.sealed == 1)
            #expect(try await stream.read(exactly: 4) == "data")
        }
    }

    @Test func agreesOnTheFirstProtocolThatIsSpoken() throws {
        try ConnectionPair.run { pair in
            pair.farRouter.serve("/two") { stream in try await stream.writeMessage(Bytes(utf8: stream.protocolID.text)) }
            let stream = try await pair.near.openStream(["/one", "/two", "/three"])
            #expect(stream.protocolID == "/two")
            #expect(try await stream.readMessage(limit: .kibibytes(1)) == "/two")
            #expect(try await stream.readMessage(limit: .kibibytes(1)) == nil)
            stream.finish()
            await #expect(throws: StreamError.protocolNotSupported) { try await pair.near.openStream(["/one", "/none"]) }
        }
    }

    @Test func anAssumedProtocolThatIsNotSpoken() throws {
        try ConnectionPair.run { pair in
            let stream = try await pair.near.openStream(["/none"])
            try await stream.write("hello?")
            await #expect(throws: StreamError.protocolNotSupported) { try await stream.read() }
            await #expect(throws: StreamError.protocolNotSupported) { try await stream.write("?") }
            try await pair.world.sleep(for: .seconds(1))
            #expect(pair.near.streamCount == 0 && pair.far.streamCount == 0)
        }
    }

    @Test(arguments: [1, 2, 3]) func manyStreamsBothWays(seed: UInt64) throws {
        try ConnectionPair.run(seed: seed) { pair in
            pair.farRouter.serve("/echo", Self.echo)
            pair.nearRouter.serve("/echo", Self.echo)
            try await withThrowingTaskGroup(of: Void.self) { group in
                for index in 0..<100 {
                    group.addTask {
                        let connection = index % 2 == 0 ? pair.near : pair.far
                        let stream = try await connection.openStream(["/echo"])
                        let bytes = pattern(20_000 + index, seed: UInt64(index))
                        async let written: Void = {
                            try await stream.write(bytes)
                            stream.finish()
                        }()
                        #expect(try await stream.readAll(limit: .mebibytes(1)) == bytes)
                        try await written
                    }
                }
                try await group.waitForAll()
            }
            try await pair.world.sleep(for: .seconds(1))
            #expect(pair.near.streamCount == 0 && pair.far.streamCount == 0)
        }
    }

    @Test func aThousandOpenStreams() throws {
        try ConnectionPair.run { pair in
            pair.farRouter.serve("/echo", Self.echo)
            var streams: [Stream] = []
            for index in 0..<1000 {
                let stream = try await pair.near.openStream(["/echo"])
                try await stream.write(Bytes(utf8: "\(index)."))
                streams.append(stream)
            }
            for (index, stream) in streams.enumerated() {
                let expected = Bytes(utf8: "\(index).")
                #expect(try await stream.read(exactly: expected.count) == expected)
            }
            #expect(pair.far.streamCount == 1000)
            for stream in streams { stream.finish() }
            for stream in streams { #expect(try await stream.read() == nil) }
            try await pair.world.sleep(for: .seconds(1))
            #expect(pair.near.streamCount == 0 && pair.far.streamCount == 0 && pair.farRouter.open == 0)
        }
    }

    @Test(arguments: [100_000, 100_000_000]) func oneLargeWrite(size: Int) throws {
        var options = WorldOptions()
        options.segmentSize = 10_000...60_000
        try ConnectionPair.run(options: options) { pair in
            pair.farRouter.serve("/count") { stream in
                var count = 0
                var sum = 0
                while let bytes = try await stream.read() {
                    count += bytes.count
                    sum &+= Int(bytes[0]) &+ Int(bytes[bytes.count - 1])
                    _ = sum
                }
                try await stream.write(Bytes(utf8: "\(count)"))
            }
            let stream = try await pair.near.openStream(["/count"])
            let bytes = Bytes(count: size) { $0.count }
            async let written: Void = stream.write(bytes)
            // However much is written, little is queued.
            var most = 0
            for _ in 0..<50 {
                try await pair.world.sleep(for: .milliseconds(2))
                most = max(most, pair.near.session.queuedBytes)
            }
            try await written
            stream.finish()
            #expect(try await stream.readAll(limit: .kibibytes(1)) == Bytes(utf8: "\(size)"))
            #expect(most <= pair.near.limits.queuedPerStream.bytes)
        }
    }

    @Test func aSlowReaderHoldsTheWriterBack() throws {
        try ConnectionPair.run { pair in
            let size = 2_000_000
            pair.farRouter.serve("/slow") { stream in
                var random = TestRandom(seed: 1)
                var count = 0
                while let bytes = try await stream.read(upTo: 10_000) {
                    count += bytes.count
                    let delay = Duration.microseconds(Int64.random(in: 0..<200_000, using: &random))
                    try await stream.connection.loop.sleep(until: stream.connection.loop.now + delay)
                    #expect(stream.inbox.count <= 256 << 10)
                }
                try await stream.write(Bytes(utf8: "\(count)"))
            }
            let stream = try await pair.near.openStream(["/slow"])
            try await stream.write(pattern(size))
            stream.finish()
            #expect(try await stream.readAll(limit: .kibibytes(1)) == Bytes(utf8: "\(size)"))
        }
    }

    /// Whatever the socket took or did not take, frames that are ready are always about to be sent.
    @Test(arguments: [1_000, 70_000, 300_000]) func readyFramesAreNeverForgotten(sendBuffer: Int) throws {
        var options = WorldOptions()
        options.sendBuffer = sendBuffer
        try ConnectionPair.run(options: options) { pair in
            pair.farRouter.serve("/take") { stream in while try await stream.read() != nil {} }
            let stream = try await pair.near.openStream(["/take"])
            let writer = pair.task {
                try await stream.write(pattern(1_000_000))
                stream.finish()
            }
            for _ in 0..<400 {
                try await pair.world.sleep(for: .microseconds(700))
                for connection in [pair.near, pair.far] where connection.session.hasFrames {
                    #expect(connection.output.isScheduled || connection.output.isBlocked)
                }
            }
            try await writer.value
            #expect(try await stream.read() == nil)
            #expect(pair.world.elapsed < .seconds(20))
        }
    }

    /// One stream whose reader sleeps does not stop another.
    @Test func aStalledStreamDoesNotStopOthers() throws {
        try ConnectionPair.run { pair in
            pair.farRouter.serve("/echo", Self.echo)
            pair.farRouter.serve("/sleep") { stream in
                try await stream.connection.loop.sleep(until: stream.connection.loop.now + .seconds(1000))
            }
            var stalled: [Task<Void, any Error>] = []
            for _ in 0..<20 {
                let stream = try await pair.near.openStream(["/sleep"])
                stalled.append(pair.task { try await stream.write(pattern(2_000_000)) })
            }
            try await pair.world.sleep(for: .seconds(5))
            #expect(pair.near.session.queuedBytes <= pair.near.limits.queued.bytes + 20 * pair.near.limits.queuedShare.bytes)
            let stream = try await pair.near.openStream(["/echo"])
            for index in 0..<20 {
                let bytes = pattern(30_000, seed: UInt64(index))
                try await stream.write(bytes)
                #expect(try await stream.read(exactly: 30_000) == bytes)
            }
            for task in stalled { task.cancel() }
        }
    }

    @Test func aThousandPingsOnOneStream() throws {
        try ConnectionPair.run { pair in
            pair.farRouter.serve("/ping") { stream in
                while true {
                    let bytes = try await stream.read(exactly: 32)
                    try await stream.write(bytes)
                }
            }
            let stream = try await pair.near.openStream(["/ping"])
            for index in 0..<1000 {
                let bytes = pattern(32, seed: UInt64(index))
                try await stream.write(bytes)
                #expect(try await stream.read(exactly: 32) == bytes)
            }
            stream.finish()
        }
    }

    // MARK: Closing

    @Test func closingTellsEverybody() throws {
        try ConnectionPair.run { pair in
            pair.farRouter.serve("/echo", Self.echo)
            let stream = try await pair.near.openStream(["/echo"])
            try await stream.write("x")
            #expect(try await stream.read() == "x")
            let reader = pair.task { try await stream.read() }
            try await pair.world.sleep(for: .milliseconds(1))
            pair.near.close(.shutdown)
            pair.near.close(.normal)
            #expect(pair.near.isClosed && pair.near.closeReason == .shutdown)
            await #expect(throws: StreamError.connectionLost) { try await reader.value }
            await #expect(throws: StreamError.connectionLost) { try await stream.write("y") }
            await #expect(throws: StreamError.connectionLost) { try await pair.near.openStream(["/echo"]) }
            await pair.near.drained()
            await pair.far.drained()
            #expect(pair.far.closeReason == .remote(code: 0x1006))
            #expect(pair.nearRouter.closed == [.shutdown] && pair.farRouter.closed == [.remote(code: 0x1006)])
            #expect(pair.farRouter.open == 0 && pair.near.streamCount == 0)
        }
    }

    @Test func whatWasWrittenIsSentBeforeTheEnd() throws {
        try ConnectionPair.run { pair in
            let size = 200_000
            let taken = Mutex(0)
            pair.farRouter.serve("/take") { stream in
                let bytes = try await stream.readAll(limit: .mebibytes(1))
                #expect(bytes == pattern(size))
                taken.withLock { $0 = bytes.count }
            }
            let stream = try await pair.near.openStream(["/take"])
            try await stream.write(pattern(size))
            stream.finish()
            pair.near.close(.normal)
            await pair.near.closed()
            await pair.far.drained()
            #expect(pair.farRouter.open == 0 && pair.far.closeReason == .remote(code: 0))
            #expect(taken.withLock { $0 } == size)
        }
    }

    /// A handler that does not look at its stream is cancelled some time after the end.
    @Test func handlersDoNotOutliveTheirConnection() throws {
        try ConnectionPair.run { pair in
            pair.farRouter.serve("/sleep") { stream in
                try await stream.connection.loop.sleep(until: stream.connection.loop.now + .seconds(1000))
            }
            let stream = try await pair.near.openStream(["/sleep"])
            try await stream.write("x")
            try await pair.world.sleep(for: .seconds(1))
            pair.near.close(.normal)
            await pair.far.drained()
            #expect(pair.farRouter.open == 0 && pair.world.elapsed < .seconds(10))
        }
    }

    @Test func aBrokenNetworkEndsStreams() throws {
        try ConnectionPair.run { pair in
            pair.farRouter.serve("/echo", Self.echo)
            let stream = try await pair.near.openStream(["/echo"])
            try await stream.write("x")
            #expect(try await stream.read() == "x")
            pair.world.resetConnections(between: pair.nearHost, and: pair.farHost)
            await #expect(throws: StreamError.connectionLost) { try await stream.read() }
            await pair.near.drained()
            await pair.far.drained()
            #expect(pair.farRouter.open == 0)
            guard case .lost(let errno) = pair.near.closeReason else { return #expect(Bool(false)) }
            #expect(errno != 0)
        }
    }

    @Test func silenceIsNoticed() throws {
        try ConnectionPair.run { pair in
            try await pair.world.sleep(for: .seconds(100))
            #expect(!pair.near.isClosed && !pair.far.isClosed)
            pair.world.partition(pair.nearHost, pair.farHost)
            try await pair.world.sleep(for: .seconds(60))
            #expect(pair.near.closeReason == .timedOut && pair.far.closeReason == .timedOut)
        }
    }

    @Test func closingDoesNotWaitForever() throws {
        try ConnectionPair.run { pair in
            pair.world.partition(pair.nearHost, pair.farHost)
            let before = pair.world.now
            pair.near.close(.normal)
            await pair.near.closed()
            #expect(pair.world.now - before <= .seconds(3))
        }
    }

    // MARK: Memory

    @Test func anIdleConnectionHoldsNoBuffers() throws {
        try ConnectionPair.run { pair in
            pair.farRouter.serve("/echo", Self.echo)
            let stream = try await pair.near.openStream(["/echo"])
            for _ in 0..<20 {
                try await stream.write(pattern(50_000))
                _ = try await stream.read(exactly: 50_000)
            }
            try await pair.world.sleep(for: .seconds(1))
            for connection in [pair.near, pair.far] {
                #expect(connection.input.chunk == nil && connection.output.chunk == nil && connection.input.carry.isEmpty)
            }
        }
    }

    // MARK: By hand

    @Test func aViolationIsAnswered() throws {
        let router = TestRouter()
        try ConnectionPair.withRawPeer(router: router) { connection, peer, _ in
            try peer.send(yamuxFrame(.data, stream: 2, [1]))
            try await peer.until { !$0.yamux.farewells.isEmpty }
            #expect(peer.yamux.farewells == [1])
            peer.socket.close(abort: false)
            await connection.closed()
            #expect(connection.closeReason == .violation && router.closed == [.violation])
        }
    }

    @Test func aForgedRecordEndsTheConnection() throws {
        try ConnectionPair.withRawPeer { connection, peer, _ in
            peer.write(Bytes([0, 4, 1, 2, 3, 4]))
            await connection.closed()
            #expect(connection.closeReason == .violation)
        }
    }

    @Test func everythingInSegmentsOfItsOwn() throws {
        let router = TestRouter()
        router.serve("/echo", Self.echo)
        try ConnectionPair.withRawPeer(router: router) { connection, peer, world in
            let id = try peer.yamux.open(at: peer.socket.loop.now)
            try peer.flush()
            try await world.sleep(for: .milliseconds(50))
            // The header of the negotiation comes alone, then the proposal in two parts, then data.
            let lines = proposal("/echo")
            for part: Bytes in [lines.prefix(20), lines[20..<23], lines.dropFirst(23), "data"] {
                peer.yamux.machine.send(part, on: id)
                try peer.flush()
                try await world.sleep(for: .milliseconds(50))
            }
            try await peer.until { ($0.yamux.received[id]?.count ?? 0) >= lines.count + 4 }
            #expect(peer.yamux.received[id] == lines.array + Array("data".utf8))
        }
    }

    @Test func aStreamThatNegotiatesNothingIsReset() throws {
        let router = TestRouter()
        try ConnectionPair.withRawPeer(router: router) { connection, peer, world in
            let first = try peer.yamux.open(at: peer.socket.loop.now)
            let second = try peer.yamux.open(at: peer.socket.loop.now)
            peer.yamux.machine.send(Bytes(utf8: "\u{13}GET / HTTP/1.1\r\n\r\n"), on: second)
            try peer.flush()
            try await peer.until { $0.yamux.resets.count == 2 }
            #expect(peer.yamux.resets == [first: 0x1001, second: 0x1001])
            #expect(connection.streamCount == 0 && router.open == 0)
        }
    }

    @Test func tooManyStreamsAreRefused() throws {
        let router = TestRouter()
        router.serve("/hold") { stream in _ = try await stream.read() }
        var limits = ConnectionLimits()
        limits.inboundStreams = 3
        try ConnectionPair.withRawPeer(limits: limits, router: router) { connection, peer, world in
            for _ in 0..<5 {
                let id = try peer.yamux.open(at: peer.socket.loop.now)
                peer.yamux.machine.send(proposal("/hold"), on: id)
            }
            try peer.flush()
            try await peer.until { $0.yamux.resets.count == 2 }
            #expect(peer.yamux.resets.values.allSatisfy { $0 == 0x1002 } && router.open == 3)
            router.state.withLock { $0.refuses = true }
            peer.yamux.machine.finish(1)
            try peer.flush()
            try await peer.until { $0.yamux.ended.contains(1) }
            let id = try peer.yamux.open(at: peer.socket.loop.now)
            try peer.flush()
            try await peer.until { $0.yamux.resets[id] != nil }
        }
    }

    /// A remote that opens and resets as fast as it can gets no more tasks than streams are allowed.
    @Test func rapidResetsAreBounded() throws {
        let router = TestRouter()
        router.serve("/work") { stream in
            // A handler that does not look at its stream.
            let loop = stream.connection.loop
            try await loop.sleep(until: loop.now + .seconds(5))
        }
        var limits = ConnectionLimits()
        limits.inboundStreams = 16
        try ConnectionPair.withRawPeer(limits: limits, router: router) { connection, peer, world in
            for _ in 0..<2000 where !connection.isClosed {
                let id = try peer.yamux.open(at: peer.socket.loop.now)
                peer.yamux.machine.send(proposal("/work"), on: id)
                try peer.flush()
                peer.yamux.machine.reset(id, code: 0)
                try peer.flush()
                try await world.sleep(for: .microseconds(100))
                #expect(router.open <= 16 && connection.inboundStreams <= 16)
            }
            #expect(!connection.isClosed)
            try await world.sleep(for: .seconds(20))
            #expect(router.open == 0)
        }
    }

    @Test func aRemoteThatKeepsItsSideOpen() throws {
        let router = TestRouter()
        router.serve("/brief") { stream in try await stream.write("done") }
        try ConnectionPair.withRawPeer(router: router) { connection, peer, world in
            let id = try peer.yamux.open(at: peer.socket.loop.now)
            peer.yamux.machine.send(proposal("/brief"), on: id)
            try peer.flush()
            try await peer.until { $0.yamux.ended.contains(id) }
            #expect(connection.streamCount == 1 && router.open == 0)
            for _ in 0..<7 {
                try peer.flush()
                try await world.sleep(for: .seconds(10))
            }
            #expect(connection.streamCount == 0 && peer.yamux.resets[id] == 0)
        }
    }

    /// Streams that come and go behind one that stays.
    @Test func deadlinesOfStreamsAreBounded() throws {
        let router = TestRouter()
        router.serve("/echo", Self.echo)
        try ConnectionPair.withRawPeer(router: router) { connection, peer, world in
            // One that never agrees on a protocol, and one whose remote keeps its side open.
            _ = try peer.yamux.open(at: peer.socket.loop.now)
            for _ in 0..<2000 {
                let id = try peer.yamux.open(at: peer.socket.loop.now)
                peer.yamux.machine.send(proposal("/echo"), on: id)
                peer.yamux.machine.finish(id)
                try peer.flush()
                try await peer.until { $0.yamux.closed.contains(id) }
            }
            #expect(connection.negotiating.count < 100 && connection.lingering.count < 100)
        }
    }

    @Test func aFriendlyFarewellLetsStreamsEnd() throws {
        let router = TestRouter()
        router.serve("/echo", Self.echo)
        try ConnectionPair.withRawPeer(router: router) { connection, peer, world in
            let id = try peer.yamux.open(at: peer.socket.loop.now)
            peer.yamux.machine.send(proposal("/echo"), on: id)
            try peer.flush()
            try peer.send(yamuxFrame(.goAway))
            peer.yamux.machine.send("still there", on: id)
            peer.yamux.machine.finish(id)
            try peer.flush()
            try await peer.until { $0.yamux.closed.contains(id) }
            try await peer.until { !$0.yamux.farewells.isEmpty }
            #expect(connection.closeReason == .remote(code: 0))
        }
    }
}
