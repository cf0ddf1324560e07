/// Parks tasks until their loop says that something changed: the one type that owns continuations.
///
/// Only on the loop. A waiting task that is cancelled wakes and throws `CancellationError`. Check the condition in a loop:
/// ```swift
/// while inbox.isEmpty { try await readable.wait() }
/// ```
/// Nothing else runs on the loop between the check and the parking, so no wake-up is lost.
public final class Waiter: @unchecked Sendable {
    private let loop: any EventLoop
    private var parked: [(id: UInt64, continuation: UnsafeContinuation<Bool, Never>)] = []
    private var nextID: UInt64 = 0

    public init(on loop: any EventLoop) { self.loop = loop }

    /// Whether any task is parked here.
    public var isAwaited: Bool { !parked.isEmpty }

    /// Suspends until `wake`. Must be called on the loop, from a task of the loop.
    public func wait() async throws(CancellationError) {
        let id = nextID
        nextID &+= 1
        let woken = await withTaskCancellationHandler {
            await withUnsafeContinuation { continuation in
                if Task.isCancelled { continuation.resume(returning: false) } else { parked.append((id, continuation)) }
            }
        } onCancel: {
            loop.execute { self.abandon(id) }
        }
        if !woken { throw CancellationError() }
    }

    /// Wakes every parked task.
    public func wake() {
        guard !parked.isEmpty else { return }
        let woken = parked
        parked.removeAll(keepingCapacity: true)
        for waiter in woken { waiter.continuation.resume(returning: true) }
    }

    /// Wakes the task that has waited longest.
    public func wakeOne() {
        if !parked.isEmpty { parked.removeFirst().continuation.resume(returning: true) }
    }

    private func abandon(_ id: UInt64) {
        guard let index = parked.firstIndex(where: { $0.id == id }) else { return }
        parked.remove(at: index).continuation.resume(returning: false)
    }
}
