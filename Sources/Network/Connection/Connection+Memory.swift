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
        var held = session.unreadBytes + session.queuedBytes
        guard abs(held - memory.reserved) >= ConnectionMemory.step else { return }
        let isTight = budget.used.bytes > budget.limit.bytes / 2
        session.mayGrowWindows = !isTight
        memory.isShort = isTight
        if held < memory.reserved {
            budget.release(memory.reserved - held)
            memory.reserved = held
        }
        while held > memory.reserved {
            if budget.reserve(held - memory.reserved) {
                memory.reserved = held
            } else {
                guard let stream = streams.values.max(by: { $0.inbox.count < $1.inbox.count }), !stream.inbox.isEmpty else {
                    memory.isShort = true
                    return
                }
                session.reset(stream.id, code: StreamResetCode.resourceLimitExceeded)
                stream.fail(.limitReached)
                remove(stream.id)
                held = session.unreadBytes + session.queuedBytes
            }
        }
    }

    /// Gives everything back, at the end.
    func releaseMemory() {
        memory.budget?.release(memory.reserved)
        memory.reserved = 0
    }
}
