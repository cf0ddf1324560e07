import WaggleBase

/// A connection's part of what all streams of the node may hold, unread and unsent.
///
/// From half of the node's budget on, windows stop growing and writers get no more than their share. Beyond it the streams with the most
/// unread payload are reset: their remotes are faster than our handlers.
struct ConnectionMemory {
    let budget: MemoryBudget?
    /// What is reserved for this connection, in bytes.
    var reserved = 0
    /// Writers get only their share.
    var isShort = false

    init(_ budget: MemoryBudget?) { self.budget = budget }

    /// Changes are taken to the budget in steps of at least so many bytes, so that small messages do not touch what all threads share.
    static let step = 64 << 10
}

extension Connection {
    /// Brings the account up to date.
    func settleMemory() {
        guard let budget = memory.budget else { return }
        let held = heldBytes
        let isStep = abs(held - memory.reserved) >= ConnectionMemory.step
        // Who has been held back looks again every time, or it would never hear of better times.
        guard isStep || memory.isShort else { return }
        memory.isShort = budget.used.bytes > budget.limit.bytes / 2
        session.mayGrowWindows = !memory.isShort
        guard isStep else { return }
        if held < memory.reserved {
            budget.release(memory.reserved - held)
            memory.reserved = held
        } else {
            reserve(from: budget)
        }
    }

    /// Unread payload, payload that waits to be sent, and what is sealed and stuck.
    private var heldBytes: Int { session.unreadBytes + session.queuedBytes + (output.chunk?.capacity ?? 0) }

    private func reserve(from budget: MemoryBudget) {
        while case let held = heldBytes, held > memory.reserved {
            if budget.reserve(held - memory.reserved) {
                memory.reserved = held
                continue
            }
            memory.isShort = true
            guard let stream = streams.values.max(by: { $0.inbox.count < $1.inbox.count }), !stream.inbox.isEmpty else { return }
            session.reset(stream.id, code: StreamResetCode.resourceLimitExceeded)
            stream.fail(.limitReached)
            remove(stream.id)
        }
    }

    /// Gives everything back, at the end.
    func releaseMemory() {
        memory.budget?.release(memory.reserved)
        memory.reserved = 0
    }
}
