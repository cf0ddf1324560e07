import Testing
import WaggleBase

@Suite struct WallTimeTests {
    /// Files and messages have any time: what 64 bits of nanoseconds do not hold becomes the end of the clock.
    @Test func anySecondIsATime() {
        #expect(WallTime(seconds: .max, nanoseconds: .max) == WallTime(nanoseconds: .max))
        #expect(WallTime(seconds: .min, nanoseconds: .min) == WallTime(nanoseconds: .min))
        #expect(WallTime(seconds: 9_223_372_036, nanoseconds: 999_999_999) == WallTime(nanoseconds: .max))
        for nanoseconds in [.min, -1_000_000_001, -1, 0, 1, 1_795_183_845_999_999_999, .max] as [Int64] {
            let parts = WallTime(nanoseconds: nanoseconds).parts
            #expect((0..<1_000_000_000).contains(parts.nanoseconds))
            #expect(WallTime(seconds: parts.seconds, nanoseconds: parts.nanoseconds).nanoseconds == nanoseconds)
        }
        #expect(WallTime(nanoseconds: -1).parts == (-1, 999_999_999))
        #expect(WallTime(nanoseconds: .min) + .seconds(-1) == WallTime(nanoseconds: .min))
        #expect(WallTime(nanoseconds: .max) + .seconds(1) == WallTime(nanoseconds: .max))
        #expect(WallTime(nanoseconds: -1).rfc3339 == "1969-12-31T23:59:59.999999999Z")
        #expect(WallTime(rfc3339: WallTime(nanoseconds: .min).rfc3339) == WallTime(nanoseconds: .min))
    }
}

@Suite struct DequeTests {
    @Test func behavesAsAnArray() {
        var deque = Deque<Int>()
        var model: [Int] = []
        var state: UInt64 = 1
        for step in 0..<5000 {
            state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
            switch state >> 61 {
            case 0...3:
                deque.append(step)
                model.append(step)
            case 4:
                deque.prepend(step)
                model.insert(step, at: 0)
            default: #expect(deque.popFirst() == (model.isEmpty ? nil : model.removeFirst()))
            }
            #expect(deque.count == model.count && deque.first == model.first && deque.last == model.last)
        }
        for index in model.indices { #expect(deque[index] == model[index]) }
        deque.removeAll()
        #expect(deque.isEmpty && deque.popFirst() == nil)
    }

    @Test func letsGoOfElements() {
        final class Thing {}
        var deque = Deque<Thing>()
        weak var thing: Thing?
        do {
            let new = Thing()
            thing = new
            deque.append(new)
        }
        #expect(thing != nil)
        deque.popFirst()
        #expect(thing == nil)
    }
}

@Suite struct TimerQueueTests {
    @Test func firesInOrderOfDeadlineThenArming() {
        var queue = TimerQueue()
        var fired: [Int] = []
        for (index, deadline) in [30, 10, 20, 10, 30, 10].enumerated() {
            _ = queue.schedule(at: Instant(nanoseconds: UInt64(deadline))) { fired.append(index) }
        }
        #expect(queue.nextDeadline == Instant(nanoseconds: 10))
        while let fire = queue.popDue(at: Instant(nanoseconds: 20)) { fire() }
        #expect(fired == [1, 3, 5, 2] && queue.count == 2)
        while let fire = queue.popDue(at: Instant(nanoseconds: 30)) { fire() }
        #expect(fired == [1, 3, 5, 2, 0, 4] && queue.nextDeadline == nil && queue.count == 0)
    }

    /// Against a model, with cancellations of live, fired and cancelled timers.
    @Test func cancellation() {
        var queue = TimerQueue()
        var model: [(deadline: UInt64, number: Int)] = []
        var timers: [Timer] = []
        var fired: [Int] = []
        var expected: [Int] = []
        var state: UInt64 = 7
        var now: UInt64 = 0
        for number in 0..<20_000 {
            state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
            let deadline = now + state >> 54
            timers.append(queue.schedule(at: Instant(nanoseconds: deadline)) { fired.append(number) })
            model.append((deadline, number))
            if state >> 33 & 3 != 0 {
                let victim = Int(state >> 35) % timers.count
                queue.cancel(timers[victim])
                model.removeAll { $0.number == victim }
            }
            if number % 100 == 99 {
                now += 300
                while let fire = queue.popDue(at: Instant(nanoseconds: now)) { fire() }
                let due = model.filter { $0.deadline <= now }.sorted { ($0.deadline, $0.number) < ($1.deadline, $1.number) }
                expected += due.map(\.number)
                model.removeAll { $0.deadline <= now }
                #expect(fired == expected && queue.count == model.count)
            }
        }
    }

    @Test func cancelledTimersLetGo() {
        final class Thing {}
        var queue = TimerQueue()
        weak var thing: Thing?
        do {
            let new = Thing()
            thing = new
            let timer = queue.schedule(at: Instant(nanoseconds: 1)) { _ = new }
            queue.cancel(timer)
        }
        #expect(thing == nil)
    }
}

@Suite struct InstantTests {
    @Test func saturates() {
        let instant = Instant(nanoseconds: 5)
        #expect(instant - .seconds(1) == Instant(nanoseconds: 0))
        #expect(Instant.distantFuture + .seconds(1) == .distantFuture)
        #expect(instant + .nanoseconds(-2) == Instant(nanoseconds: 3))
        #expect(instant - Instant(nanoseconds: 7) == .nanoseconds(-2))
        #expect(Instant.distantFuture - instant == .nanoseconds(Int64.max))
        #expect(Duration.seconds(Int64.max).wholeNanoseconds == .max)
        #expect(Duration.seconds(-Int64.max).wholeNanoseconds == -.max)
        #expect(WallTime(nanoseconds: .max) + .seconds(1) == WallTime(nanoseconds: .max))
    }
}
