import Testing
import WaggleBase
import WaggleFormats
import WaggleNetwork

@testable import WaggleContent

@Suite struct BitswapSessionTests {
    typealias Entry = BitswapMessage.Entry

    /// The machine, and what it told each peer.
    private final class Client {
        var machine = SessionMachine()
        var now = Instant(nanoseconds: 1_000_000_000)
        var told: [(peer: PeerID, entry: Entry)] = []
        var accepted: [Multihash] = []
        var searched: [CID] = []
        var violations: [PeerID] = []
        var version = BitswapVersion.v1_2

        init(peers: Int = 0) { for number in 0..<peers { handle(.connected(testPeer(number))) } }

        func handle(_ input: SessionMachine.Input) {
            machine.handle(input, at: now)
            while let output = machine.next() {
                switch output {
                case .open(let peer): handle(.ready(peer, version))
                case .tell(let peer, let entry): told.append((peer, entry))
                case .accept(let key, _): accepted.append(key)
                case .search(let cid, _): searched.append(cid)
                case .stalled: break
                case .violation(let peer): violations.append(peer)
                }
            }
        }

        func pass(_ duration: Duration) {
            let end = now + duration
            while let deadline = machine.deadline, deadline <= end {
                now = max(deadline, now)
                handle(.tick)
            }
            now = end
        }

        func take() -> [(peer: PeerID, entry: Entry)] {
            defer { told = [] }
            return told
        }

        func block(_ number: Int, from peer: Int, size: Int = 1000) {
            handle(.blocks(testPeer(peer), [(testCID(number).multihash, size)]))
        }

        func have(_ number: Int, _ peer: Int, _ isHere: Bool = true) {
            handle(.presences(testPeer(peer), [.init(cid: testCID(number), isHere: isHere)]))
        }
    }

    @Test func firstBlockIsAskedOfEverybody() {
        let client = Client(peers: 3)
        client.handle(.opened(1))
        client.handle(.wanted(1, [testCID(1)]))
        let first = client.take()
        #expect(first.map(\.peer) == [testPeer(0), testPeer(1), testPeer(2)])
        #expect(first.map(\.entry.want) == [.block, .have, .have] && first.allSatisfy(\.entry.sendDontHave))
        // The second has it, the first does not.
        client.have(1, 1)
        #expect(client.take().isEmpty)
        client.have(1, 0, false)
        let second = client.take()
        #expect(second.map(\.peer) == [testPeer(1)] && second.first?.entry.want == .block)
        client.block(1, from: 1)
        #expect(client.accepted == [testCID(1).multihash])
        // Those who still keep the want hear that it is over.
        let cancels = client.take()
        #expect(cancels.map(\.peer) == [testPeer(0), testPeer(2)] && cancels.allSatisfy(\.entry.cancel))
        // From now on only the member is asked.
        client.handle(.wanted(1, [testCID(2), testCID(3)]))
        let later = client.take()
        #expect(later.filter { $0.entry.want == .block }.map(\.peer) == [testPeer(1), testPeer(1)])
        // The others are only asked whether they could help.
        #expect(later.contains { $0.peer == testPeer(0) && $0.entry.want == .have })
        client.block(2, from: 1)
        client.block(3, from: 1)
        client.handle(.closed(1))
        #expect(client.machine.wantlist.isEmpty && client.machine.sessionCount == 0)
    }

    @Test func blocksAreSplitAmongMembers() {
        let client = Client(peers: 2)
        client.handle(.opened(1))
        client.handle(.wanted(1, [testCID(0)]))
        client.have(0, 1)
        client.block(0, from: 0)
        _ = client.take()
        client.handle(.wanted(1, (1...40).map(testCID)))
        let asked = client.take()
        let counts = [0, 1].map { number in asked.filter { $0.peer == testPeer(number) }.count }
        #expect(counts[0] + counts[1] == 40 && counts[0] >= 8 && counts[1] >= 8)
        #expect(asked.allSatisfy { $0.entry.want == .block })
    }

    @Test func priorityFollowsTheOrderOfNeed() {
        let client = Client(peers: 1)
        client.handle(.opened(1))
        client.handle(.wanted(1, (0..<5).map(testCID)))
        let priorities = client.take().map(\.entry.priority)
        #expect(priorities == priorities.sorted(by: >) && Set(priorities).count == 5)
    }

    @Test func windowsBoundWhatAPeerOwes() {
        let client = Client(peers: 1)
        client.handle(.opened(1))
        client.handle(.wanted(1, (0..<300).map(testCID)))
        #expect(client.machine.outstanding(of: testPeer(0)) == BitswapLimits.initialWindow)
        // The others are questions, which tell who else could send them.
        #expect(client.take().filter { $0.entry.want == .block }.count == BitswapLimits.initialWindow)
        for number in 0..<300 { client.have(number, 0) }
        for number in 0..<300 {
            client.now = client.now + .milliseconds(1)
            client.block(number, from: 0)
            #expect(client.machine.outstanding(of: testPeer(0)) <= BitswapLimits.largestWindow)
        }
        #expect(client.accepted.count == 300)
    }

    @Test func sessionsHaveABacklog() {
        let client = Client(peers: 1)
        client.handle(.opened(1))
        let count = BitswapLimits.wantsPerSession + BitswapLimits.backlogPerSession + 100
        client.handle(.wanted(1, (0..<count).map(testCID)))
        #expect(client.machine.wantlist.count == BitswapLimits.wantsPerSession)
        #expect(client.machine.wants(of: 1) == BitswapLimits.wantsPerSession + BitswapLimits.backlogPerSession)
        client.handle(.closed(1))
        #expect(client.machine.rows == 1)
        // What was asked is cancelled.
        #expect(client.take().filter(\.entry.cancel).count == BitswapLimits.wantsPerSession)
    }

    @Test func aStalledPeerHandsOn() {
        let client = Client(peers: 2)
        client.handle(.opened(1))
        client.handle(.wanted(1, [testCID(0)]))
        client.have(0, 1)
        _ = client.take()
        client.pass(.seconds(1))
        #expect(client.take().isEmpty)
        client.pass(.seconds(2))
        #expect(client.take().map(\.peer) == [testPeer(1)])
        // The slow one's answer still counts.
        client.block(0, from: 0)
        #expect(client.accepted.count == 1)
        // And the other's comes late, which is no offence.
        client.block(0, from: 1)
        #expect(client.machine.duplicates == 1 && client.machine.unrequested == 0)
    }

    @Test func aPeerThatPromisesAndNeverDeliversIsAvoided() {
        let client = Client(peers: 2)
        client.handle(.opened(1))
        let start = client.now
        // A reader with a window of eight blocks; peer 1 claims to have everything.
        var next = 0
        var asked: [(peer: PeerID, entry: Entry)] = []
        while client.accepted.count < 300 {
            while next < 300, next < client.accepted.count + 8 {
                client.handle(.wanted(1, [testCID(next)]))
                client.have(next, 1)
                next += 1
            }
            asked += client.take().filter { $0.entry.want == .block && !$0.entry.cancel }
            let answered = asked.filter { $0.peer == testPeer(0) }
            asked.removeAll { $0.peer == testPeer(0) }
            if answered.isEmpty { client.pass(.milliseconds(500)) } else { client.now = client.now + .milliseconds(1) }
            for (peer, entry) in answered { client.handle(.blocks(peer, [(entry.cid.multihash, 1000)])) }
        }
        #expect(client.now - start < .seconds(30), "\(client.now - start)")
    }

    @Test func aLonelyPeerIsRemindedOnly() {
        let client = Client(peers: 1)
        client.handle(.opened(1))
        client.handle(.wanted(1, [testCID(0)]))
        _ = client.take()
        client.pass(.seconds(29))
        #expect(client.take().isEmpty)
        client.pass(.seconds(15))
        let reminders = client.take()
        #expect(reminders.count == 1 && reminders.first?.entry.want == .block)
    }

    @Test func leavingPeersHandOn() {
        let client = Client(peers: 2)
        client.handle(.opened(1))
        client.handle(.wanted(1, [testCID(0)]))
        client.have(0, 1)
        _ = client.take()
        client.handle(.disconnected(testPeer(0)))
        #expect(client.take().map(\.peer) == [testPeer(1)])
        client.handle(.disconnected(testPeer(1)))
        // Nobody is left: search, and ask whoever comes.
        client.pass(.seconds(2))
        #expect(client.searched == [testCID(0)])
        client.handle(.connected(testPeer(2)))
        let asked = client.take()
        #expect(asked.map(\.peer) == [testPeer(2)] && asked.first?.entry.want == .block)
        client.block(0, from: 2)
        #expect(client.accepted.count == 1)
    }

    @Test func newPeersHearOfCurrentWants() {
        let client = Client(peers: 1)
        client.handle(.opened(1))
        client.handle(.wanted(1, [testCID(0), testCID(1)]))
        _ = client.take()
        client.handle(.connected(testPeer(1)))
        let asked = client.take()
        #expect(asked.map(\.peer) == [testPeer(1), testPeer(1)] && asked.allSatisfy { $0.entry.want == .have })
    }

    @Test func nobodyHasItIsRepeatedAtGrowingIntervals() {
        let client = Client(peers: 2)
        client.handle(.opened(1))
        client.handle(.wanted(1, [testCID(0)]))
        client.have(0, 0, false)
        client.have(0, 1, false)
        _ = client.take()
        client.pass(.seconds(2))
        #expect(client.searched.count == 1)
        var rounds = 0
        for _ in 0..<600 {
            client.pass(.seconds(1))
            let asked = client.take()
            if !asked.isEmpty { rounds += 1 }
            for (peer, entry) in asked where !entry.cancel {
                client.handle(.presences(peer, [.init(cid: entry.cid, isHere: false)]))
            }
        }
        #expect(rounds >= 8 && rounds <= 30)
    }

    @Test func oldVersionsAreAskedForBlocksOnly() {
        let client = Client()
        client.version = .v1_1
        for number in 0..<3 { client.handle(.connected(testPeer(number))) }
        client.handle(.opened(1))
        client.handle(.wanted(1, [testCID(0)]))
        let asked = client.take()
        #expect(asked.count == 3 && asked.allSatisfy { $0.entry.want == .block })
        client.block(0, from: 2)
        #expect(client.accepted.count == 1)
    }

    @Test func sharedWantsServeAllSessions() {
        let client = Client(peers: 1)
        client.handle(.opened(1))
        client.handle(.opened(2))
        client.handle(.wanted(1, [testCID(0)]))
        client.handle(.wanted(2, [testCID(0)]))
        #expect(client.take().count == 1)
        client.handle(.closed(1))
        #expect(client.take().isEmpty)
        client.block(0, from: 0)
        #expect(client.accepted.count == 1)
    }

    @Test func unrequestedBlocksAreHeldAgainstTheirSender() {
        let client = Client(peers: 2)
        client.handle(.opened(1))
        client.handle(.wanted(1, [testCID(0)]))
        for number in 0...BitswapLimits.unrequestedBlocks { client.block(1000 + number, from: 0) }
        #expect(client.accepted.isEmpty && client.violations == [testPeer(0)])
        // Its wants went to the other, and even the right block is not taken from it now.
        #expect(client.take().contains { $0.peer == testPeer(1) && $0.entry.want == .block })
        client.block(0, from: 0)
        #expect(client.accepted.isEmpty)
        client.block(0, from: 1)
        #expect(client.accepted.count == 1)
    }

    @Test func presencesNobodyAskedForAreIgnored() {
        let client = Client(peers: 2)
        client.handle(.opened(1))
        for number in 0..<1000 { client.have(number, 0) }
        #expect(client.machine.rows == 2)
        client.handle(.presences(testPeer(9), [.init(cid: testCID(0), isHere: true)]))
        #expect(client.told.isEmpty)
    }

    @Test func blocksThatCameAnotherWayEndTheWant() {
        let client = Client(peers: 1)
        client.handle(.opened(1))
        client.handle(.wanted(1, [testCID(0)]))
        _ = client.take()
        client.handle(.stored([testCID(0).multihash]))
        #expect(client.take().map(\.entry.cancel) == [true] && client.machine.wantlist.isEmpty)
    }

    /// Whatever peers say and send, in any order: each block is accepted at most once, and nothing is left when the session ends.
    @Test func anyCourseOfEventsEndsClean() {
        let blocks = (0..<10).map(testCID)
        for seed in 0..<300 as Range<UInt64> {
            var random = TestRandom(seed)
            let client = Client(peers: 3)
            client.handle(.opened(1))
            client.handle(.wanted(1, blocks))
            for _ in 0..<120 {
                let peer = testPeer(Int.random(in: 0..<3, using: &random))
                let number = Int.random(in: 0..<10, using: &random)
                client.now = client.now + .milliseconds(Int.random(in: 0..<2000, using: &random))
                switch Int.random(in: 0..<14, using: &random) {
                case 0: client.handle(.blocks(peer, [(blocks[number].multihash, 1000)]))
                case 1, 2: client.handle(.presences(peer, [.init(cid: blocks[number], isHere: true)]))
                case 3, 4: client.handle(.presences(peer, [.init(cid: blocks[number], isHere: false)]))
                case 5: client.handle(.disconnected(peer))
                case 6, 7: client.handle(.connected(peer))
                case 8: client.handle(.unreachable(peer, until: client.now + .seconds(5)))
                case 9: client.handle(.ready(peer, .v1_0))
                case 10: client.handle(.stored([blocks[number].multihash]))
                default: client.handle(.tick)
                }
                #expect(client.machine.wantlist.count + client.accepted.count <= blocks.count, "seed \(seed)")
            }
            #expect(Set(client.accepted).count == client.accepted.count, "seed \(seed)")
            client.handle(.closed(1))
            #expect(client.machine.wantlist.isEmpty && client.machine.rows <= 3, "seed \(seed)")
        }
    }

    /// Random peers that answer, refuse, stall, leave and lie: every wanted block arrives once a peer that has it stays.
    @Test func everyBlockArrivesInTheEnd() {
        for seed in 0..<25 as Range<UInt64> {
            var random = TestRandom(seed)
            let client = Client(peers: 4)
            client.handle(.opened(1))
            let count = 40
            client.handle(.wanted(1, (0..<count).map(testCID)))
            // Peer 0 has everything and is reliable; the others have some and are not.
            var owed: [(peer: PeerID, entry: Entry)] = []
            var steps = 0
            while client.accepted.count < count, steps < 5000 {
                steps += 1
                owed += client.take().filter { !$0.entry.cancel }
                if owed.isEmpty || Int.random(in: 0..<10, using: &random) == 0 {
                    client.pass(.milliseconds(Int.random(in: 10...3000, using: &random)))
                    continue
                }
                let (peer, entry) = owed.remove(at: Int.random(in: 0..<owed.count, using: &random))
                let reliable = peer == testPeer(0)
                switch reliable ? 0 : Int.random(in: 0..<6, using: &random) {
                case 0, 1:
                    if entry.want == .block {
                        client.handle(.blocks(peer, [(entry.cid.multihash, 1000)]))
                    } else {
                        client.handle(.presences(peer, [.init(cid: entry.cid, isHere: true)]))
                    }
                case 2: client.handle(.presences(peer, [.init(cid: entry.cid, isHere: false)]))
                case 3: break
                case 4: client.handle(.presences(peer, [.init(cid: entry.cid, isHere: true)]))
                default:
                    client.handle(.disconnected(peer))
                    client.handle(.connected(peer))
                    owed.removeAll { $0.peer == peer }
                }
            }
            #expect(client.accepted.count == count, "seed \(seed)")
            #expect(Set(client.accepted).count == count, "seed \(seed)")
        }
    }
}
