import Testing
import WaggleBase
import WaggleFormats
import WaggleNetwork
@testable import WaggleServices

@Suite struct MDNSMachineTests {
    typealias Link = MDNSMachine.Link
    static let start = Instant(nanoseconds: 1_000_000_000)
    let lan = Link(interface: 2, isVersion6: false)
    let names = MDNSNames(label: "abcdefghijklmnopqrstuvwxyz012345")
    let neighbour = MDNSMachine.Origin(address: SocketAddress(ip: .v4(0x0a00_0002), port: 5353))

    private func peer(_ number: Int) throws -> PeerID { try PeerID(bytes: Bytes([0, 8] + (0..<8).map { UInt8(truncatingIfNeeded: number >> (8 * $0)) })) }

    private func machine() throws -> MDNSMachine { MDNSMachine(try peer(0), names, random: 7) }

    private func drain(_ machine: inout MDNSMachine) -> [MDNSMachine.Output] {
        var outputs: [MDNSMachine.Output] = []
        while let output = machine.next() { outputs.append(output) }
        return outputs
    }

    /// Lets time pass and tells what came when.
    private func run(_ machine: inout MDNSMachine, from: Instant, for duration: Duration) -> [(at: Duration, output: MDNSMachine.Output)] {
        var outputs: [(Duration, MDNSMachine.Output)] = []
        while let deadline = machine.deadline, deadline <= from + duration {
            machine.handle(.tick, at: deadline)
            outputs += drain(&machine).map { (deadline - Self.start, $0) }
        }
        return outputs
    }

    private func answer(_ peers: Int..., addresses: Int = 1, name: String = "other") throws -> DNSMessage {
        var message = DNSMessage()
        message.isResponse = true
        for number in peers {
            let peer = try peer(number)
            let texts = (0..<addresses).map { Array("dnsaddr=/ip4/10.0.\($0 / 256).\($0 % 256)/tcp/1/p2p/\(peer)".utf8) }
            message.additional.append(.init(name: names.service.with("\(name)\(number)"), seconds: 120, data: .texts(texts)))
        }
        return message
    }

    @Test func asksLessAndLessOften() throws {
        var machine = try machine()
        machine.handle(.links([lan]), at: Self.start)
        let events = run(&machine, from: Self.start, for: .seconds(3600))
        let questions = events.filter { $0.output == .ask(lan) }.map(\.at)
        #expect(MDNSLimits.firstQuestion.contains(questions[0]))
        let gaps = zip(questions.dropFirst(), questions).map { $0 - $1 }
        #expect(Array(gaps.prefix(10)) == [1, 2, 4, 8, 16, 32, 64, 128, 256, 300].map { Duration.seconds($0) })
        #expect(gaps.dropFirst(9).allSatisfy { $0 == MDNSLimits.longestInterval })
        // Announced twice, then only asked for.
        #expect(events.filter { $0.output == .answer(lan) }.map(\.at) == Array(questions.prefix(2)))
    }

    @Test func newLinksStartAtOnce() throws {
        var machine = try machine()
        machine.handle(.links([lan]), at: Self.start)
        _ = run(&machine, from: Self.start, for: .seconds(600))
        let later = Self.start + .seconds(600)
        let other = Link(interface: 3, isVersion6: true)
        machine.handle(.links([lan, other]), at: later)
        let events = run(&machine, from: later, for: .milliseconds(150))
        #expect(events.map(\.output) == [.ask(other), .answer(other)])
        machine.handle(.links([]), at: later + .seconds(1))
        #expect(machine.deadline == nil)
        machine.handle(.packet(names.question(), from: neighbour, on: lan), at: later + .seconds(1))
        #expect(drain(&machine).isEmpty && machine.deadline == nil)
    }

    @Test func answersOnceASecond() throws {
        var machine = try machine()
        machine.handle(.links([lan]), at: Self.start)
        _ = run(&machine, from: Self.start, for: .seconds(70))
        let now = Self.start + .seconds(100)
        for index in 0..<15 { machine.handle(.packet(names.question(), from: neighbour, on: lan), at: now + .milliseconds(index)) }
        #expect(drain(&machine).isEmpty)
        let first = try #require(machine.deadline)
        #expect(first >= now + .milliseconds(20) && first <= now + .milliseconds(120))
        let answers = run(&machine, from: now, for: .seconds(3)).filter { $0.output == .answer(lan) }
        #expect(answers.count == 1)
        machine.handle(.packet(names.question(), from: neighbour, on: lan), at: first + .milliseconds(200))
        #expect(machine.deadline == first + MDNSLimits.answerInterval)
    }

    @Test func knownAnswersAreNotRepeated() throws {
        var machine = try machine()
        machine.handle(.links([lan]), at: Self.start)
        _ = run(&machine, from: Self.start, for: .seconds(70))
        let before = machine.deadline
        var question = names.question()
        question.answers = [.init(name: names.service, seconds: 100, data: .pointer(names.instance))]
        machine.handle(.packet(question, from: neighbour, on: lan), at: Self.start + .seconds(71))
        #expect(machine.deadline == before)
        question.answers[0].seconds = 10
        machine.handle(.packet(question, from: neighbour, on: lan), at: Self.start + .seconds(72))
        #expect(machine.deadline != before)
    }

    @Test func askersOfOtherPortsGetTheirOwnAnswer() throws {
        var machine = try machine()
        machine.handle(.links([lan]), at: Self.start)
        var question = names.question()
        question.id = 77
        let asker = MDNSMachine.Origin(address: SocketAddress(ip: .v4(0x0a00_0003), port: 40_000))
        machine.handle(.packet(question, from: asker, on: lan), at: Self.start)
        #expect(drain(&machine) == [.reply(lan, to: asker.address, id: 77, question: question.questions[0])])
        for _ in 0..<100 { machine.handle(.packet(question, from: asker, on: lan), at: Self.start) }
        #expect(drain(&machine).count == MDNSLimits.replies - 1)
        question.questions[0].wantsUnicast = true
        machine.handle(.packet(question, from: neighbour, on: lan), at: Self.start + .seconds(2))
        #expect(drain(&machine) == [.reply(lan, to: neighbour.address, id: 0, question: nil)])
        for name in ["_http._tcp.local", "other._p2p._udp.local", "p2p._udp.local"] {
            var other = DNSMessage()
            other.questions = [.init(name: DNSName(name), type: 12)]
            machine.handle(.packet(other, from: asker, on: lan), at: Self.start + .seconds(4))
        }
        #expect(drain(&machine).isEmpty)
    }

    @Test func peersAreToldOnceAMinute() throws {
        var machine = try machine()
        machine.handle(.links([lan]), at: Self.start)
        let message = try answer(1, 2, 0)
        for index in 0..<10 { machine.handle(.packet(message, from: neighbour, on: lan), at: Self.start + .seconds(index)) }
        #expect(drain(&machine).count == 2)
        machine.handle(.packet(try answer(1, addresses: 2), from: neighbour, on: lan), at: Self.start + .seconds(11))
        #expect(drain(&machine) == [.found(try peer(1), try ["/ip4/10.0.0.0/tcp/1", "/ip4/10.0.0.1/tcp/1"].map { try #require(Multiaddr($0)) })])
        machine.handle(.packet(message, from: neighbour, on: lan), at: Self.start + .seconds(80))
        #expect(drain(&machine).count == 2)
        // Who went and came back is news.
        machine.handle(.lost(try peer(1)), at: Self.start + .seconds(80))
        machine.handle(.packet(message, from: neighbour, on: lan), at: Self.start + .seconds(80))
        #expect(drain(&machine).count == 1)
        // Not from another port, not under our name, not with a goodbye.
        machine.handle(.packet(try answer(5), from: .init(address: SocketAddress(ip: neighbour.address.ip, port: 1234)), on: lan), at: Self.start + .seconds(81))
        var goodbye = try answer(6)
        goodbye.additional[0].seconds = 0
        machine.handle(.packet(goodbye, from: neighbour, on: lan), at: Self.start + .seconds(81))
        var own = try answer(7)
        own.additional[0].name = names.instance
        machine.handle(.packet(own, from: neighbour, on: lan), at: Self.start + .seconds(81))
        #expect(drain(&machine).isEmpty)
    }

    @Test func floodsAreBounded() throws {
        var machine = try machine()
        machine.handle(.links([lan]), at: Self.start)
        var found = 0
        // A thousand packets a second with new peers in each.
        for index in 0..<500 {
            machine.handle(.packet(try answer(index * 4 + 1, index * 4 + 2, addresses: 17), from: neighbour, on: lan), at: Self.start + .milliseconds(index * 4))
            for case .found(_, let addresses) in drain(&machine) {
                found += 1
                #expect(addresses.count <= MDNSLimits.addressesPerPeer)
            }
        }
        #expect(found <= MDNSLimits.discoveries * 3)
        var crowd = try answer()
        for number in 1...100 { crowd.additional += try answer(1_000_000 + number).additional }
        var fresh = try self.machine()
        fresh.handle(.links([lan]), at: Self.start)
        fresh.handle(.packet(crowd, from: neighbour, on: lan), at: Self.start)
        #expect(drain(&fresh).count == MDNSLimits.peersPerPacket)
    }

    /// An address that is not of the link may be made up: whoever bears it must not get what it never asked for.
    @Test func askersFromElsewhereGetNothingOfTheirOwn() throws {
        var machine = try machine()
        machine.handle(.links([lan]), at: Self.start)
        _ = run(&machine, from: Self.start, for: .seconds(70))
        let now = Self.start + .seconds(71)
        var question = names.question()
        machine.handle(.packet(question, from: .init(address: SocketAddress(ip: .v4(0x0808_0808), port: 40_000), isOnLink: false), on: lan), at: now)
        #expect(drain(&machine).isEmpty)
        question.questions[0].wantsUnicast = true
        machine.handle(.packet(question, from: .init(address: SocketAddress(ip: .v4(0x0808_0808), port: 5353), isOnLink: false), on: lan), at: now)
        #expect(drain(&machine).isEmpty)
        // All on the link hear the answer.
        #expect(run(&machine, from: now, for: .seconds(2)).map(\.output) == [.answer(lan)])
    }

    @Test func addressesThatLeadElsewhereAreLeftOut() throws {
        var machine = try machine()
        machine.handle(.links([lan]), at: Self.start)
        let peer = try peer(1)
        var message = try answer(1)
        let texts = [
            "/ip4/127.0.0.1/tcp/1", "/ip4/0.0.0.0/tcp/1", "/ip4/224.0.0.251/tcp/1", "/ip6/fe80::1/tcp/1", "/ip6/ff02::1/tcp/1", "/ip6/::1/tcp/1",
            "/ip6/::ffff:127.0.0.1/tcp/1", "/dns4/a.test/tcp/1", "/ip4/10.0.0.7/tcp/1/p2p/\(peer)/p2p-circuit", "/ip4/169.254.1.2/tcp/1", "/ip4/10.0.0.7/tcp/1",
        ]
        message.additional[0].data = .texts(texts.map { Array("dnsaddr=\($0)/p2p/\(peer)".utf8) })
        machine.handle(.packet(message, from: neighbour, on: lan), at: Self.start)
        #expect(drain(&machine) == [.found(peer, try ["/ip4/169.254.1.2/tcp/1", "/ip4/10.0.0.7/tcp/1"].map { try #require(Multiaddr($0)) })])
        // On the machine itself loopback is as good as any.
        machine.handle(.packet(message, from: .init(address: SocketAddress(ip: .loopback, port: 5353)), on: lan), at: Self.start + .seconds(1))
        guard case .found(_, let all) = drain(&machine).first else { return #expect(Bool(false), "nothing found") }
        #expect(all.count == 5)
    }

    /// A neighbour on several networks tells other addresses on each.
    @Test func severalWaysToOnePeerAreToldOnce() throws {
        var machine = try machine()
        machine.handle(.links([lan]), at: Self.start)
        let (wide, narrow) = (try answer(1, addresses: 3), try answer(1, addresses: 2))
        for index in 0..<20 { machine.handle(.packet(index % 2 == 0 ? narrow : wide, from: neighbour, on: lan), at: Self.start + .seconds(index)) }
        #expect(drain(&machine).count == 2)
    }

    @Test func everyQuestionCounts() throws {
        var machine = try machine()
        machine.handle(.links([lan]), at: Self.start)
        _ = run(&machine, from: Self.start, for: .seconds(70))
        let before = machine.deadline
        var question = names.question()
        question.answers = [.init(name: names.service, seconds: 100, data: .pointer(names.instance))]
        question.questions.append(.init(name: names.instance, type: DNSMessage.Kind.text))
        machine.handle(.packet(question, from: neighbour, on: lan), at: Self.start + .seconds(71))
        #expect(machine.deadline != before)
    }

    /// However often interfaces and addresses change, an interface hears of it at most once a second.
    @Test func changesDoNotFlood() throws {
        var machine = try machine()
        machine.handle(.links([lan]), at: Self.start)
        var answers = 0
        var now = Self.start
        for _ in 0..<50 {
            machine.handle(.refresh(), at: now)
            answers += run(&machine, from: now, for: .milliseconds(200)).filter { $0.output == .answer(lan) }.count
            now = now + .milliseconds(200)
        }
        #expect(answers > 0 && answers <= 11)
        machine.handle(.links([lan, Link(interface: 3, isVersion6: false)]), at: now)
        _ = run(&machine, from: now, for: .seconds(60))
        let before = machine.deadline
        machine.handle(.refresh([9]), at: now + .seconds(60))
        #expect(machine.deadline == before)
    }
}
