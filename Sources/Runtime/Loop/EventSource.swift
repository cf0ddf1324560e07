/// A descriptor that a loop watches. Only on that loop.
class EventSource {
    /// Closed is -1.
    final var descriptor: Int32

    init(descriptor: Int32) { self.descriptor = descriptor }

    /// The kernel says that something changed (`EPOLLIN` and so on).
    func ready(_ events: UInt32) { preconditionFailure("abstract") }
}
