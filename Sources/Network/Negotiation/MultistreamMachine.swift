import WaggleBase

/// Agrees on a protocol by multistream-select 1.0, over a raw connection, inside a secured one, or on a new stream.
///
/// ```
/// dialer    /multistream/1.0.0  proposal ──────────►              proposal ───►
/// listener  ◄─────────── /multistream/1.0.0  na                ◄── the same (agreed)
/// ```
/// The dialer's header travels with its first proposal in one write. With a single proposal there is nothing to wait for, so the dialer may
/// send its data at once (`assumed`); the answer is then read before the first data of the other side. The listener answers every line
/// as it comes, the header alone too, and answers `na` to what it does not know, `ls` included.
///
/// The machine buffers an incomplete line itself, so input may be cut anywhere.
/// Spec: multiformats/multistream-select; libp2p connections, section "multistream-select".
public struct MultistreamMachine: Sendable {
    private enum Side: Sendable {
        case dialer(proposals: [ProtocolID], index: Int)
        case listener(accepts: @Sendable (ProtocolID) -> Bool)
    }

    private enum Phase: Sendable {
        case header, answers
        case agreed(ProtocolID)
        case finished
    }

    private var side: Side
    private var phase = Phase.header
    private var output: Bytes?
    /// The beginning of a line whose end has not arrived, at most `NegotiationLimits.lineBytes` and its length prefix.
    private var partial: [UInt8] = []
    /// Proposals that were answered with `na`, by us or by the other side.
    public private(set) var refusals = 0

    /// A dialer that proposes `protocols` in this order; there must be at least one.
    public init(proposing protocols: [ProtocolID]) {
        precondition(!protocols.isEmpty, "nothing to propose")
        side = .dialer(proposals: protocols, index: 0)
        emit(MultistreamLine.header, protocols[0].text)
    }

    /// A listener that takes the first proposal for which `accepts` says yes.
    public init(accepting accepts: @escaping @Sendable (ProtocolID) -> Bool) {
        side = .listener(accepts: accepts)
    }

    /// The protocol for which the dialer may send data now, behind the output taken so far: the only proposal, or what was agreed.
    public var assumed: ProtocolID? {
        switch phase {
        case .agreed(let id): return id
        case .header, .answers:
            guard case .dialer(let proposals, _) = side, proposals.count == 1 else { return nil }
            return proposals[0]
        case .finished: return nil
        }
    }

    /// Takes lines from `input` and says how many bytes it used: all, until the protocol is agreed on; what follows belongs to it.
    public mutating func receive(_ input: RawSpan) throws(NegotiationError) -> Int {
        var used = 0
        while !isOver {
            if partial.isEmpty {
                let rest = input.extracting(droppingFirst: used)
                switch try MultistreamLine.read(rest) {
                case .line(let text, let length):
                    used += length
                    try handle(rest.extracting(text))
                case .incomplete:
                    partial.reserveCapacity(64)
                    append(rest)
                    return input.byteCount
                }
            } else {
                let outcome = try MultistreamLine.read(partial.span.bytes)
                switch outcome {
                case .incomplete(let need):
                    let part = input.extracting(used..<min(input.byteCount, used + need - partial.count))
                    guard part.byteCount > 0 else { return used }
                    append(part)
                    used += part.byteCount
                case .line(let text, _):
                    let line = partial
                    partial = []
                    try handle(line.span.bytes.extracting(text))
                }
            }
        }
        return used
    }

    /// The next bytes to send; nil when there are none.
    public mutating func next() -> Bytes? { output.take() }

    /// The protocol both sides agreed on, once.
    public mutating func finish() -> ProtocolID? {
        guard case .agreed(let id) = phase else { return nil }
        phase = .finished
        return id
    }

    private var isOver: Bool {
        switch phase {
        case .header, .answers: false
        case .agreed, .finished: true
        }
    }

    private mutating func append(_ bytes: RawSpan) { bytes.withUnsafeBytes { partial.append(contentsOf: $0) } }

    private mutating func handle(_ text: RawSpan) throws(NegotiationError) {
        if case .header = phase {
            guard text.equals(MultistreamLine.header) else { throw .unknownHeader }
            phase = .answers
            if case .listener = side { emit(MultistreamLine.header) }
            return
        }
        switch side {
        case .dialer(let proposals, let index): try handleAnswer(text, proposals, index)
        case .listener(let accepts): try handleProposal(text, accepts)
        }
    }

    private mutating func handleAnswer(_ text: RawSpan, _ proposals: [ProtocolID], _ index: Int) throws(NegotiationError) {
        if text.equals(proposals[index].text) {
            phase = .agreed(proposals[index])
        } else if text.equals(MultistreamLine.notAvailable) {
            refusals += 1
            guard index + 1 < proposals.count else { throw .refused }
            side = .dialer(proposals: proposals, index: index + 1)
            emit(proposals[index + 1].text)
        } else {
            throw .malformed
        }
    }

    private mutating func handleProposal(
        _ text: RawSpan, _ accepts: @Sendable (ProtocolID) -> Bool
    ) throws(NegotiationError) {
        // A name that is not UTF-8 is a name nobody has.
        if let text = text.withUnsafeBytes({ String(validating: $0, as: UTF8.self) }), accepts(ProtocolID(text)) {
            emit(text)
            phase = .agreed(ProtocolID(text))
        } else {
            refusals += 1
            guard refusals < NegotiationLimits.proposals else { throw .tooManyProposals }
            emit(MultistreamLine.notAvailable)
        }
    }

    private mutating func emit(_ lines: String...) {
        let before = output.take()
        var writer = ByteWriter(capacity: (before?.count ?? 0) + lines.reduce(0) { $0 + $1.utf8.count + 3 })
        if let before { writer.write(before) }
        for line in lines { MultistreamLine.write(line, to: &writer) }
        output = writer.finish()
    }
}

extension RawSpan {
    /// Whether these are the UTF-8 bytes of `text`.
    func equals(_ text: String) -> Bool {
        withUnsafeBytes { $0.count == text.utf8.count && $0.elementsEqual(text.utf8) }
    }
}
