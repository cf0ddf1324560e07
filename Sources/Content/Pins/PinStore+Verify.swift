import WaggleFormats

extension PinStore {
    /// A recursive pin and the first block of it that is not here or not sound; nil where all are.
    public struct Verification: Hashable, Sendable {
        public var root: CID
        public var missing: CID?
    }

    /// Looks for every block of every recursive pin.
    public func verify() async throws -> [Verification] {
        var found: [Verification] = []
        for pin in try await pins() where pin.mode == .recursive {
            try Task.checkCancellation()
            found.append(Verification(root: pin.cid, missing: try await firstMissing(below: pin.cid)))
        }
        return found
    }
}
