import CLinux
import Glibc
import Synchronization
import WaggleBase

/// One thread that waits in epoll and runs callbacks, timers and tasks.
///
/// A turn: take what other threads sent, run jobs, fire timers, wait, hand out events. Work that starts on the loop goes into a
/// ring without a lock; work from elsewhere goes into a locked queue and, if the loop sleeps, through an eventfd.
///
/// The task executor is an object of its own: one object that is loop and executor at once confuses the concurrency runtime.
final class LinuxLoop: EventLoop, @unchecked Sendable {
    private struct Remote {
        var work: [Work] = []
        var isSleeping = false
        var isStopped = false
    }

    /// Events taken from the kernel at once.
    private static let eventCapacity = 256
    /// Jobs run in a turn before events are looked at again, so that busy tasks cannot starve sockets.
    private static let jobBudget = 1024

    private let epoll: Int32
    private let wakeUp: Int32
    private var local = WorkRing()
    private var timers = TimerQueue()
    private let remote = Lock(Remote())
    private let hasRemote = Atomic(false)
    private var time: Instant
    // Sources closed in this turn: events that name them may still be in hand.
    private var retired: [Unmanaged<EventSource>] = []
    private var isStopped = false
    private let executor: Mutex<LoopExecutor?> = Mutex(nil)
    private var thread: Thread?

    init(name: String) {
        epoll = epoll_create1(O_CLOEXEC)
        wakeUp = clinux_event_descriptor()
        precondition(epoll >= 0 && wakeUp >= 0, "the system gives no descriptors for an event loop")
        time = Instant(nanoseconds: monotonicNanoseconds())
        var event = epoll_event()
        event.events = EPOLLIN.rawValue
        event.data.u64 = 0
        epoll_ctl(epoll, EPOLL_CTL_ADD, wakeUp, &event)
        let executor = LoopExecutor(self)
        self.executor.withLock { $0 = executor }
        thread = Thread(name: name) { self.runThread(executor) }
    }

    // Only now: another thread may be about to wake a loop that has ended, and must not write to whoever got the number next.
    deinit { close(wakeUp) }

    // MARK: EventLoop

    @inline(__always) var isCurrent: Bool { clinux_current_loop() == Unmanaged.passUnretained(self).toOpaque() }

    var now: Instant { isCurrent ? time : Instant(nanoseconds: monotonicNanoseconds()) }

    var taskExecutor: any TaskExecutor {
        executor.withLock { executor in
            if let executor { return executor }
            // Only after the end: what is started now never runs.
            return LoopExecutor(self)
        }
    }

    func execute(_ job: @escaping @Sendable () -> Void) { enqueue(.closure(job)) }

    func schedule(at deadline: Instant, _ fire: @escaping () -> Void) -> WaggleBase.Timer {
        assert(isCurrent)
        return timers.schedule(at: deadline, fire)
    }

    func cancel(_ timer: WaggleBase.Timer) {
        assert(isCurrent)
        timers.cancel(timer)
    }

    func spawn(_ body: @escaping @Sendable () async -> Void) -> any SpawnedTask {
        LoopTask(task: Task.detached(executorPreference: taskExecutor) { await body() })
    }

    // MARK: Sources

    /// Watches a source, edge-triggered unless `level`; keeps it alive until `retire`.
    func watch(_ source: EventSource, _ events: UInt32, level: Bool = false) -> Bool {
        var event = epoll_event()
        event.events = level ? events : events | EPOLLET.rawValue
        event.data.ptr = Unmanaged.passUnretained(source).toOpaque()
        guard epoll_ctl(epoll, EPOLL_CTL_ADD, source.descriptor, &event) == 0 else { return false }
        _ = Unmanaged.passRetained(source)
        return true
    }

    func change(_ source: EventSource, _ events: UInt32) {
        var event = epoll_event()
        event.events = events
        event.data.ptr = Unmanaged.passUnretained(source).toOpaque()
        epoll_ctl(epoll, EPOLL_CTL_MOD, source.descriptor, &event)
    }

    /// Ends the watch and closes the descriptor, or leaves it to the caller.
    func retire(_ source: EventSource, closing: Bool = true) {
        // Closing alone would not end the watch while a child process that is being started still has the descriptor.
        epoll_ctl(epoll, EPOLL_CTL_DEL, source.descriptor, nil)
        if closing { close(source.descriptor) }
        source.descriptor = -1
        retired.append(Unmanaged.passUnretained(source))
    }

    // MARK: Work

    @inline(__always) func enqueue(_ work: consuming Work) {
        if isCurrent { local.push(work) } else { send(work) }
    }

    private func send(_ work: Work) {
        let mustWake = remote.withLock { remote in
            remote.work.append(work)
            hasRemote.store(true, ordering: .relaxed)
            defer { remote.isSleeping = false }
            return remote.isSleeping
        }
        if mustWake { wake() }
    }

    private func wake() {
        var one: UInt64 = 1
        _ = write(wakeUp, &one, 8)
    }

    private func takeRemote() {
        let work = remote.withLock { remote in
            isStopped = remote.isStopped
            hasRemote.store(false, ordering: .relaxed)
            defer { remote.work.removeAll(keepingCapacity: true) }
            return remote.work
        }
        for item in work { local.push(item) }
    }

    // MARK: The thread

    private func runThread(_ executor: LoopExecutor) {
        clinux_set_current_loop(Unmanaged.passUnretained(self).toOpaque())
        let events = UnsafeMutablePointer<epoll_event>.allocate(capacity: Self.eventCapacity)
        defer { events.deallocate() }
        let unowned = executor.asUnownedTaskExecutor()
        while !isStopped {
            if hasRemote.load(ordering: .relaxed) { takeRemote() }
            runJobs(unowned)
            fireTimers()
            releaseRetired()
            let count = clinux_epoll_wait(epoll, events, Int32(Self.eventCapacity), prepareToWait())
            time = Instant(nanoseconds: monotonicNanoseconds())
            for index in 0..<Int(max(count, 0)) { handOut(events[index]) }
        }
        finish()
    }

    private func runJobs(_ executor: UnownedTaskExecutor) {
        var budget = Self.jobBudget
        while budget > 0, let work = local.pop() {
            switch work {
            case .job(let job): job.runSynchronously(on: executor)
            case .closure(let closure): closure()
            }
            budget &-= 1
        }
    }

    private func fireTimers() {
        while let fire = timers.popDue(at: time) { fire() }
    }

    /// How long to wait in nanoseconds; declares the loop asleep if it will.
    private func prepareToWait() -> Int64 {
        if local.count > 0 || isStopped { return 0 }
        let sleeps = remote.withLock { remote in
            remote.isSleeping = remote.work.isEmpty && !remote.isStopped
            isStopped = remote.isStopped
            return remote.isSleeping
        }
        guard sleeps else { return 0 }
        guard let deadline = timers.nextDeadline else { return -1 }
        return max(0, (deadline - Instant(nanoseconds: monotonicNanoseconds())).wholeNanoseconds)
    }

    @inline(__always) private func handOut(_ event: epoll_event) {
        guard event.data.u64 != 0, let pointer = event.data.ptr else {
            var count: UInt64 = 0
            _ = read(wakeUp, &count, 8)
            takeRemote()
            return
        }
        Unmanaged<EventSource>.fromOpaque(pointer)._withUnsafeGuaranteedRef { source in
            if source.descriptor >= 0 { source.ready(event.events) }
        }
    }

    private func releaseRetired() {
        guard !retired.isEmpty else { return }
        let sources = retired
        retired.removeAll(keepingCapacity: true)
        for source in sources { source.release() }
    }

    private func finish() {
        releaseRetired()
        // Breaks the cycle; tasks that are left keep executor and loop alive, but do not run any more.
        executor.withLock { $0 = nil }
        close(epoll)
        timers = TimerQueue()
        clinux_set_current_loop(nil)
    }

    /// Ends the thread after what it is doing, and waits for that unless called on it.
    func stop() {
        let mustWake = remote.withLock { remote in
            defer { remote.isStopped = true }
            return !remote.isStopped
        }
        guard mustWake else { return }
        wake()
        if let thread, !thread.isCurrent { thread.join() }
    }
}

/// Enqueues the jobs of tasks on a loop.
final class LoopExecutor: TaskExecutor, @unchecked Sendable {
    private let loop: LinuxLoop

    init(_ loop: LinuxLoop) { self.loop = loop }

    func enqueue(_ job: consuming ExecutorJob) { loop.enqueue(.job(UnownedJob(job))) }
}

struct LoopTask: SpawnedTask {
    let task: Task<Void, Never>
    func cancel() { task.cancel() }
}
