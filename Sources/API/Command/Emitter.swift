import WaggleBase
import WaggleFormats

/// Takes what a command produces: either JSON values, or bytes.
package protocol Emitter: AnyObject, Sendable {
    /// How many bytes will be written in all, for progress bars; before the first write.
    func setLength(_ length: UInt64)
    /// The media type of the bytes; before the first write.
    func setContentType(_ type: String)
    /// Tells the receiver that values will come, before the first one does.
    func begin() async throws
    /// Sends one of several values.
    func emit(_ value: JSON) async throws
    /// Sends the only value.
    func emitOnce(_ value: JSON) async throws
    /// Sends bytes; suspends while the receiver is slow.
    func write(_ bytes: Bytes) async throws
}

extension Emitter {
    package func begin() async throws {}
}

/// Shows a command's output on a terminal.
package protocol Presenter: AnyObject, Sendable {
    func length(_ length: UInt64)
    func value(_ value: JSON) async throws
    func bytes(_ bytes: Bytes) async throws
    /// After the last output; throws when the command as a whole failed.
    func end() async throws
    /// After an error, to put the terminal in order.
    func abandon()
}

extension Presenter {
    package func length(_ length: UInt64) {}
    package func bytes(_ bytes: Bytes) async throws {}
    package func end() async throws {}
    package func abandon() {}
}
