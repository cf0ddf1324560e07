import Testing
import WaggleBase
import WaggleFormats
import WaggleNetwork

@testable import WaggleContent

/// What is remembered of peers decides whom bitswap asks first.
@Suite struct LearnedOrderTests {
    private let now = Instant(nanoseconds: 1_000_000_000)

    private func record(good: Bool, rate: Double = 10_000_000) -> ProviderRecord {
        var record = ProviderRecord(at: newYear)
        for _ in 0..<5 {
            record.update(success: good, latency: .milliseconds(10), bytes: 1 << 20, over: .seconds(Double(1 << 20) / rate), at: newYear)
        }
        return record
    }

    /// The peer that the first block is asked of.
    private func first(_ remembered: [PeerID: ProviderRecord], _ peers: [PeerID]) -> PeerID? {
        var machine = SessionMachine()
        var asked: PeerID?
        func handle(_ input: SessionMachine.Input) {
            machine.handle(input, at: now)
            while let output = machine.next() {
                switch output {
                case .open(let peer): handle(.ready(peer, .v1_2))
                case .tell(let peer, let entry): if entry.want == .block, asked == nil { asked = peer }
                default: break
                }
            }
        }
        for peer in peers {
            handle(.connected(peer))
            if let record = remembered[peer] { handle(.remembered(peer, record)) }
        }
        handle(.opened(1))
        // The first session opens the streams; those that are open are asked for the second one.
        handle(.wanted(1, [KeyspaceKey(testHash(1)).cid!]))
        asked = nil
        handle(.opened(2))
        handle(.wanted(2, [KeyspaceKey(testHash(2)).cid!]))
        return asked
    }

    @Test func theBestRememberedPeerIsAskedForTheBlock() {
        let peers = (1...4).map { testPeer($0) }
        for best in peers {
            #expect(first([best: record(good: true)], peers) == best)
            // Whoever failed is not asked first, however fast it was.
            #expect(first([best: record(good: false)], peers) != best)
        }
        #expect(first([peers[1]: record(good: true), peers[2]: record(good: true, rate: 50_000_000)], peers) == peers[2])
    }

    @Test func aSilentPeerIsToldOf() {
        var machine = SessionMachine()
        var stalled: [PeerID] = []
        func handle(_ input: SessionMachine.Input, at now: Instant) {
            machine.handle(input, at: now)
            while let output = machine.next() {
                switch output {
                case .open(let peer): handle(.ready(peer, .v1_2), at: now)
                case .stalled(let peer): stalled.append(peer)
                default: break
                }
            }
        }
        handle(.connected(testPeer(1)), at: now)
        handle(.opened(1), at: now)
        handle(.wanted(1, [KeyspaceKey(testHash(1)).cid!]), at: now)
        handle(.tick, at: now + .seconds(20))
        #expect(stalled == [testPeer(1)])
    }
}
