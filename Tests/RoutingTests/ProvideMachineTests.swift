import Testing
import WaggleBase
import WaggleFormats
import WaggleNetwork

@testable import WaggleContent

/// Drives the machine with a store of keys and a network that takes or refuses.
private struct Driver {
    var machine: ProvideMachine
    var now = Instant(nanoseconds: 1_000_000_000_000_000)
    var keys: [KeyspaceKey]
    var queue: [KeyspaceKey] = []
    var capacity = 1000
    var isDown = false
    var calls: [(at: Instant, keys: [KeyspaceKey], source: ProvideMachine.Source)] = []
    var saved: (elapsed: Duration, position: UInt64)?
    var gathered = 0
    private var dequeued = 0

    init(keys count: Int, interval: Duration? = .seconds(79_200)) {
        keys = (0..<count).map { KeyspaceKey(testHash($0)) }.sorted()
        machine = ProvideMachine(interval: interval, windowAge: .seconds(3600))
    }

    mutating func tell(_ input: ProvideMachine.Input) {
        machine.handle(input, at: now)
        while let output = machine.next() {
            switch output {
            case .gather(let start):
                gathered += 1
                var window = KeyspaceWindow(from: start, capacity: capacity)
                for key in keys { window.insert(key.hash) }
                let (found, isWhole) = window.finish()
                tell(.gathered(found, isWhole: isWhole, total: window.total))
            case .dequeue(let limit):
                dequeued = min(limit, queue.count)
                tell(.dequeued(queue.prefix(dequeued).sorted()))
            case .forgetDequeued:
                queue.removeFirst(dequeued)
                tell(.forgotten(queue.count))
            case .announce(let keys, let source):
                if isDown { tell(.announced(nil)) } else {
                    calls.append((now, keys, source))
                    tell(.announced(ProvideOutcome()))
                }
            case .save(let elapsed, let position): saved = (elapsed, position)
            }
        }
    }

    /// Lets time pass.
    mutating func run(for duration: Duration) {
        let end = now + duration
        var steps = 0
        while let deadline = machine.deadline, deadline <= end {
            now = max(now, deadline)
            steps += 1
            if steps > 200_000 {
                Issue.record("the machine does not come to rest")
                break
            }
            tell(.tick)
        }
        now = end
    }

    mutating func enqueue(_ hashes: [Multihash]) {
        queue += hashes.map { KeyspaceKey($0) }
        tell(.queue(queue.count))
    }

    func swept(_ key: KeyspaceKey) -> [Instant] { calls.filter { $0.source == .sweep && $0.keys.contains(key) }.map(\.at) }
}

@Suite struct ProvideMachineTests {
    @Test func keysThatCannotBeListedKeepTheirTurn() {
        var machine = ProvideMachine(interval: .seconds(79_200), windowAge: .seconds(3600))
        let now = Instant(nanoseconds: 1_000_000_000_000_000)
        machine.handle(.started(elapsed: .seconds(79_200), position: 0), at: now)
        #expect(machine.next() == .gather(from: 0))
        machine.handle(.notGathered, at: now)
        #expect(machine.next() == nil && machine.deadline == now + ProvideLimits.firstRetry)
        machine.handle(.tick, at: now + ProvideLimits.firstRetry)
        #expect(machine.next() == .gather(from: 0))
        #expect(machine.progress.cycles == 0)
    }

    @Test func theCycleAndWhatIsScheduledAreToldAtOnce() {
        var machine = ProvideMachine(interval: .seconds(79_200), windowAge: .seconds(3600))
        let now = Instant(nanoseconds: 1_000_000_000_000_000)
        machine.handle(.started(elapsed: .seconds(79_200), position: 0), at: now)
        machine.handle(.gathered([], isWhole: true, total: 0), at: now)
        machine.handle(.added(3), at: now + .seconds(5))
        let statistics = machine.statistics(at: now + .seconds(10))
        #expect(statistics.scheduledKeys == 3 && statistics.cycleElapsed == .seconds(10))
        // What is overdue comes next, not in the past; the offset stays within the cycle.
        #expect(statistics.nextRegionDue.map { $0 >= now + .seconds(10) } == true)
        var hurried = Driver(keys: 10)
        hurried.tell(.started(elapsed: .seconds(79_200), position: 0))
        for _ in 0..<50 {
            hurried.run(for: .seconds(7000))
            let elapsed = hurried.machine.statistics(at: hurried.now).cycleElapsed
            #expect(elapsed >= .zero && elapsed < .seconds(79_200))
        }
        var once = ProvideMachine(interval: nil, windowAge: .seconds(3600))
        once.handle(.added(3), at: now)
        #expect(once.statistics(at: now).scheduledKeys == 0)
    }

    @Test(arguments: [0, 1, 10, 5000]) func everyKeyComesOnceInEachInterval(count: Int) {
        var driver = Driver(keys: count)
        driver.tell(.started(elapsed: .zero, position: 0))
        driver.run(for: .seconds(79_199))
        let first = driver.calls.flatMap(\.keys)
        #expect(first.count == count && first == driver.keys)
        driver.run(for: .seconds(79_200))
        #expect(driver.calls.count { $0.source == .sweep } >= (count == 0 ? 0 : 2))
        for key in driver.keys.enumerated().filter({ $0.offset % 97 == 0 }).map(\.element) {
            let times = driver.swept(key)
            #expect(times.count == 2 && abs((times[1] - times[0]).wholeNanoseconds / 1_000_000_000 - 79_200) < 120, "\(times)")
        }
        // Spread over the interval, many keys a call.
        if count == 5000 {
            let regions = driver.calls.count / 2
            #expect((16...40).contains(regions), "\(regions)")
            let gaps = zip(driver.calls.dropFirst(), driver.calls).map { ($0.at - $1.at).wholeNanoseconds / 1_000_000_000 }
            #expect(gaps.max() ?? 0 < 2 * 79_200 / 16)
        }
        let statistics = driver.machine.statistics(at: driver.now)
        #expect(statistics.keysAnnounced == 2 * count && statistics.scheduledKeys == count)
    }

    @Test func aRestartGoesOnWhereItWas() {
        var driver = Driver(keys: 3000)
        driver.tell(.started(elapsed: .zero, position: 0))
        driver.run(for: .seconds(40_000))
        let saved = driver.saved
        var again = Driver(keys: 3000)
        again.keys = driver.keys
        // Down for an hour.
        again.tell(.started(elapsed: .seconds(43_600), position: saved?.position ?? 0))
        again.run(for: .seconds(1800))
        let together = driver.calls.flatMap(\.keys) + again.calls.flatMap(\.keys)
        #expect(together.count == Set(together).count)
        #expect(together == Array(driver.keys.prefix(together.count)))
        // What became due meanwhile came at once.
        #expect(together.count >= 3000 * 43_600 / 79_200 - 200)
        again.run(for: .seconds(40_000))
        #expect(Set(driver.calls.flatMap(\.keys) + again.calls.flatMap(\.keys)).count == 3000)
    }

    @Test(arguments: [Duration.seconds(10 * 79_200), .seconds(-50_000)]) func afterALongTimeEverythingIsDue(elapsed: Duration) {
        var driver = Driver(keys: 3000)
        driver.tell(.started(elapsed: elapsed, position: 1 << 63))
        driver.run(for: .seconds(60))
        #expect(driver.calls.flatMap(\.keys).elementsEqual(driver.keys))
        // Politely, though.
        for (next, last) in zip(driver.calls.dropFirst(), driver.calls) { #expect(next.at - last.at >= ProvideLimits.pause) }
        // And then in peace.
        let calls = driver.calls.count
        driver.run(for: .seconds(39_000))
        #expect(driver.calls.count == calls)
        // No key waits so long that its record is gone.
        driver.run(for: .seconds(48 * 3600 - 39_100))
        #expect(Set(driver.calls.dropFirst(calls).flatMap(\.keys)).count == 3000)
    }

    @Test func newBlocksComeFirstAndTakeTurns() {
        var driver = Driver(keys: 3000)
        driver.tell(.started(elapsed: .seconds(79_200 * 3), position: 0))
        driver.enqueue((10_000..<12_000).map { testHash($0) })
        driver.run(for: .seconds(3))
        #expect(Set(driver.calls.prefix(4).map(\.source)) == [.queue, .sweep])
        driver.run(for: .seconds(60))
        let new = driver.calls.filter { $0.source == .queue }
        #expect(new.flatMap(\.keys).count == 2000 && driver.queue.isEmpty)
        #expect(new.allSatisfy { $0.keys.count <= ProvideLimits.batch && $0.keys == $0.keys.sorted() })
    }

    @Test func withoutAnIntervalOnlyNewBlocksAreAnnounced() {
        var driver = Driver(keys: 100, interval: nil)
        driver.tell(.started(elapsed: .zero, position: 0))
        driver.enqueue([testHash(500)])
        driver.run(for: .seconds(1_000_000))
        #expect(driver.calls.count == 1 && driver.machine.deadline == nil)
    }

    @Test func nobodyThereIsAskedMoreAndMoreRarely() {
        var driver = Driver(keys: 10)
        driver.isDown = true
        driver.tell(.started(elapsed: .seconds(79_200 * 3), position: 0))
        driver.enqueue([testHash(500)])
        var attempts = 0
        for _ in 0..<100 {
            let failed = driver.machine.progress.failedCalls
            driver.run(for: .seconds(36))
            attempts += driver.machine.progress.failedCalls - failed
        }
        #expect((5...15).contains(attempts), "\(attempts)")
        #expect(!driver.machine.statistics(at: driver.now).isConnected)
        driver.isDown = false
        driver.tell(.peerConnected)
        driver.run(for: .seconds(5))
        #expect(driver.calls.flatMap(\.keys).count == 11)
        #expect(driver.machine.statistics(at: driver.now).isConnected)
    }

    @Test func manyKeysNeedSmallMemory() {
        var driver = Driver(keys: 5000)
        driver.capacity = 300
        driver.tell(.started(elapsed: .zero, position: 0))
        driver.run(for: .seconds(79_199))
        #expect(driver.calls.flatMap(\.keys) == driver.keys)
        #expect(driver.gathered >= 5000 / 300)
        var window = KeyspaceWindow(from: 0, capacity: 10)
        for _ in 0..<3 { for key in driver.keys { window.insert(key.hash) } }
        let (keys, isWhole) = window.finish()
        #expect(keys == Array(driver.keys.prefix(10)) && !isWhole)
    }

    @Test func strategies() throws {
        for (text, scope) in [("", ProvideStrategy.Scope.all), ("all", .all), ("flat", .all), ("pinned", .pinned), ("roots", .roots), ("pinned+mfs", .pinned), ("pinned+unique", .pinned)] {
            #expect(try ProvideStrategy(parsing: text).scope == scope)
        }
        for text in ["mfs", "pinned+", "all+pinned", "nothing", "pinned+entities"] {
            #expect(throws: ProvideStrategyError.self) { _ = try ProvideStrategy(parsing: text) }
        }
    }
}
