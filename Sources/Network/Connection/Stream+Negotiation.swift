import WaggleBase

extension Stream {
    var isNegotiating: Bool { negotiation != nil }

    /// Sends what the negotiation has to say.
    func sendNegotiation() {
        guard let lines = negotiation?.next() else { return }
        connection.session.send(lines, on: id)
        connection.scheduleFlush()
    }

    /// Gives arrived bytes to the negotiation. Returns what belongs to the protocol, nil when the stream is over.
    func negotiate(_ bytes: Bytes) -> Bytes? {
        let used: Int
        do throws(NegotiationError) {
            guard let count = try negotiation?.receive(bytes.span) else { return bytes }
            used = count
        } catch {
            negotiationFailed(error)
            return nil
        }
        connection.session.consumed(used, on: id, at: connection.loop.now)
        sendNegotiation()
        if let agreed = negotiation?.finish() {
            negotiation = nil
            protocolID = agreed
            readable.wake()
            if direction == .inbound { connection.serve(self) }
        }
        return bytes.dropFirst(used)
    }

    private func negotiationFailed(_ error: NegotiationError) {
        connection.session.reset(id, code: StreamResetCode.protocolNegotiationFailed)
        fail(error == .refused ? .protocolNotSupported : .malformed)
        connection.remove(id)
    }

    /// Waits until the protocol is agreed on.
    func negotiated() async throws(StreamError) {
        while isNegotiating {
            try checkTime()
            if let failure { throw failure }
            if isEnded { throw .truncated }
            try await park(readable)
        }
        if let failure { throw failure }
    }
}
