import Testing
import WaggleBase

@testable import WaggleNetwork

@Suite struct HandshakePacerTests {
    private let start = Instant(nanoseconds: 1_000_000_000)

    @Test func stepsInARowAreSpread() {
        let pacer = HandshakePacer()
        let interval = UpgradeLimits.stepInterval
        for _ in 0..<UpgradeLimits.stepBurst { #expect(pacer.reserve(at: start) == start) }
        for step in 1...100 { #expect(pacer.reserve(at: start) == start + interval * step) }
        // Half a second later nothing is left of it.
        #expect(pacer.reserve(at: start + .milliseconds(500)) == start + .milliseconds(500))
    }

    @Test func anEvenStreamNeverWaits() {
        let pacer = HandshakePacer()
        for step in 0..<1000 {
            let now = start + UpgradeLimits.stepInterval * step
            #expect(pacer.reserve(at: now) == now)
        }
    }

    @Test func whatWasNoStepIsGivenBack() {
        let pacer = HandshakePacer()
        for _ in 0..<1000 {
            #expect(pacer.reserve(at: start) == start)
            pacer.giveBack()
        }
    }

    @Test func slowSignaturesAreBounded() {
        let work = SlowWork()
        for _ in 0..<UpgradeLimits.slowWork { #expect(work.begin()) }
        #expect(!work.begin() && !work.begin())
        work.end()
        #expect(work.begin() && !work.begin())
    }
}
