import WaggleBase

extension Connection {
    /// The protocols of the open streams that have one, for tables and diagnosis.
    package var openProtocols: [ProtocolID] {
        get async { await loop.run { self.streams.sorted { $0.key < $1.key }.map(\.value.protocolID) } }
    }
}
