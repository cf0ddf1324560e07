import Testing
import WaggleBase
import WaggleNetwork

struct NegotiationMultistreamTests {
    static func lines(_ texts: String...) -> Bytes {
        var writer = ByteWriter()
        for text in texts {
            writer.write(varint: UInt64(text.utf8.count + 1))
            writer.write(utf8: text + "\n")
        }
        return writer.finish()
    }

    static let header = "/multistream/1.0.0"

    /// Two machines, with everything that travels cut into pieces of `piece` bytes.
    private func negotiate(
        _ dialer: inout MultistreamMachine, _ listener: inout MultistreamMachine, piece: Int
    ) throws -> (ProtocolID?, ProtocolID?) {
        for _ in 0..<100 {
            var moved = false
            while let bytes = dialer.next() {
                moved = true
                try feed(bytes, to: &listener, piece: piece)
            }
            while let bytes = listener.next() {
                moved = true
                try feed(bytes, to: &dialer, piece: piece)
            }
            if !moved { break }
        }
        return (dialer.finish(), listener.finish())
    }

    private func feed(_ bytes: Bytes, to machine: inout MultistreamMachine, piece: Int) throws {
        var rest = bytes
        while !rest.isEmpty {
            let part = rest.prefix(piece)
            #expect(try machine.receive(part.span) == part.count)
            rest = rest.dropFirst(part.count)
        }
    }

    @Test(arguments: [1, 2, 3, 7, 19, 20, 21, 1000]) func theFirstCommonProtocolWinsHoweverTheBytesAreCut(piece: Int) throws {
        var dialer = MultistreamMachine(proposing: ["/a/1", "/b/1", "/c/1"])
        var listener = MultistreamMachine(accepting: { ["/c/1", "/b/1"].contains($0.text) })
        let agreed = try negotiate(&dialer, &listener, piece: piece)
        #expect(agreed.0 == "/b/1" && agreed.1 == "/b/1")
        #expect(dialer.refusals == 1 && listener.refusals == 1)
        #expect(dialer.finish() == nil && listener.finish() == nil)
    }

    @Test func aDialerWithOneProposalMaySendAtOnce() throws {
        var dialer = MultistreamMachine(proposing: ["/echo/1"])
        #expect(dialer.assumed == "/echo/1")
        #expect(dialer.next() == Self.lines(Self.header, "/echo/1"))
        #expect(dialer.next() == nil)
        // The answer and the first data of the other side arrive together.
        var writer = ByteWriter()
        writer.write(Self.lines(Self.header, "/echo/1"))
        writer.write(utf8: "data")
        #expect(try dialer.receive(writer.finish().span) == Self.lines(Self.header, "/echo/1").count)
        #expect(dialer.finish() == "/echo/1")

        let several = MultistreamMachine(proposing: ["/echo/1", "/echo/2"])
        #expect(several.assumed == nil)
        #expect(MultistreamMachine(accepting: { _ in true }).assumed == nil)
    }

    @Test func theListenerAnswersAHeaderThatComesAlone() throws {
        var listener = MultistreamMachine(accepting: { $0 == "/echo/1" })
        #expect(listener.next() == nil)
        _ = try listener.receive(Self.lines(Self.header).span)
        #expect(listener.next() == Self.lines(Self.header))
        _ = try listener.receive(Self.lines("/echo/1").span)
        #expect(listener.next() == Self.lines("/echo/1"))
        #expect(listener.finish() == "/echo/1")
    }

    @Test func theListenerTakesNothingBehindTheProposalItAccepts() throws {
        var listener = MultistreamMachine(accepting: { $0 == "/echo/1" })
        var writer = ByteWriter()
        writer.write(Self.lines(Self.header, "/no/1", "/echo/1"))
        writer.write(Self.lines("/data/that/looks/like/a/proposal"))
        let input = writer.finish()
        #expect(try listener.receive(input.span) == Self.lines(Self.header, "/no/1", "/echo/1").count)
        #expect(listener.next() == Self.lines(Self.header, "na", "/echo/1"))
        #expect(try listener.receive(input.span) == 0)
    }

    @Test func listsAndNonsenseAreRefusedPolitely() throws {
        var listener = MultistreamMachine(accepting: { $0 == "/echo/1" })
        _ = try listener.receive(Self.lines(Self.header, "ls", "").span)
        _ = try listener.receive(Bytes([3, 0xff, 0xfe, 0x0a]).span)
        #expect(listener.next() == Self.lines(Self.header, "na", "na", "na"))
        _ = try listener.receive(Self.lines("/echo/1").span)
        #expect(listener.finish() == "/echo/1")
    }

    @Test func aRefusedDialerSaysSo() throws {
        var dialer = MultistreamMachine(proposing: ["/a/1", "/b/1"])
        _ = try dialer.receive(Self.lines(Self.header, "na").span)
        #expect(throws: NegotiationError.refused) { _ = try dialer.receive(Self.lines("na").span) }
    }

    @Test func badInputEndsInATypedError() {
        func outcome(_ bytes: Bytes, dialing: Bool) -> NegotiationError? {
            var machine = dialing ? MultistreamMachine(proposing: ["/a/1"]) : MultistreamMachine(accepting: { _ in false })
            do throws(NegotiationError) { _ = try machine.receive(bytes.span) } catch { return error }
            return nil
        }
        for dialing in [false, true] {
            #expect(outcome(Self.lines("/multistream/2.0.0"), dialing: dialing) == .unknownHeader)
            #expect(outcome("GET / HTTP/1.1\r\n", dialing: dialing) == nil)  // 'G' = 71 bytes that have not come
            #expect(outcome(Bytes([0]), dialing: dialing) == .malformed)
            #expect(outcome(Bytes([1, 65]), dialing: dialing) == .malformed)
            #expect(outcome(Bytes([0x80, 0x80]), dialing: dialing) == .malformed)
            #expect(outcome(Bytes([0x81, 0x00]), dialing: dialing) == .malformed)
            #expect(outcome(Bytes([0x81, 0x08]), dialing: dialing) == .tooLong(bytes: 1025))
        }
        #expect(outcome(Self.lines(Self.header, "/b/1"), dialing: true) == .malformed)
    }

    @Test func aLineMayBeAsLongAsTheLimit() throws {
        let longest = "/" + String(repeating: "x", count: NegotiationLimits.lineBytes - 2)
        var dialer = MultistreamMachine(proposing: [ProtocolID(longest)])
        var listener = MultistreamMachine(accepting: { $0.text == longest })
        let agreed = try negotiate(&dialer, &listener, piece: 100)
        #expect(agreed.0?.text == longest && agreed.1?.text == longest)
    }

    @Test func proposalsAreCounted() throws {
        var listener = MultistreamMachine(accepting: { _ in false })
        _ = try listener.receive(Self.lines(Self.header).span)
        for _ in 1..<NegotiationLimits.proposals { _ = try listener.receive(Self.lines("/x").span) }
        #expect(throws: NegotiationError.tooManyProposals) { _ = try listener.receive(Self.lines("/x").span) }
    }

    @Test func garbageNeverTraps() {
        var random = Generator(seed: 11)
        for _ in 0..<2_000 {
            var machine =
                random.next() & 1 == 0 ? MultistreamMachine(proposing: ["/a/1", "/b/1"]) : MultistreamMachine(accepting: { $0.text.count == 3 })
            if random.next() & 3 != 0 { _ = try? machine.receive(Self.lines(Self.header).span) }
            for _ in 0..<8 {
                var input = random.bytes(upTo: 40)
                // Half of the inputs begin with a length that is short enough to be believed.
                if !input.isEmpty, random.next() & 1 == 0 { input[0] = UInt8(random.next() % 8) }
                let bytes = Bytes(input)
                guard let used = try? machine.receive(bytes.span) else { break }
                #expect(used <= bytes.count)
                _ = machine.next()
            }
        }
    }
}

/// A small deterministic generator (SplitMix64).
struct Generator: RandomNumberGenerator {
    private var state: UInt64

    init(seed: UInt64) { state = seed }

    mutating func next() -> UInt64 {
        state &+= 0x9e37_79b9_7f4a_7c15
        var value = state
        value = (value ^ (value >> 30)) &* 0xbf58_476d_1ce4_e5b9
        value = (value ^ (value >> 27)) &* 0x94d0_49bb_1331_11eb
        return value ^ (value >> 31)
    }

    mutating func bytes(_ count: Int) -> [UInt8] { (0..<count).map { _ in UInt8(truncatingIfNeeded: next()) } }
    mutating func bytes(upTo limit: Int) -> [UInt8] { bytes(Int(next() % UInt64(limit + 1))) }
}
