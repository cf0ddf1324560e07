/// Parks tasks until their loop says that something changed: the one type that owns continuations.
///
/// Only on the loop. A waiting task that is cancelled wakes and throws `CancellationError`. Check the condition in a loop:
/// ```swift
/// while inbox.isEmpty { try await readable.wait() }
/// ```
/// Nothing else runs on the loop between the check and the parking, so no wake-up is lost.
public final class Waiter: @unchecked Sendable {
    private struct Parked {
        let id: UInt64
        let continuation: UnsafeContinuation<Bool, Never>
    }

    private let loop: any EventLoop
    // Nearly always one task waits; its place costs no memory of its own. The others came after it.
    private var first: Parked?
    private var others: [Parked] = []
    private var nextID: UInt64 = 0

    public init(on loop: any EventLoop) { self.loop = loop }

    /// Whether any task is parked here.
    public var isAwaited: Bool { first != nil }

    /// Suspends until `wake`. Must be called on the loop, from a task of the loop.
    public func wait() async throws(CancellationError) {
        let id = nextID
        nextID &+= 1
        let woken = await withTaskCancellationHandler {
            await withUnsafeContinuation { continuation in
                if Task.isCancelled { continuation.resume(returning: false) } else { park(Parked(id: id, continuation: continuation)) }
            }
        } onCancel: {
            loop.execute { self.abandon(id) }
        }
        if !woken { throw CancellationError() }
    }

    private func park(_ task: Parked) {
        if first == nil { first = task } else { others.append(task) }
    }

    /// Wakes every parked task.
    public func wake() {
        guard let first else { return }
        self.first = nil
        if others.isEmpty { return first.continuation.resume(returning: true) }
        let others = self.others
        self.others = []
        first.continuation.resume(returning: true)
        for task in others { task.continuation.resume(returning: true) }
    }

    /// Wakes the task that has waited longest.
    public func wakeOne() {
        guard let first else { return }
        self.first = others.isEmpty ? nil : others.removeFirst()
        first.continuation.resume(returning: true)
    }

    private func abandon(_ id: UInt64) {
        if let first, first.id == id {
            self.first = others.isEmpty ? nil : others.removeFirst()
            first.continuation.resume(returning: false)
        } else if let index = others.firstIndex(where: { $0.id == id }) {
            others.remove(at: index).continuation.resume(returning: false)
        }
    }
}
