import Synchronization
import Testing
import WaggleBase
import WaggleRuntime
import WaggleTestSupport

/// A name server on loopback that answers with what a test makes of the question.
final class TestNameServer: Sendable {
    let port: UInt16
    let scope = TaskScope()
    let questions = Mutex(0)

    struct Question {
        var bytes: [UInt8]
        var name: String
        var type: UInt16
    }

    init(_ system: any System, _ answer: @escaping @Sendable (Question) -> [UInt8]?) async throws {
        let port = DatagramPort(
            try await system.datagrams.bind(SocketAddress(ip: .loopback, port: 0), DatagramOptions(), on: system.home))
        self.port = port.socket.localAddress.port
        let count = { @Sendable [weak self] in _ = self?.questions.withLock { $0 += 1 } }
        scope.spawn(on: system.home) {
            while let received = await Self.next(port) {
                for (entry, bytes) in received {
                    count()
                    if let question = Self.parse(bytes), let reply = answer(question) { _ = port.send(reply, to: entry.source) }
                }
            }
            port.socket.close()
        }
    }

    private static func next(_ port: DatagramPort) async -> [(entry: DatagramBatch.Entry, bytes: [UInt8])]? {
        do { return try await port.receive() } catch { return nil }
    }

    private static func parse(_ bytes: [UInt8]) -> Question? {
        var index = 12
        var labels: [String] = []
        while index < bytes.count, bytes[index] != 0 {
            labels.append(String(decoding: bytes[index + 1...index + Int(bytes[index])], as: UTF8.self))
            index += Int(bytes[index]) + 1
        }
        guard index + 4 < bytes.count else { return nil }
        return Question(
            bytes: Array(bytes[..<(index + 5)]), name: labels.joined(separator: "."), type: UInt16(bytes[index + 1]) << 8 | UInt16(bytes[index + 2]))
    }
}

extension TestNameServer.Question {
    /// A reply with records of the asked name: type, seconds, data.
    func reply(_ records: [(type: UInt16, seconds: UInt32, data: [UInt8])], code: UInt8 = 0) -> [UInt8] {
        var reply = bytes
        reply[2] = 0x81
        reply[3] = 0x80 | code
        reply[6] = UInt8(records.count >> 8)
        reply[7] = UInt8(records.count & 255)
        (reply[8], reply[9], reply[10], reply[11]) = (0, 0, 0, 0)
        for record in records {
            reply += [0xc0, 12, UInt8(record.type >> 8), UInt8(record.type & 255), 0, 1]
            reply += (0..<4).map { UInt8(truncatingIfNeeded: record.seconds >> (24 - 8 * UInt32($0))) }
            reply += [UInt8(record.data.count >> 8), UInt8(record.data.count & 255)] + record.data
        }
        return reply
    }

    static func text(_ strings: String...) -> [UInt8] { strings.flatMap { [UInt8($0.utf8.count)] + Array($0.utf8) } }
}

@Suite struct ResolverTests {
    typealias Question = TestNameServer.Question

    private func play(
        _ answer: @escaping @Sendable (Question) -> [UInt8]?, _ body: @Sendable (any NameResolver, TestNameServer, any System) async throws -> Void
    ) async throws {
        let system = Stage.linuxSystem
        let server = try await TestNameServer(system, answer)
        let asking = LinuxSystem(loops: 1, nameServers: "127.0.0.1:\(server.port)")
        try await body(asking.resolver, server, asking)
        await server.scope.close()
        asking.shutdown()
    }

    @Test func textsWithTheirTimes() async throws {
        try await play { question in
            question.reply([(16, 60, Question.text("dnsaddr=", "/ip4/1.2.3.4")), (16, 30, Question.text("other")), (16, 9, [])])
        } _: { resolver, _, _ in
            let texts = try await resolver.texts(of: "_dnsaddr.example.test")
            #expect(
                texts == [
                    NameRecord("dnsaddr=/ip4/1.2.3.4", timeToLive: .seconds(60)), NameRecord("other", timeToLive: .seconds(30)),
                    NameRecord("", timeToLive: .seconds(9)),
                ])
        }
    }

    @Test func addressesOfBothFamilies() async throws {
        try await play { question in
            switch question.type {
            case 1: question.reply([(1, 77, [192, 0, 2, 1]), (1, 77, [192, 0, 2, 2])])
            case 28: question.reply([(28, 66, [0x20, 1, 0xd, 0xb8] + [UInt8](repeating: 0, count: 11) + [1])])
            default: nil
            }
        } _: { resolver, _, _ in
            let v6 = IPAddress.v6(high: 0x2001_0db8 << 32, low: 1, zone: 0)
            let answer1 = try await resolver.addresses(of: "host.example.test", .v4).map(\.value)
            #expect(answer1 == [.v4(0xc000_0201), .v4(0xc000_0202)])
            let answer2 = try await resolver.addresses(of: "host.example.test", .v6)
            #expect(answer2 == [NameRecord(v6, timeToLive: .seconds(66))])
            #expect(Set(try await resolver.addresses(of: "host.example.test", .any).map(\.value)) == [v6, .v4(0xc000_0201), .v4(0xc000_0202)])
        }
    }

    @Test func failuresHaveTheirReasons() async throws {
        try await play { question in
            switch question.name {
            case "nothing.test": question.reply([])
            case "unknown.test": question.reply([], code: 3)
            case "refused.test": question.reply([], code: 5)
            case "broken.test": question.reply([(16, 5, [200, 1])])
            default: nil
            }
        } _: { resolver, _, _ in
            await #expect(throws: ResolveError.notFound) { _ = try await resolver.texts(of: "nothing.test") }
            await #expect(throws: ResolveError.notFound) { _ = try await resolver.texts(of: "unknown.test") }
            await #expect(throws: ResolveError.serverFailure) { _ = try await resolver.texts(of: "refused.test") }
            await #expect(throws: ResolveError.serverFailure) { _ = try await resolver.texts(of: "broken.test") }
            let long = [String](repeating: "a23456789", count: 30).joined(separator: ".")
            for name in ["", ".", "a..b", "with space.test", "back\\slash.test", long, String(repeating: "a", count: 64) + ".test"] {
                await #expect(throws: ResolveError.invalidName) { _ = try await resolver.texts(of: name) }
            }
        }
    }

    /// Whatever stands behind the question: an answer or an error, never a trap or a read beyond the end.
    @Test func mutatedAnswersAreRefusedOrRead() async throws {
        try await play { question in
            guard let number = Int(question.name.prefix { $0 != "." }.dropFirst()) else { return nil }
            var reply = question.reply([(16, 60, Question.text("dnsaddr=/ip4/1.2.3.4", "more")), (5, 60, [3, 0x61, 0x62, 0x63, 0]), (16, 60, Question.text("x"))])
            let start = question.bytes.count
            let index = start + number % (reply.count - start)
            if number < 100 { reply[index] = [0, 1, 0x3f, 0xc0, 0xff][number % 5] } else { reply.removeSubrange(index...) }
            return reply
        } _: { resolver, _, _ in
            await withTaskGroup(of: Void.self) { group in
                for number in 0..<200 {
                    if number >= 50 { await group.next() }
                    group.addTask { do { _ = try await resolver.texts(of: "n\(number).test") } catch {} }
                }
            }
        }
    }

    @Test func cancellationGivesUp() async throws {
        let arrived = AsyncStream.makeStream(of: Void.self)
        try await play { _ in
            arrived.continuation.yield()
            return nil
        } _: { resolver, _, _ in
            await withTaskGroup(of: Bool.self) { group in
                group.addTask {
                    do throws(ResolveError) { _ = try await resolver.texts(of: "silent.test") } catch { return error == .cancelled }
                    return false
                }
                for await _ in arrived.stream { break }
                group.cancelAll()
                #expect(await group.next() == true)
            }
        }
    }

    @Test func manyQuestionsAtOnce() async throws {
        try await play { $0.reply([(16, 5, Question.text($0.name))]) } _: { resolver, server, _ in
            let right = try await withThrowingTaskGroup(of: Bool.self) { group in
                for index in 0..<100 {
                    group.addTask { try await resolver.texts(of: "name\(index).test").map(\.value) == ["name\(index).test"] }
                }
                return try await group.reduce(true) { $0 && $1 }
            }
            #expect(right)
            #expect(server.questions.withLock { $0 } >= 100)
        }
    }

    @Test func hostsOfTheSystem() async throws {
        let answer3 = try await Stage.linuxSystem.resolver.addresses(of: "localhost", .v4).map(\.value)
        #expect(answer3 == [.loopback])
    }
}
