import Testing
import WaggleBase
import WaggleCryptography
import WaggleNetwork

@testable import WaggleStack

/// Two upgrades and the wire between them, on which somebody may sit.
struct UpgradePair {
    var dialer: UpgradeMachine
    var listener: UpgradeMachine
    /// Raw bytes on their way that were not taken yet.
    var toListener: [UInt8] = []
    var toDialer: [UInt8] = []
    /// Everything that travelled, in writes.
    var writes: [(fromDialer: Bool, bytes: Bytes)] = []
    var dialerError: UpgradeError?
    var listenerError: UpgradeError?

    init(_ dialer: UpgradeParameters, _ listener: UpgradeParameters) {
        self.dialer = UpgradeMachine(dialer, at: Instant(nanoseconds: 0))
        self.listener = UpgradeMachine(listener, at: Instant(nanoseconds: 0))
    }

    /// Lets bytes travel until nothing moves. They arrive `piece` at a time; `meddle` may change what is written.
    mutating func run(piece: Int = .max, meddle: (_ fromDialer: Bool, _ bytes: Bytes) -> Bytes = { $1 }) {
        for _ in 0..<200 {
            var moved = false
            if let bytes = dialer.next() {
                writes.append((true, bytes))
                toListener += meddle(true, bytes).array
                moved = true
            }
            if let bytes = listener.next() {
                writes.append((false, bytes))
                toDialer += meddle(false, bytes).array
                moved = true
            }
            if listenerError == nil, !toListener.isEmpty {
                listenerError = Self.deliver(&toListener, to: &listener, piece: piece)
            }
            if dialerError == nil, !toDialer.isEmpty {
                dialerError = Self.deliver(&toDialer, to: &dialer, piece: piece)
            }
            if !moved { return }
        }
        Issue.record("the two never come to an end")
    }

    /// Presents growing windows of `buffer`, as a socket would, and drops what was taken.
    private static func deliver(_ buffer: inout [UInt8], to machine: inout UpgradeMachine, piece: Int) -> UpgradeError? {
        var visible = 0
        do throws(UpgradeError) {
            while visible < buffer.count {
                visible = piece == .max ? buffer.count : min(visible + piece, buffer.count)
                let used = try machine.receive(buffer.span.bytes.extracting(first: visible))
                buffer.removeFirst(used)
                visible -= used
            }
        } catch {
            return error
        }
        return nil
    }
}

struct UpgradeTests {
    private func check(_ pair: inout UpgradePair, _ channel: ProtocolID, _ muxer: ProtocolID = "/yamux/1.0.0") throws {
        #expect(pair.dialerError == nil && pair.listenerError == nil)
        let left = try unwrap(pair.dialer.finish())
        let right = try unwrap(pair.listener.finish())
        #expect(left.secured.security.channel == channel && right.secured.security.channel == channel)
        #expect(left.muxer == muxer && right.muxer == muxer)
        #expect(left.leftover.isEmpty && right.leftover.isEmpty)
        #expect(left.secured.security.transcriptVerified && right.secured.security.transcriptVerified)
        #expect(pair.toDialer.isEmpty && pair.toListener.isEmpty)
        #expect(try right.secured.records.opened(left.secured.records.sealed(Bytes([1]))) == [1])
        #expect(try left.secured.records.opened(right.secured.records.sealed(Bytes([2]))) == [2])
        #expect(pair.dialer.finish() == nil && pair.listener.finish() == nil)
    }

    @Test(arguments: [1, 2, 3, 100, Int.max]) func everyPairOfPoliciesEndsAsItShould(piece: Int) throws {
        let (dialer, listener) = (try TestNode(1), try TestNode(2))
        let hybrid: ProtocolID = "/noise-mlkem768-hfs/0.2.0"
        let expected: [[ProtocolID?]] = [
            ["/noise", "/noise", nil],
            ["/noise", hybrid, hybrid],
            [nil, hybrid, hybrid],
        ]
        for (row, left) in SecurityPolicy.allCases.enumerated() {
            for (column, right) in SecurityPolicy.allCases.enumerated() {
                var pair = UpgradePair(
                    dialer.parameters(.initiator, left, expecting: listener.identity.peer), listener.parameters(.responder, right))
                pair.run(piece: piece)
                if let channel = expected[row][column] {
                    try check(&pair, channel)
                } else {
                    // The side that insists says so; the other one sees that there is nothing in common, or that the line went dead.
                    #expect(pair.dialerError == (left == .require ? .classicalPeer : .noCommonChannel))
                    // A listener waits for further proposals, unless it got a handshake it cannot read.
                    #expect((pair.listenerError ?? pair.listener.end()) == (right == .require ? .classicalPeer : .noCommonChannel))
                    #expect(pair.dialer.finish() == nil && pair.listener.finish() == nil)
                }
            }
        }
    }

    @Test func theOlderIdOfTheHybridChannelIsSpokenToo() throws {
        let (dialer, listener) = (try TestNode(1), try TestNode(2))
        var parameters = listener.parameters(.responder, .require)
        parameters.channels.removeFirst()
        var pair = UpgradePair(dialer.parameters(.initiator, .prefer), parameters)
        pair.run()
        try check(&pair, "/noise-mlkem768-hfs/0.1.0")
    }

    @Test func aSingleChannelTakesThreeWrites() throws {
        let (dialer, listener) = (try TestNode(1), try TestNode(2))
        for assumes in [false, true] {
            var pair = UpgradePair(
                dialer.parameters(.initiator, assumes ? .prefer : .classical, assumes: assumes), listener.parameters(.responder, .prefer))
            pair.run()
            // Header, proposal and first message; header, echo and second message; third message.
            #expect(pair.writes.map(\.fromDialer) == [true, false, true])
            try check(&pair, assumes ? "/noise-mlkem768-hfs/0.2.0" : "/noise")
        }
        // With several to choose from, a round trip more.
        var pair = UpgradePair(dialer.parameters(.initiator, .prefer), listener.parameters(.responder, .prefer))
        pair.run()
        #expect(pair.writes.map(\.fromDialer) == [true, false, true, false, true])
    }

    @Test func anAssumptionThatFailsSaysSo() throws {
        var pair = UpgradePair(
            try TestNode(1).parameters(.initiator, .prefer, assumes: true), try TestNode(2).parameters(.responder, .classical))
        pair.run()
        #expect(pair.dialerError == .noCommonChannel)
    }

    @Test func muxersAreNegotiatedInsideWhenTheHandshakeDoesNot() throws {
        let (dialer, listener) = (try TestNode(1), try TestNode(2))
        for piece in [1, 5, Int.max] {
            for (mine, theirs) in [(["/yamux/1.0.0"], ["/mplex/6.7.0", "/yamux/1.0.0"]), (["/q/1", "/yamux/1.0.0"], ["/yamux/1.0.0"])] {
                var left = dialer.parameters(.initiator, .prefer, muxers: mine.map { ProtocolID($0) })
                var right = listener.parameters(.responder, .prefer, muxers: theirs.map { ProtocolID($0) })
                left.channels = left.channels.map { WithoutMuxers($0) }
                right.channels = right.channels.map { WithoutMuxers($0) }
                var pair = UpgradePair(left, right)
                pair.run(piece: piece)
                try check(&pair, "/noise-mlkem768-hfs/0.2.0")
            }
        }
        var left = dialer.parameters(.initiator, .prefer, muxers: ["/a"])
        left.channels = left.channels.map { WithoutMuxers($0) }
        var pair = UpgradePair(left, listener.parameters(.responder, .prefer, muxers: ["/b"]))
        pair.run()
        #expect(pair.dialerError == .noCommonMuxer)
    }

    /// A channel that keeps the muxers out of its handshake, like peers from before that existed.
    struct WithoutMuxers: SecureChannel {
        let inner: any SecureChannel
        init(_ inner: any SecureChannel) { self.inner = inner }
        var protocolID: ProtocolID { inner.protocolID }
        var isPostQuantum: Bool { inner.isPostQuantum }
        func makeHandshake(_ parameters: HandshakeParameters) -> any Handshake {
            var parameters = parameters
            parameters.muxers = []
            return inner.makeHandshake(parameters)
        }
    }

    @Test func plaintextBehindTheMuxerIsKept() throws {
        // The dialer's muxer proposal and its first frames in one record, as other implementations send them.
        let (dialer, listener) = (try TestNode(1), try TestNode(2))
        var handshake = NoiseChannel.classical(dialer.keys).makeHandshake(HandshakeParameters(role: .initiator, random: testRandom(1)))
        var machine = UpgradeMachine(listener.parameters(.responder, .prefer), at: Instant(nanoseconds: 0))
        var writer = ByteWriter()
        writer.write(NegotiationMultistreamTests.lines("/multistream/1.0.0", "/noise"))
        writer.write(try unwrap(handshake.next()))
        let opening = writer.finish()
        #expect(try machine.receive(opening.span) == opening.count)
        let echo = NegotiationMultistreamTests.lines("/multistream/1.0.0", "/noise")
        let answer = try unwrap(machine.next())
        #expect(answer.prefix(echo.count) == echo)
        _ = try handshake.receive(answer.dropFirst(echo.count).span)
        let last = try unwrap(handshake.next())
        let secured = try unwrap(handshake.finish())
        writer = ByteWriter()
        writer.write(last)
        var lines = ByteWriter()
        lines.write(NegotiationMultistreamTests.lines("/multistream/1.0.0", "/yamux/1.0.0"))
        lines.write(utf8: "first frames")
        writer.write(try secured.records.sealed(lines.finish()))
        let following = try secured.records.sealed("a record of its own")
        let length = writer.count
        writer.write(following)
        #expect(try machine.take(writer.finish()) == length)
        let upgraded = try unwrap(machine.finish())
        #expect(upgraded.leftover == "first frames" && upgraded.muxer == "/yamux/1.0.0")
        #expect(try upgraded.secured.records.opened(following) == Bytes(utf8: "a record of its own").array)
        #expect(!upgraded.secured.security.transcriptVerified)
    }

    // MARK: Somebody in between

    /// Answers `na` in the listener's place to every proposal that is not `/noise`, and hides these from the listener.
    @Test func strippedProposalsAreNoticedByBoth() throws {
        let (dialer, listener) = (try TestNode(1), try TestNode(2))
        let header = NegotiationMultistreamTests.lines("/multistream/1.0.0")
        let na = NegotiationMultistreamTests.lines("na")
        let noise = NegotiationMultistreamTests.lines("/noise")

        /// Runs the attack up to the point where both ends are in a handshake of `/noise`.
        func attack(_ left: UpgradeParameters, _ right: UpgradeParameters) throws -> UpgradePair {
            var pair = UpgradePair(left, right)
            _ = pair.dialer.next()
            _ = try pair.dialer.receive(header.span)
            for _ in left.channels.dropLast() {
                _ = try pair.dialer.receive(na.span)
                _ = pair.dialer.next()
            }
            _ = try pair.listener.receive(header.span)
            _ = try pair.listener.receive(noise.span)
            _ = pair.listener.next()
            _ = try pair.dialer.receive(noise.span)
            return pair
        }

        var pair = try attack(dialer.parameters(.initiator, .prefer), listener.parameters(.responder, .prefer))
        pair.run()
        let downgraded = UpgradeError.handshake(.downgraded(expected: "/noise-mlkem768-hfs/0.2.0", negotiated: "/noise"))
        #expect(pair.dialerError == downgraded)
        #expect(pair.writes.count == 2)  // the dialer says nothing more
        #expect(pair.dialer.finish() == nil && pair.listener.finish() == nil)

        // Even if the dialer did not look, the listener would.
        var careless = dialer.parameters(.initiator, .prefer)
        careless.channels = careless.channels.map { Careless(inner: $0) }
        pair = try attack(careless, listener.parameters(.responder, .prefer))
        pair.run()
        #expect(pair.dialerError == nil)
        #expect(pair.listenerError == downgraded)
        #expect(pair.listener.finish() == nil)

        // Towards a peer that has only /noise the same sequence is no attack.
        pair = try attack(dialer.parameters(.initiator, .prefer), listener.parameters(.responder, .classical))
        pair.run()
        try check(&pair, "/noise")
    }

    /// A dialer's channel that signs its offer but does not check the other side's. (It expects what it got.)
    struct Careless: SecureChannel {
        let inner: any SecureChannel
        var protocolID: ProtocolID { inner.protocolID }
        var isPostQuantum: Bool { inner.isPostQuantum }
        func makeHandshake(_ parameters: HandshakeParameters) -> any Handshake {
            guard let channel = inner as? NoiseChannel else { return inner.makeHandshake(parameters) }
            return CarelessHandshake(channel, parameters)
        }
    }

    struct CarelessHandshake: Handshake {
        let channel: NoiseChannel
        let parameters: HandshakeParameters
        var core: NoiseCore
        var output: Bytes?

        init(_ channel: NoiseChannel, _ parameters: HandshakeParameters) {
            self.channel = channel
            self.parameters = parameters
            core = NoiseCore(.xx, role: .initiator, localStatic: channel.keys.staticKey, random: parameters.random)
            try? write { _ in Bytes() }
        }

        mutating func write(_ payload: (Digest256) -> Bytes) throws {
            var writer = ByteWriter()
            try core.write(to: &writer, payload: payload)
            let message = writer.finish()
            var framed = ByteWriter()
            framed.write(integer: UInt16(message.count))
            framed.write(message)
            output = framed.finish()
        }

        mutating func receive(_ input: RawSpan) throws(HandshakeError) -> Int {
            guard input.byteCount > 0 else { return 0 }
            _ = try core.read(input.extracting(droppingFirst: 2))
            let (channel, parameters) = (channel, parameters)
            try? write { hash in
                var payload = NoisePayload()
                payload.identityKey = channel.keys.identity.key.publicKey.encoded
                payload.identitySignature = channel.keys.signature
                payload.channels = parameters.configuredChannels
                payload.transcriptSignature = NoiseTranscript.signedBytes(hash, payload.channels).flatMap { channel.keys.identity.key.sign($0) } ?? Bytes()
                return payload.encoded
            }
            return input.byteCount
        }

        mutating func next() -> Bytes? { output.take() }
        mutating func finish() -> Secured? { nil }
    }

    @Test func aPeerWithoutTheExtensionIsAccepted() throws {
        var old = try TestNode(2).parameters(.responder, .classical)
        old.channels = old.channels.map { WithoutTranscript(inner: $0) }
        for policy in [SecurityPolicy.classical, .prefer] {
            var pair = UpgradePair(try TestNode(1).parameters(.initiator, policy), old)
            pair.run()
            #expect(pair.dialerError == nil && pair.listenerError == nil)
            let upgraded = try unwrap(pair.dialer.finish())
            #expect(!upgraded.secured.security.transcriptVerified && upgraded.secured.security.channel == "/noise")
        }
    }

    struct WithoutTranscript: SecureChannel {
        let inner: any SecureChannel
        var protocolID: ProtocolID { inner.protocolID }
        var isPostQuantum: Bool { inner.isPostQuantum }
        func makeHandshake(_ parameters: HandshakeParameters) -> any Handshake {
            var parameters = parameters
            parameters.configuredChannels = []
            return inner.makeHandshake(parameters)
        }
    }

    @Test func changedBytesNeverGiveAConnection() throws {
        let (dialer, listener) = (try TestNode(1), try TestNode(2))
        for policy in [SecurityPolicy.classical, .require] {
            var honest = UpgradePair(dialer.parameters(.initiator, policy), listener.parameters(.responder, policy))
            honest.run()
            for write in honest.writes.indices {
                for index in stride(from: 0, to: honest.writes[write].bytes.count, by: policy == .classical ? 3 : 11) {
                    var count = 0
                    var pair = UpgradePair(dialer.parameters(.initiator, policy), listener.parameters(.responder, policy))
                    pair.run { _, bytes in
                        defer { count += 1 }
                        guard count == write, index < bytes.count else { return bytes }
                        var changed = bytes.array
                        changed[index] ^= 0x01
                        return Bytes(changed)
                    }
                    #expect(pair.listener.finish() == nil, "write \(write), byte \(index)")
                    // The dialer may believe that it is done when only its last message was changed.
                    if write < honest.writes.count - 1 { #expect(pair.dialer.finish() == nil, "write \(write), byte \(index)") }
                }
            }
        }
    }

    // MARK: Bounds

    @Test func theDeadlineEndsIt() throws {
        var machine = UpgradeMachine(try TestNode(1).parameters(.initiator, .prefer), at: Instant(nanoseconds: 5))
        #expect(machine.deadline == Instant(nanoseconds: 5) + UpgradeLimits.duration)
        try machine.tick(at: machine.deadline - .nanoseconds(1))
        #expect(throws: UpgradeError.timedOut) { try machine.tick(at: machine.deadline) }
        try machine.tick(at: machine.deadline)
        #expect(try machine.take(Bytes([1])) == 0)

        var pair = UpgradePair(try TestNode(1).parameters(.initiator, .prefer), try TestNode(2).parameters(.responder, .prefer))
        pair.run()
        try pair.dialer.tick(at: .distantFuture)
        #expect(pair.dialer.finish() != nil)
    }

    @Test func endlessEmptyRecordsAreBounded() throws {
        var left = try TestNode(1).parameters(.initiator, .classical)
        left.channels = left.channels.map { WithoutMuxers($0) }
        var dialer = UpgradeMachine(left, at: Instant(nanoseconds: 0))
        let node = try TestNode(2)
        var handshake = NoiseChannel.classical(node.keys).makeHandshake(HandshakeParameters(role: .responder, random: testRandom(2)))
        let opening = try unwrap(dialer.next())
        let lines = NegotiationMultistreamTests.lines("/multistream/1.0.0", "/noise")
        #expect(opening.prefix(lines.count) == lines)
        _ = try handshake.receive(opening.dropFirst(lines.count).span)
        _ = try dialer.receive(lines.span)
        let answer = try unwrap(handshake.next())
        _ = try dialer.receive(answer.span)
        let rest = try unwrap(dialer.next())
        _ = try handshake.receive(rest.span)
        let secured = try unwrap(handshake.finish())
        var sent = 0
        var error: UpgradeError?
        while error == nil, sent < 2 * UpgradeLimits.inputBytes {
            let record = Bytes(try secured.records.sealed(Bytes()))
            sent += record.count
            do throws(UpgradeError) { _ = try dialer.receive(record.span) } catch let caught { error = caught }
        }
        guard case .negotiation(.tooLong) = error else {
            Issue.record("\(String(describing: error))")
            return
        }
        #expect(sent <= UpgradeLimits.inputBytes)
    }

    @Test func aPortScannerIsSaidToHaveGone() throws {
        var machine = UpgradeMachine(try TestNode(2).parameters(.responder, .require), at: Instant(nanoseconds: 0))
        #expect(machine.end() == .truncated)
        machine = UpgradeMachine(try TestNode(2).parameters(.responder, .require), at: Instant(nanoseconds: 0))
        _ = try machine.receive(NegotiationMultistreamTests.lines("/multistream/1.0.0", "/noise").span)
        #expect(machine.next() == NegotiationMultistreamTests.lines("/multistream/1.0.0", "na"))
        #expect(machine.end() == .classicalPeer)
    }

    @Test func garbageNeverTraps() throws {
        var random = Generator(seed: 4711)
        let (dialer, listener) = (try TestNode(1), try TestNode(2))
        for round in 0..<400 {
            var pair = UpgradePair(dialer.parameters(.initiator, .prefer), listener.parameters(.responder, .prefer))
            // From some write on, everything is replaced by noise of the same length.
            let honest = Int(random.next() % 5)
            var count = 0
            pair.run(piece: round % 3 == 0 ? 7 : .max) { _, bytes in
                count += 1
                return count <= honest ? bytes : Bytes(random.bytes(bytes.count))
            }
            if honest < 5 { #expect(pair.listener.finish() == nil) }
        }
    }
}
