import Testing
import WaggleBase
import WaggleCryptography
import WaggleFormats
import WaggleNetwork

@testable import WaggleContent

/// Peers with numbers instead of keys.
func testPeer(_ number: Int) -> PeerID {
    try! PeerID(bytes: try! Multihash(.sha2_256, digest: SHA256.hash(Bytes(utf8: "peer \(number)")).bytes).bytes)
}

func testCID(_ number: Int) -> CID { TestBlocks.raw("block \(number)").cid }

@Suite struct BitswapLedgerTests {
    typealias Entry = BitswapMessage.Entry
    private let now = Instant(nanoseconds: 1)

    /// A ledger whose lookups are answered from `sizes`.
    private final class Server {
        var machine = LedgerMachine()
        var sizes: [CID: Int]
        var sent: [(peer: PeerID, envelope: LedgerMachine.Envelope)] = []
        var floods: [PeerID] = []
        init(_ sizes: [CID: Int]) { self.sizes = sizes }

        func handle(_ input: LedgerMachine.Input) {
            machine.handle(input, at: Instant(nanoseconds: 1))
            while let output = machine.next() {
                switch output {
                case .locate(let peer, let cids): handle(.located(peer, cids.map { ($0, sizes[$0]) }))
                case .send(let peer, let envelope): sent.append((peer, envelope))
                case .flood(let peer): floods.append(peer)
                }
            }
        }

        func want(_ peer: PeerID, _ entries: [Entry], isFull: Bool = false, hasPresences: Bool = true) {
            handle(.wantlist(peer, entries, isFull: isFull, hasPresences: hasPresences))
        }

        /// Everything that is under way arrives, and what follows it.
        func drain() -> [(peer: PeerID, envelope: LedgerMachine.Envelope)] {
            var all: [(peer: PeerID, envelope: LedgerMachine.Envelope)] = []
            while !sent.isEmpty {
                let (peer, envelope) = sent.removeFirst()
                all.append((peer, envelope))
                handle(.left(peer, envelope: envelope.id, blocks: envelope.blocks.count, bytes: envelope.bytes))
            }
            return all
        }
    }

    @Test func answersEachKindOfWant() {
        let (here, large, absent) = (testCID(1), testCID(2), testCID(3))
        let server = Server([here: 1024, large: 1025])
        let peer = testPeer(1)
        server.handle(.connected(peer))
        server.want(peer, [Entry(cid: here, want: .have), Entry(cid: large, want: .have), Entry(cid: absent, want: .have, sendDontHave: true)])
        let first = server.drain()
        // Small blocks come instead of a HAVE.
        #expect(first.flatMap(\.envelope.blocks).map(\.cid) == [here])
        #expect(
            first.flatMap(\.envelope.presences) == [.init(cid: large, isHere: true), .init(cid: absent, isHere: false)])
        #expect(server.machine.wantlist(of: peer) == [absent])

        server.want(peer, [Entry(cid: large), Entry(cid: absent)])
        let second = server.drain()
        #expect(second.flatMap(\.envelope.blocks).map(\.cid) == [large])
        #expect(second.flatMap(\.envelope.presences).isEmpty)

        // What was missing is sent when it comes.
        server.handle(.stored([(absent.multihash, 5000), (testCID(9).multihash, 1)]))
        #expect(server.drain().flatMap(\.envelope.blocks).map(\.cid) == [absent])
        #expect(server.machine.wantlist(of: peer).isEmpty && server.machine.totalWants == 0)
        let ledger = server.machine.ledger(of: peer)
        #expect(ledger?.bytesSent == 1024 + 1025 + 5000 && ledger?.blocksSent == 3)
        server.handle(.credited(peer, blocks: 2, bytes: 100))
        #expect(server.machine.ledger(of: peer)?.bytesReceived == 100)
        #expect(server.machine.ledger(of: peer)?.debtRatio == 7049.0 / 101.0)
    }

    @Test func oldVersionsGetNoPresences() {
        let server = Server([testCID(1): 100_000])
        let peer = testPeer(1)
        server.handle(.connected(peer))
        server.want(
            peer, [Entry(cid: testCID(1), want: .have, sendDontHave: true), Entry(cid: testCID(2), sendDontHave: true)],
            hasPresences: false)
        let sent = server.drain()
        #expect(sent.flatMap(\.envelope.blocks).map(\.cid) == [testCID(1)] && sent.allSatisfy(\.envelope.presences.isEmpty))
    }

    @Test func cancelsAndFullListsTakeWantsBack() {
        let cids = (0..<10).map(testCID)
        let server = Server(Dictionary(uniqueKeysWithValues: cids.map { ($0, 900_000) }))
        let peer = testPeer(1)
        server.handle(.connected(peer))
        server.want(peer, cids.map { Entry(cid: $0) })
        // Two messages are under way; the rest waits and can be cancelled.
        #expect(server.sent.flatMap(\.envelope.blocks).map(\.cid) == Array(cids[..<2]))
        #expect(server.sent.last?.envelope.pendingBytes == 8 * 900_000)
        server.want(peer, cids[2..<9].map { .cancel($0) })
        #expect(server.drain().flatMap(\.envelope.blocks).map(\.cid) == [cids[0], cids[1], cids[9]])
        server.want(peer, cids[..<5].map { Entry(cid: $0) })
        server.want(peer, [Entry(cid: cids[7])], isFull: true)
        #expect(server.drain().flatMap(\.envelope.blocks).map(\.cid) == [cids[0], cids[1], cids[7]])
        #expect(server.machine.totalWants == 0 && server.machine.bytesInFlight == 0)
    }

    @Test func prioritiesDecideTheOrder() {
        let server = Server(Dictionary(uniqueKeysWithValues: (0..<6).map { (testCID($0), 900_000) }))
        let peer = testPeer(1)
        server.handle(.connected(peer))
        server.want(peer, [1, 5, 3, 5, 2, 0].enumerated().map { Entry(cid: testCID($0.offset), priority: $0.element) })
        #expect(server.drain().flatMap(\.envelope.blocks).map(\.cid) == [1, 3, 2, 4, 0, 5].map(testCID))
    }

    @Test func messagesCarryManyBlocksUpToTheTarget() {
        let server = Server(Dictionary(uniqueKeysWithValues: (0..<100).map { (testCID($0), 262_144) }))
        let peer = testPeer(1)
        server.handle(.connected(peer))
        server.want(peer, (0..<100).map { Entry(cid: testCID($0)) })
        let sent = server.drain()
        #expect(sent.allSatisfy { $0.envelope.blocks.count == 4 } && sent.count == 25)
    }

    @Test func peersTakeTurnsByBytes() {
        var sizes: [CID: Int] = [:]
        for number in 0..<300 { sizes[testCID(number)] = number < 100 ? 1_000_000 : 250_000 }
        let server = Server(sizes)
        let (greedy, modest, late) = (testPeer(1), testPeer(2), testPeer(3))
        for peer in [greedy, modest, late] { server.handle(.connected(peer)) }
        server.want(greedy, (0..<100).map { Entry(cid: testCID($0)) })
        server.want(modest, (100..<200).map { Entry(cid: testCID($0)) })
        var given: [PeerID: Int] = [:]
        for step in 0..<60 {
            // A third that was idle gains nothing by it.
            if step == 30 { server.want(late, (200..<300).map { Entry(cid: testCID($0)) }) }
            guard !server.sent.isEmpty else { break }
            let (peer, envelope) = server.sent.removeFirst()
            given[peer, default: 0] += envelope.bytes
            server.handle(.left(peer, envelope: envelope.id, blocks: envelope.blocks.count, bytes: envelope.bytes))
        }
        let (a, b, c) = (given[greedy] ?? 0, given[modest] ?? 0, given[late] ?? 0)
        #expect(abs(a - b) <= 4_000_000)
        #expect(c > 5_000_000 && c <= a && c <= b)
    }

    @Test func aPeerThatReadsNothingHoldsUpNobody() {
        let server = Server(Dictionary(uniqueKeysWithValues: (0..<50).map { (testCID($0), 1_000_000) }))
        let (stuck, live) = (testPeer(1), testPeer(2))
        server.handle(.connected(stuck))
        server.handle(.connected(live))
        server.want(stuck, (0..<50).map { Entry(cid: testCID($0)) })
        let held = server.sent
        server.sent = []
        #expect(held.count == BitswapLimits.messagesInFlightPerPeer)
        server.want(live, (0..<50).map { Entry(cid: testCID($0)) })
        #expect(server.drain().flatMap(\.envelope.blocks).count == 50)
        #expect(server.machine.bytesInFlight == 2_000_000)
        server.handle(.disconnected(stuck))
        #expect(server.machine.bytesInFlight == 0)
    }

    @Test func wantlistsAreBounded() {
        let server = Server([:])
        let peer = testPeer(1)
        server.handle(.connected(peer))
        for batch in 0..<20 {
            server.want(peer, (0..<500).map { Entry(cid: testCID(batch * 500 + $0), sendDontHave: true) })
        }
        #expect(server.machine.totalWants == BitswapLimits.wantsPerPeer)
        #expect(server.machine.refusedWants == 20 * 500 - BitswapLimits.wantsPerPeer)
        #expect(server.floods.isEmpty, "a large wantlist is no flood")
        for batch in 0..<40 {
            server.want(peer, (0..<500).map { Entry(cid: testCID(batch * 500 + $0 + 2000), sendDontHave: true) })
        }
        #expect(server.floods == [peer])
        // Asking again and again and cancelling again and again leaves nothing behind.
        for _ in 0..<50 {
            server.want(peer, (0..<500).map { .cancel(testCID($0)) })
            server.want(peer, (0..<500).map { Entry(cid: testCID($0), sendDontHave: true) })
        }
        #expect(server.machine.rows <= 3 * BitswapLimits.wantsPerPeer + BitswapLimits.presencesPerPeer)
        server.handle(.disconnected(peer))
        #expect(server.machine.rows == 0 && server.machine.totalWants == 0)
    }

    @Test func endlessCancelsOfQueuedBlocksAreBounded() {
        let server = Server(Dictionary(uniqueKeysWithValues: (0..<200).map { (testCID($0), 1_000_000) }))
        let peer = testPeer(1)
        server.handle(.connected(peer))
        for _ in 0..<100 {
            server.want(peer, (0..<200).map { Entry(cid: testCID($0)) })
            server.want(peer, (2..<200).map { .cancel(testCID($0)) })
        }
        #expect(server.machine.rows < 1000)
        #expect(server.drain().flatMap(\.envelope.blocks).count <= 4)
        #expect(server.machine.totalWants == 0)
    }

    @Test func wantsOfAllPeersAreBoundedTogether() {
        let server = Server([:])
        let peers = 200
        for number in 0..<peers { server.handle(.connected(testPeer(number))) }
        let entries = (0..<1024).map { Entry(cid: testCID($0)) }
        for number in 0..<peers { server.want(testPeer(number), entries) }
        // Those who came first keep what they have, the others get their share.
        #expect(server.machine.totalWants <= 2 * BitswapLimits.wants)
        // Even the last one got its share.
        #expect(server.machine.wantlist(of: testPeer(peers - 1)).count >= BitswapLimits.wants / peers)
    }

    /// Random wants, cancels, arrivals, losses and disconnections: the books always balance, and what stays wanted and here is sent.
    @Test func theBooksBalance() {
        for seed in 0..<40 as Range<UInt64> {
            var random = TestRandom(seed)
            let cids = (0..<30).map(testCID)
            let server = Server([:])
            var wanted: [PeerID: Set<CID>] = [:]
            var connected: Set<Int> = []
            for _ in 0..<400 {
                let number = Int.random(in: 0..<4, using: &random)
                let peer = testPeer(number)
                let cid = cids[Int.random(in: 0..<cids.count, using: &random)]
                switch Int.random(in: 0..<12, using: &random) {
                case 0..<4:
                    guard connected.contains(number) else { continue }
                    server.want(peer, [Entry(cid: cid, priority: Int32.random(in: -5...5, using: &random), sendDontHave: Bool.random(using: &random))])
                    wanted[peer, default: []].insert(cid)
                case 4..<6:
                    server.want(peer, [.cancel(cid)])
                    wanted[peer]?.remove(cid)
                case 6:
                    let size = Int.random(in: 1...2_000_000, using: &random)
                    server.sizes[cid] = server.sizes[cid] ?? size
                    server.handle(.stored([(cid.multihash, server.sizes[cid] ?? size)]))
                case 7 where number == 0:
                    server.handle(.disconnected(peer))
                    connected.remove(number)
                    wanted[peer] = nil
                    server.sent.removeAll { $0.peer == peer }
                case 8 where connected.contains(number):
                    server.want(peer, [Entry(cid: cid)], isFull: true)
                    wanted[peer] = [cid]
                case 9..<12:
                    guard !server.sent.isEmpty else { continue }
                    let (peer, envelope) = server.sent.remove(at: Int.random(in: 0..<server.sent.count, using: &random))
                    let fails = Int.random(in: 0..<5, using: &random) == 0
                    server.handle(.left(peer, envelope: envelope.id, blocks: fails ? 0 : envelope.blocks.count, bytes: fails ? 0 : envelope.bytes))
                default:
                    server.handle(.connected(peer))
                    connected.insert(number)
                }
                let held = connected.reduce(0) { $0 + server.machine.wantlist(of: testPeer($1)).count }
                #expect(server.machine.totalWants == held, "seed \(seed)")
                #expect(server.machine.bytesInFlight == server.sent.reduce(0) { $0 + $1.envelope.bytes }, "seed \(seed)")
            }
            _ = server.drain()
            // What is left is not here.
            for number in connected {
                #expect(server.machine.wantlist(of: testPeer(number)).allSatisfy { server.sizes[$0] == nil }, "seed \(seed)")
                #expect(Set(server.machine.wantlist(of: testPeer(number))).isSubset(of: wanted[testPeer(number)] ?? []), "seed \(seed)")
            }
            #expect(server.machine.bytesInFlight == 0)
        }
    }

    @Test func strangersAreIgnored() {
        let server = Server([testCID(1): 10])
        server.want(testPeer(1), [Entry(cid: testCID(1))])
        server.handle(.left(testPeer(1), envelope: 3, blocks: 1, bytes: 1))
        server.handle(.located(testPeer(1), [(testCID(1), 10)]))
        #expect(server.sent.isEmpty && server.machine.rows == 0)
    }
}
