import Synchronization
import Testing
import WaggleBase

/// What loops do, in both worlds.
@Suite struct LoopBehaviour {
    @Test(arguments: Stage.allCases) func timersFireInOrder(_ stage: Stage) async throws {
        try await stage.play { scene in
            let loop = scene.loop
            let done = Waiter(on: loop)
            let order = Order()
            let start = loop.now
            let milliseconds = [5, 1, 3, 3, 2, 4]
            var timers: [Timer] = []
            for (index, delay) in milliseconds.enumerated() {
                timers.append(
                    loop.schedule(at: start + .milliseconds(delay)) {
                        order.values.append(index)
                        if order.values.count == milliseconds.count - 1 { done.wake() }
                    })
            }
            loop.cancel(timers[5])
            loop.cancel(timers[5])
            try await done.wait()
            #expect(order.values == [1, 4, 2, 3, 0])
            #expect(loop.now - start >= .milliseconds(5))
            // A fired timer's name does not hit a later timer.
            let late = loop.schedule(at: loop.now + .milliseconds(1)) { done.wake() }
            for timer in timers { loop.cancel(timer) }
            try await done.wait()
            loop.cancel(late)
        }
    }

    @Test(arguments: Stage.allCases) func sleepIsCancelled(_ stage: Stage) async throws {
        try await stage.play { scene in
            let loop = scene.loop
            let scope = TaskScope()
            let asleep = Waiter(on: loop)
            scope.spawn(on: loop) {
                asleep.wake()
                await #expect(throws: CancellationError.self) { try await loop.sleep(until: loop.now + .seconds(3600)) }
            }
            try await asleep.wait()
            let before = loop.now
            await scope.close()
            #expect(loop.now - before < .seconds(600))
        }
    }

    @Test(arguments: Stage.allCases) func tasksStayOnTheirLoop(_ stage: Stage) async throws {
        try await stage.play { scene in
            for loop in scene.near.loops {
                let stayed = try await loop.run {
                    var stayed = loop.isCurrent
                    await Task.yield()
                    stayed = stayed && loop.isCurrent
                    try await loop.sleep(until: loop.now + .microseconds(10))
                    stayed = stayed && loop.isCurrent
                    let child = await withTaskGroup(of: Bool.self) { group in
                        group.addTask { loop.isCurrent }
                        return await group.next() ?? false
                    }
                    return stayed && child && loop.isCurrent
                }
                #expect(stayed)
            }
        }
    }

    @Test(arguments: Stage.allCases) func offloadedWorkComesBack(_ stage: Stage) async throws {
        struct Oops: Error {}
        try await stage.play { scene in
            let loop = scene.loop
            let sum = try await withThrowingTaskGroup(of: Int.self) { group in
                for value in 1...50 {
                    group.addTask {
                        let square = try await scene.near.offload { value * value }
                        #expect(loop.isCurrent)
                        return square
                    }
                }
                return try await group.reduce(0, +)
            }
            #expect(sum == 42_925)
            await #expect(throws: Oops.self) { try await scene.near.offload { throw Oops() } }
        }
    }

    @Test(arguments: Stage.allCases) func executeKeepsOrder(_ stage: Stage) async throws {
        try await stage.play { scene in
            let order = Order()
            for index in 0..<1000 { scene.loop.execute { order.values.append(index) } }
            await onceThrough(scene.loop)
            #expect(order.values == Array(0..<1000))
        }
    }

    @Test(arguments: Stage.allCases) func randomBytesDiffer(_ stage: Stage) async throws {
        try await stage.play { scene in
            #expect(scene.near.randomBytes(32) != scene.near.randomBytes(32))
            #expect(scene.near.randomBytes(13).count == 13)
            #expect(scene.near.residentMemory > 0)
            #expect(scene.near.wallTime > WallTime(nanoseconds: 1_700_000_000_000_000_000))
        }
    }

    final class Order: @unchecked Sendable { var values: [Int] = [] }
}

/// What is built on loops: waiters, alarms, scopes.
@Suite struct WaitingBehaviour {
    @Test(arguments: Stage.allCases) func waitersWakeInOrder(_ stage: Stage) async throws {
        try await stage.play { scene in
            let waiter = Waiter(on: scene.loop)
            let order = LoopBehaviour.Order()
            let scope = TaskScope()
            for index in 0..<5 {
                scope.spawn(on: scene.loop) {
                    do { try await waiter.wait() } catch { return order.values.append(-1) }
                    order.values.append(index)
                }
            }
            await onceThrough(scene.loop)
            #expect(waiter.isAwaited)
            waiter.wakeOne()
            await onceThrough(scene.loop)
            #expect(order.values == [0])
            waiter.wake()
            await scope.drain()
            #expect(order.values == [0, 1, 2, 3, 4] && !waiter.isAwaited)
            waiter.wake()
            waiter.wakeOne()
        }
    }

    /// Cancelling one of several waiting tasks leaves the others waiting.
    @Test(arguments: Stage.allCases) func waitersAreCancelledOneByOne(_ stage: Stage) async throws {
        try await stage.play { scene in
            let waiter = Waiter(on: scene.loop)
            let order = LoopBehaviour.Order()
            let scopes = (0..<3).map { _ in TaskScope() }
            for (index, scope) in scopes.enumerated() {
                scope.spawn(on: scene.loop) {
                    do { try await waiter.wait() } catch { return order.values.append(-index) }
                    order.values.append(index)
                }
            }
            await onceThrough(scene.loop)
            await scopes[2].close()
            #expect(order.values == [-2] && waiter.isAwaited)
            await scopes[0].close()
            #expect(waiter.isAwaited)
            waiter.wake()
            await scopes[1].drain()
            #expect(order.values == [-2, 0, 1] && !waiter.isAwaited)
            let late = await withTaskGroup(of: Bool.self) { group in
                group.cancelAll()
                group.addTask {
                    do { try await waiter.wait() } catch { return true }
                    return false
                }
                return await group.next() ?? false
            }
            #expect(late && !waiter.isAwaited)
        }
    }

    @Test(arguments: Stage.allCases) func alarmsMove(_ stage: Stage) async throws {
        try await stage.play { scene in
            let loop = scene.loop
            let rang = Waiter(on: loop)
            let alarm = Alarm(on: loop) { rang.wake() }
            let start = loop.now
            alarm.set(start + .milliseconds(1))
            alarm.set(start + .milliseconds(4))
            try await rang.wait()
            #expect(loop.now - start >= .milliseconds(4))
            alarm.set(start + .seconds(3600))
            alarm.set(loop.now + .milliseconds(1))
            try await rang.wait()
            #expect(loop.now - start < .seconds(3600))
            alarm.set(loop.now + .milliseconds(1))
            alarm.set(nil)
            alarm.set(loop.now + .milliseconds(1))
            alarm.stop()
            alarm.set(loop.now)
            try await loop.sleep(until: loop.now + .milliseconds(3))
            #expect(!rang.isAwaited)
        }
    }

    @Test(arguments: Stage.allCases) func closedScopesRefuse(_ stage: Stage) async throws {
        try await stage.play { scene in
            let scope = TaskScope()
            let forever = Waiter(on: scene.loop)
            for _ in 0..<10 { scope.spawn(on: scene.loop) { do { try await forever.wait() } catch {} } }
            #expect(scope.count == 10)
            await scope.close()
            #expect(scope.count == 0 && !scope.spawn(on: scene.loop) { Issue.record("started") })
            await scope.drain()
        }
    }
}
