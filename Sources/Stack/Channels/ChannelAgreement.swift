import WaggleNetwork

/// What the channels decide inside their handshakes, the same way in each.
extension HandshakeParameters {
    /// The initiator's first muxer that the responder speaks too; nil when one side names none.
    func muxer(offered theirs: [ProtocolID]) throws(HandshakeError) -> ProtocolID? {
        guard !muxers.isEmpty, !theirs.isEmpty else { return nil }
        let muxer =
            switch role {
            case .initiator: muxers.first { theirs.contains($0) }
            case .responder: theirs.first { muxers.contains($0) }
            }
        guard let muxer else { throw .noCommonMuxer }
        return muxer
    }

    /// Checks that the negotiation gave what it should have for both sides' channels, of which `theirs` is authentic: *the dialer's first channel
    /// that the listener accepts*. False when one side negotiated nothing.
    func verifyNegotiation(offered theirs: [ProtocolID], negotiated: ProtocolID) throws(HandshakeError) -> Bool {
        let ours = configuredChannels
        guard !theirs.isEmpty, !ours.isEmpty else { return false }
        let (dialer, listener) = role == .initiator ? (ours, theirs) : (theirs, ours)
        let expected = NoiseTranscript.expected(dialer: dialer, listener: listener)
        guard expected == negotiated else { throw .downgraded(expected: expected, negotiated: negotiated) }
        return true
    }
}
