import Testing
import WaggleBase
import WaggleSimulation

@testable import WaggleNetwork
@testable import WaggleStack

/// The interface of streams.
struct StreamTests {
    /// A stream on the raw peer's side whose payload the test cuts as it likes, and the handler's stream.
    private func feed(
        _ pieces: [Bytes], ends: Bool = true, _ handler: @escaping StreamHandler
    ) throws {
        let router = TestRouter()
        let outcome = Outcome()
        router.serve("/feed") { stream in
            do { try await handler(stream) } catch { outcome.error = error }
            outcome.isDone = true
        }
        try ConnectionPair.withRawPeer(router: router) { connection, peer, world in
            let id = try peer.yamux.open(at: peer.socket.loop.now)
            peer.yamux.machine.send(proposal("/feed"), on: id)
            try peer.flush()
            for piece in pieces {
                try peer.send(yamuxFrame(.data, stream: id, piece.array))
                try await world.sleep(for: .microseconds(10))
            }
            if ends { peer.yamux.machine.finish(id) }
            try peer.flush()
            while !outcome.isDone { try await world.sleep(for: .milliseconds(1)) }
        }
        if let error = outcome.error { throw error }
    }

    private final class Outcome: @unchecked Sendable {
        var isDone = false
        var error: (any Error)?
    }

    private func cut(_ bytes: Bytes, _ size: Int) -> [Bytes] {
        stride(from: 0, to: bytes.count, by: size).map { bytes[$0..<min($0 + size, bytes.count)] }
    }

    @Test(arguments: [1, 2, 3, 7, 1000]) func messages(size: Int) throws {
        var writer = ByteWriter()
        let messages = [0, 1, 127, 128, 300, 16_384].map { pattern($0, seed: UInt64($0)) }
        for message in messages {
            writer.write(varint: UInt64(message.count))
            writer.write(message)
        }
        try feed(cut(writer.finish(), size)) { stream in
            for message in messages { #expect(try await stream.readMessage(limit: .kibibytes(16)) == message) }
            let end = try await stream.readMessage(limit: .kibibytes(16))
            #expect(end == nil)
        }
    }

    @Test func aMessageInOnePieceIsNotCopied() throws {
        var writer = ByteWriter()
        writer.write(varint: 30_000)
        writer.write(pattern(30_000))
        try feed([writer.finish()]) { stream in
            let message = try #require(try await stream.readMessage(limit: .kibibytes(64)))
            #expect(message == pattern(30_000) && message.retained == ChunkPool.chunkBytes)
        }
    }

    @Test func messagesThatCannotBe() throws {
        #expect(throws: StreamError.tooLong(limit: 100)) {
            try feed([[101]]) { _ = try await $0.readMessage(limit: .bytes(100)) }
        }
        #expect(throws: StreamError.tooLong(limit: 100)) {
            try feed([[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f]]) { _ = try await $0.readMessage(limit: .bytes(100)) }
        }
        #expect(throws: StreamError.malformed) {
            try feed([Bytes([UInt8](repeating: 0xff, count: 12))]) { _ = try await $0.readMessage(limit: .bytes(100)) }
        }
        #expect(throws: StreamError.malformed) { try feed([[0x81], [0x00]]) { _ = try await $0.readMessage(limit: .bytes(100)) } }
        #expect(throws: StreamError.truncated) { try feed([[0x81]]) { _ = try await $0.readMessage(limit: .bytes(300)) } }
        #expect(throws: StreamError.truncated) { try feed([[5, 1, 2]]) { _ = try await $0.readMessage(limit: .bytes(100)) } }
    }

    @Test(arguments: [1, 100, 65_000]) func exactReads(size: Int) throws {
        let bytes = pattern(3000)
        try feed(cut(bytes, size)) { stream in
            #expect(try await stream.read(exactly: 0).isEmpty)
            #expect(try await stream.read(exactly: 1000) == bytes.prefix(1000))
            #expect(try await stream.read(exactly: 2000) == bytes.dropFirst(1000))
            await #expect(throws: StreamError.truncated) { try await stream.read(exactly: 1) }
            let end = try await stream.read()
            #expect(end == nil)
        }
    }

    @Test func anExactReadOfMoreThanAWindow() throws {
        try ConnectionPair.run { pair in
            pair.farRouter.serve("/source") { stream in try await stream.write(pattern(1_500_000)) }
            let stream = try await pair.near.openStream(["/source"])
            #expect(try await stream.read(exactly: 1_500_000) == pattern(1_500_000))
            #expect(try await stream.read() == nil)
        }
    }

    @Test func readingAllIsBounded() throws {
        try feed(cut(pattern(1000), 99)) { stream in
            let all = try await stream.readAll(limit: .bytes(1000))
            #expect(all == pattern(1000))
        }
        #expect(throws: StreamError.tooLong(limit: 999)) {
            try feed(cut(pattern(1000), 99)) { _ = try await $0.readAll(limit: .bytes(999)) }
        }
    }

    @Test func limitedReads() throws {
        try feed([pattern(100)]) { stream in
            var sizes: [Int] = []
            while let bytes = try await stream.read(upTo: 30) { sizes.append(bytes.count) }
            #expect(sizes == [30, 30, 30, 10])
        }
    }

    /// Frames of one byte neither cost an entry each nor keep chunks alive.
    @Test func crumbsAreGathered() throws {
        try feed(cut(pattern(2000), 1)) { stream in
            while stream.inbox.count < 2000 { try await stream.connection.loop.sleep(until: stream.connection.loop.now + .milliseconds(1)) }
            var pieces = 0
            var bytes: [UInt8] = []
            while let piece = try await stream.read() {
                pieces += 1
                bytes += piece.array
                #expect(piece.retained <= ByteQueue.tailBytes)
            }
            #expect(pieces < 12 && bytes == pattern(2000).array)
        }
    }

    // MARK: Writing

    @Test(arguments: 1...4) func writesOfSeveralTasksStayWhole(seed: UInt64) throws {
        try ConnectionPair.run(seed: seed) { pair in
            pair.farRouter.serve("/messages") { stream in
                var seen: [UInt8: Int] = [:]
                while let message = try await stream.readMessage(limit: .mebibytes(1)) {
                    // Each message consists of one value only.
                    let value = message[0]
                    #expect(message.array.allSatisfy { $0 == value })
                    seen[value, default: 0] += 1
                }
                try await stream.write(Bytes(utf8: "\(seen.count) \(seen.values.reduce(0, +))"))
            }
            let stream = try await pair.near.openStream(["/messages"])
            try await withThrowingTaskGroup(of: Void.self) { group in
                for value in 0..<8 {
                    group.addTask {
                        for round in 0..<6 {
                            let size = [1, 300_000, 5000, 70_000][(value + round) % 4]
                            try await stream.writeMessage(Bytes([UInt8](repeating: UInt8(value), count: size)))
                        }
                    }
                }
                try await group.waitForAll()
            }
            stream.finish()
            #expect(try await stream.readAll(limit: .kibibytes(1)) == "8 48")
        }
    }

    @Test func aWriterThatGivesUpLeavesItsTurn() throws {
        try ConnectionPair.run { pair in
            pair.farRouter.serve("/late") { stream in
                let loop = stream.connection.loop
                try await loop.sleep(until: loop.now + .seconds(10))
                let bytes = try await stream.readAll(limit: .mebibytes(8))
                #expect(bytes.count == 2_000_000 + 3)
            }
            let stream = try await pair.near.openStream(["/late"])
            async let first: Void = stream.write(pattern(2_000_000))
            try await pair.world.sleep(for: .seconds(1))
            let second = pair.task { try await stream.write(pattern(500_000)) }
            let third = pair.task { try await stream.write("end") }
            try await pair.world.sleep(for: .seconds(1))
            second.cancel()
            await #expect(throws: StreamError.cancelled) { try await second.value }
            try await first
            try await third.value
            stream.finish()
            #expect(try await stream.read() == nil)
        }
    }

    @Test func aWriteCutShortResetsTheStream() throws {
        try ConnectionPair.run { pair in
            pair.farRouter.serve("/never") { stream in
                let loop = stream.connection.loop
                try await loop.sleep(until: loop.now + .seconds(5))
                await #expect(throws: StreamError.reset(code: 0)) { while try await stream.read() != nil {} }
            }
            let stream = try await pair.near.openStream(["/never"])
            stream.deadline = pair.world.now + .seconds(2)
            await #expect(throws: StreamError.timedOut) { try await stream.write(pattern(5_000_000)) }
            await #expect(throws: (any Error).self) { try await stream.write("x") }
            try await pair.world.sleep(for: .seconds(5))
            #expect(pair.near.streamCount == 0 && pair.farRouter.open == 0)
        }
    }

    // MARK: Ends

    @Test func deadlinesEndReads() throws {
        try ConnectionPair.run { pair in
            pair.farRouter.serve("/silent") { stream in _ = try await stream.read() }
            let stream = try await pair.near.openStream(["/silent"])
            let before = pair.world.now
            stream.deadline = before + .seconds(3)
            #expect(stream.deadline == before + .seconds(3))
            await #expect(throws: StreamError.timedOut) { try await stream.read() }
            #expect(pair.world.now == before + .seconds(3))
            await #expect(throws: StreamError.timedOut) { try await stream.write("x") }
            stream.deadline = nil
            stream.finish()
            #expect(try await stream.read() == nil)
        }
    }

    @Test func cancellationEndsReads() throws {
        try ConnectionPair.run { pair in
            pair.farRouter.serve("/echo", ConnectionTests.echo)
            let stream = try await pair.near.openStream(["/echo"])
            let reader = pair.task { try await stream.read() }
            try await pair.world.sleep(for: .seconds(1))
            reader.cancel()
            await #expect(throws: StreamError.cancelled) { try await reader.value }
            // The stream goes on.
            try await stream.write("x")
            #expect(try await stream.read() == "x")
        }
    }

    @Test func handlersThatReturnFinishAndThatThrowReset() throws {
        struct Odd: Error {}
        try ConnectionPair.run { pair in
            pair.farRouter.serve("/returns") { try await $0.write("x") }
            pair.farRouter.serve("/throws") { _ in throw Odd() }
            pair.farRouter.serve("/malformed") { _ in throw StreamError.malformed }
            let returning = try await pair.near.openStream(["/returns"])
            #expect(try await returning.readAll(limit: .bytes(9)) == "x")
            returning.finish()
            for (id, code) in [("/throws", UInt32(0)), ("/malformed", 0x1004)] {
                let stream = try await pair.near.openStream([ProtocolID(id)])
                await #expect(throws: StreamError.reset(code: code)) { while try await stream.read() != nil {} }
                await #expect(throws: StreamError.reset(code: code)) { try await stream.write("x") }
            }
            try await pair.world.sleep(for: .seconds(1))
            #expect(pair.near.streamCount == 0 && pair.far.streamCount == 0)
        }
    }

    @Test func oneSideEndsAndTheOtherGoesOn() throws {
        try ConnectionPair.run { pair in
            pair.farRouter.serve("/sum") { stream in
                let question = try await stream.readAll(limit: .kibibytes(100))
                for _ in 0..<10 { try await stream.write(question) }
            }
            let stream = try await pair.near.openStream(["/sum"])
            try await stream.write(pattern(10_000))
            stream.finish()
            stream.finish()
            await #expect(throws: StreamError.closed) { try await stream.write("x") }
            #expect(try await stream.readAll(limit: .mebibytes(1)).count == 100_000)
        }
    }

    @Test func resetsTellBothSides() throws {
        try ConnectionPair.run { pair in
            pair.farRouter.serve("/wait") { stream in
                await #expect(throws: StreamError.reset(code: 77_777)) { while try await stream.read() != nil {} }
                await #expect(throws: StreamError.reset(code: 77_777)) { try await stream.write("x") }
            }
            let stream = try await pair.near.openStream(["/wait"])
            try await stream.write("x")
            try await pair.world.sleep(for: .seconds(1))
            stream.reset(77_777)
            await #expect(throws: StreamError.reset(code: 77_777)) { try await stream.read() }
            try await pair.world.sleep(for: .seconds(1))
            #expect(pair.farRouter.open == 0 && pair.near.streamCount == 0 && pair.far.streamCount == 0)
        }
    }

    @Test func aStoppedReaderLetsTheWriterFinish() throws {
        try ConnectionPair.run { pair in
            pair.farRouter.serve("/talk") { stream in
                try await stream.write(pattern(800_000))
                #expect(try await stream.readAll(limit: .bytes(9)) == "end")
            }
            let stream = try await pair.near.openStream(["/talk"])
            stream.stop()
            await #expect(throws: StreamError.closed) { try await stream.read() }
            try await pair.world.sleep(for: .seconds(2))
            try await stream.write("end")
            stream.finish()
            try await pair.world.sleep(for: .seconds(2))
            #expect(pair.near.streamCount == 0 && pair.far.streamCount == 0 && pair.farRouter.open == 0)
        }
    }
}
