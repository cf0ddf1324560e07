import WaggleBase

/// Turns a raw byte stream into a secured and multiplexed one.
///
/// ```
/// securing ──► handshaking ──┬─────────────────────► done      muxer agreed on inside the handshake
/// (multistream)  (channel)   └──► choosing ────────► done      muxer negotiated by multistream inside records
/// ```
/// A dialer with a single channel to offer sends header, proposal and first handshake message in one write. A machine that threw is at
/// its end: send what `next` still has (a refusal, mostly nothing) and close the connection.
public struct UpgradeMachine {
    private enum State {
        /// `early` is the handshake whose first message already went out behind the only proposal.
        case securing(MultistreamMachine, early: (any Handshake)?)
        case handshaking(any Handshake)
        case choosing(MultistreamMachine, Secured)
        case done(Upgraded)
        case over
    }

    private let parameters: UpgradeParameters
    private var state: State
    private var output: [Bytes] = []
    private var received = 0
    /// How many bytes the record at the start of the input takes at least; see `openRecord`.
    private var recordNeed = 0
    /// Whether the handshake has said something; a responder's first message has its identity in it.
    private var hasAnswered = false
    /// Whether the other side has seen who we are, and nothing has come from it since.
    var isBeingJudged: Bool {
        switch (state, parameters.role) {
        case (.handshaking, .responder): hasAnswered
        case (.choosing, .initiator): true
        default: false
        }
    }

    /// How many messages of the handshake were handled, each with what that takes of computing.
    public private(set) var handshakeSteps = 0

    /// When `tick` wants to be called.
    public let deadline: Instant

    /// Begins; there must be at least one channel and one muxer.
    public init(_ parameters: UpgradeParameters, at now: Instant) {
        precondition(!parameters.channels.isEmpty && !parameters.muxers.isEmpty, "nothing to upgrade with")
        self.parameters = parameters
        deadline = now + UpgradeLimits.duration
        let ids = parameters.channels.map(\.protocolID)
        switch parameters.role {
        case .responder:
            state = .securing(MultistreamMachine(accepting: { ids.contains($0) }), early: nil)
        case .initiator where ids.count == 1 || parameters.assumesFirstChannel:
            state = .securing(
                MultistreamMachine(proposing: [ids[0]]), early: UpgradeMachine.makeHandshake(parameters.channels[0], parameters))
        case .initiator:
            state = .securing(MultistreamMachine(proposing: ids), early: nil)
        }
        drainNegotiation()
    }

    /// Takes what it can from the start of `input` and says how many bytes that was. What is left must be presented again with more behind
    /// it, or, once `finish` gave the connection, belongs to that.
    public mutating func receive(_ input: RawSpan) throws(UpgradeError) -> Int {
        var used = 0
        do throws(UpgradeError) {
            while true {
                let part = try step(input.extracting(droppingFirst: used))
                try drain()
                guard part > 0 else { break }
                used += part
                received += part
                guard received <= UpgradeLimits.inputBytes else { throw .negotiation(.tooLong(bytes: UInt64(received))) }
            }
        } catch {
            fail()
            throw error
        }
        return used
    }

    /// A refusal is told; why a handshake failed is not, so that nothing is revealed.
    private mutating func fail() {
        switch state {
        case .securing: break
        case .handshaking(var handshake):
            var words: [Bytes] = []
            while let bytes = handshake.next() { words.append(bytes) }
            output = words.isEmpty ? [] : output + words
        case .choosing, .done, .over: output = []
        }
        state = .over
    }

    /// Work that takes too long for a loop, once; `complete` must follow, and nothing is received before.
    public mutating func takeWork() -> HandshakeWork? {
        guard case .handshaking(var handshake) = state else { return nil }
        defer { state = .handshaking(handshake) }
        return handshake.takeWork()
    }

    /// What the work gave; nil when it could not be done.
    public mutating func complete(_ result: Bytes?) throws(UpgradeError) {
        guard case .handshaking(var handshake) = state else { return }
        do throws(UpgradeError) {
            do throws(HandshakeError) {
                defer { state = .handshaking(handshake) }
                try handshake.complete(result)
            } catch {
                throw .handshake(error)
            }
            try drain()
        } catch {
            fail()
            throw error
        }
    }

    /// The next bytes to send; nil when there are none. All that is pending comes at once.
    public mutating func next() -> Bytes? {
        guard let first = output.first else { return nil }
        defer { output.removeAll() }
        guard output.count > 1 else { return first }
        var writer = ByteWriter(capacity: output.reduce(0) { $0 + $1.count })
        for part in output { writer.write(part) }
        return writer.finish()
    }

    /// The upgraded connection, once; its last bytes may still be in `next`.
    public mutating func finish() -> Upgraded? {
        guard case .done(let upgraded) = state else { return nil }
        state = .over
        return upgraded
    }

    /// Throws when the deadline has passed and the upgrade is not done.
    public mutating func tick(at now: Instant) throws(UpgradeError) {
        switch state {
        case .done, .over: return
        case .securing, .handshaking, .choosing:
            guard now >= deadline else { return }
            state = .over
            throw .timedOut
        }
    }

    /// The other side ended its direction: says what that means at this point.
    public mutating func end() -> UpgradeError {
        defer { state = .over }
        if case .securing(let negotiation, _) = state, negotiation.refusals > 0 { return noChannel }
        return .truncated
    }

    // MARK: Steps

    /// Takes one portion of input in the current state; 0 when it needs more or is done.
    private mutating func step(_ input: RawSpan) throws(UpgradeError) -> Int {
        switch state {
        case .securing(var negotiation, let early):
            guard input.byteCount > 0 else { return 0 }
            let used: Int
            do throws(NegotiationError) {
                used = try negotiation.receive(input)
            } catch {
                collect(negotiation.next())
                // What follows a refused proposal may be the handshake of a dialer that had nothing else to propose.
                throw negotiation.refusals > 0 ? noChannel : .negotiation(error)
            }
            collect(negotiation.next())
            if let id = negotiation.finish() {
                if let early { state = .handshaking(early) } else { state = .handshaking(try makeHandshake(id)) }
            } else {
                state = .securing(negotiation, early: early)
            }
            return used
        case .handshaking(var handshake):
            defer { state = .handshaking(handshake) }
            do throws(HandshakeError) {
                let used = try handshake.receive(input)
                if used > 0 { handshakeSteps += 1 }
                return used
            } catch {
                throw .handshake(error)
            }
        case .choosing(var negotiation, let secured):
            return try choose(input, &negotiation, secured)
        case .done, .over:
            return 0
        }
    }

    /// Moves what there is to send into the output, and goes on to the muxer when the handshake is done.
    private mutating func drain() throws(UpgradeError) {
        switch state {
        case .securing: drainNegotiation()
        case .handshaking(var handshake):
            while let bytes = handshake.next() {
                output.append(bytes)
                hasAnswered = true
            }
            if let secured = handshake.finish() { try begin(secured) } else { state = .handshaking(handshake) }
        case .choosing, .done, .over: break
        }
    }

    private mutating func drainNegotiation() {
        guard case .securing(var negotiation, var early) = state else { return }
        collect(negotiation.next())
        while let bytes = early?.next() { output.append(bytes) }
        state = .securing(negotiation, early: early)
    }

    private mutating func collect(_ bytes: Bytes?) {
        if let bytes { output.append(bytes) }
    }

    /// The channel agreed on is one of ours: we proposed it, or accepted it.
    private func makeHandshake(_ id: ProtocolID) throws(UpgradeError) -> any Handshake {
        guard let channel = parameters.channels.first(where: { $0.protocolID == id }) else { throw .noCommonChannel }
        return UpgradeMachine.makeHandshake(channel, parameters)
    }

    private static func makeHandshake(_ channel: any SecureChannel, _ parameters: UpgradeParameters) -> any Handshake {
        channel.makeHandshake(
            HandshakeParameters(
                role: parameters.role, expectedPeer: parameters.expectedPeer, muxers: parameters.muxers,
                configuredChannels: parameters.channels.map(\.protocolID), random: parameters.random))
    }

    private var noChannel: UpgradeError {
        parameters.channels.allSatisfy(\.isPostQuantum) ? .classicalPeer : .noCommonChannel
    }
}

// MARK: The muxer

extension UpgradeMachine {
    private mutating func begin(_ secured: Secured) throws(UpgradeError) {
        if let muxer = secured.muxer {
            state = .done(Upgraded(secured: secured, muxer: muxer, leftover: Bytes()))
            return
        }
        let muxers = parameters.muxers
        var negotiation =
            switch parameters.role {
            case .initiator: MultistreamMachine(proposing: muxers)
            case .responder: MultistreamMachine(accepting: { muxers.contains($0) })
            }
        // A dialer's first record goes out behind its last handshake message.
        try sealOutput(of: &negotiation, secured)
        state = .choosing(negotiation, secured)
    }

    private mutating func choose(_ input: RawSpan, _ negotiation: inout MultistreamMachine, _ secured: Secured) throws(UpgradeError) -> Int {
        // The input is presented from the same start until its first record is complete, so one look tells how long to wait.
        guard input.byteCount >= max(recordNeed, 1) else { return 0 }
        let record: (plaintext: Bytes, consumed: Int)
        do throws(RecordError) {
            guard let opened = try openRecord(input, secured.records) else { return 0 }
            record = opened
        } catch {
            throw .record(error)
        }
        let used: Int
        do throws(NegotiationError) {
            used = try negotiation.receive(record.plaintext.span)
        } catch {
            switch error {
            case .refused, .tooManyProposals: throw .noCommonMuxer
            case .malformed, .tooLong, .unknownHeader: throw .negotiation(error)
            }
        }
        try sealOutput(of: &negotiation, secured)
        if let muxer = negotiation.finish() {
            let leftover = record.plaintext.dropFirst(used).compacted()
            state = .done(Upgraded(secured: secured, muxer: muxer, leftover: leftover))
        } else {
            state = .choosing(negotiation, secured)
        }
        return record.consumed
    }

    /// Opens the record at the start of `input` in a copy of it: records open in place, and the input is not ours to write.
    private mutating func openRecord(_ input: RawSpan, _ records: any RecordLayer) throws(RecordError) -> (plaintext: Bytes, consumed: Int)? {
        let copy = ByteStorage(capacity: input.byteCount)
        input.withUnsafeBytes { copy.buffer.copyMemory(from: $0) }
        switch try records.open(copy.buffer) {
        case .incomplete(let need):
            recordNeed = need
            return nil
        case .record(let plaintext, let consumed):
            recordNeed = 0
            return (Bytes(storage: copy, range: plaintext), consumed)
        }
    }

    private mutating func sealOutput(of negotiation: inout MultistreamMachine, _ secured: Secured) throws(UpgradeError) {
        guard let lines = negotiation.next() else { return }
        let record = ByteStorage(capacity: lines.count + secured.records.overhead)
        let nothing = UnsafeRawBufferPointer(start: nil, count: 0)
        do throws(RecordError) {
            let size = try lines.withUnsafeBytes { lines throws(RecordError) in
                try secured.records.seal(nothing, lines, into: record.base)
            }
            output.append(Bytes(storage: record, range: 0..<size))
        } catch {
            throw .record(error)
        }
    }
}
