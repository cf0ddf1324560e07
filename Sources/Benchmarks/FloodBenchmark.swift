import Foundation
import WaggleBase
import WaggleCryptography
import WaggleFormats
import WaggleNetwork
import WaggleRuntime
import WaggleStack

/// `waggle-bench flood`: round trips of a peer on 127.0.0.1 while another process opens connections from other addresses of this machine and goes some
/// way into a handshake on each, as often as a rate says.
///
/// The attacker shares the processor with those it attacks, so each attack is made twice: on the node whose round trips are measured, and on
/// a bystander, a second node of the same kind that nobody talks to. What the round trips lose while the bystander is attacked is the machine's
/// doing, not the node's. The loop that serves is one.
enum FloodBenchmark {
    private struct Attack {
        let name: String
        /// Attempts a second.
        let rate: Int
        /// Addresses that they come from.
        let hosts: Int
        var step = FloodAttacker.Step.proposal
    }

    private static let attacks = [
        Attack(name: "2,000 proposals a second, one address", rate: 2_000, hosts: 1),
        Attack(name: "10,000 proposals a second, one address", rate: 10_000, hosts: 1),
        Attack(name: "10,000 proposals a second, 250 addresses", rate: 10_000, hosts: 250),
        Attack(name: "10,000 first messages a second, one address", rate: 10_000, hosts: 1, step: .firstMessage),
        Attack(name: "10,000 first messages a second, 250 addresses", rate: 10_000, hosts: 250, step: .firstMessage),
    ]
    private static let seconds = 2.0

    private struct RoundTrips {
        var median = 0.0
        var rare = 0.0
        /// Processor time of the node for each, in nanoseconds, when nothing else happens.
        var usage = 0.0
    }

    static func run() throws {
        for chain in [false, true] {
            let peers = try (0..<2).map { _ in try BenchmarkPeer.start("counted", chain ? "chain" : "noise") }
            defer {
                for peer in peers {
                    peer.input.fileHandleForWriting.closeFile()
                    peer.process.waitUntilExit()
                }
            }
            let node = try BenchmarkNode(chain: chain)
            let connection = try node.wait { try await node.swarm.connect(peers[0].address) }
            print("    over \(connection.security.channel)")
            Measure.printTime("a first message of a handshake answered", try firstMessage(chain: chain))
            let usual = try node.wait { try await roundTrips(connection) }
            Measure.printTime("round trip, median", usual.median)
            Measure.printTime("round trip, 99 of 100", usual.rare)
            Measure.printTime("    the node's processor time for each", usual.usage)
            for attack in attacks {
                print("    under \(attack.name)")
                var results: [RoundTrips] = []
                for (victim, name) in [(peers[1].address, "the bystander's"), (peers[0].address, "the node's")] {
                    let before = try node.wait { try await ConnectionBenchmark.peerUsage(connection) }
                    let attacker = try FloodAttacker.start(on: victim, attack.rate, attack.hosts, attack.step, chain: chain, for: seconds + 1)
                    let result = try node.wait { () async throws -> RoundTrips in
                        // The attacker's first burst, which is let in, is over.
                        try await node.system.home.sleep(until: node.system.home.now + .milliseconds(500))
                        return try await roundTrips(connection)
                    }
                    let attempts = attacker.attempts()
                    results.append(result)
                    guard results.count == 2 else { continue }
                    let spent = try node.wait { try await ConnectionBenchmark.peerUsage(connection) } - before
                    let own = usual.usage * seconds * 1000 / 1e9
                    print("        \(attempts) attempts, each \(Measure.text((spent - own) / Double(attempts) * 1e6)) µs of \(name) processor time")
                }
                let (control, flooded) = (results[0], results[1])
                for (name, control, flooded, usual) in [
                    ("median", control.median, flooded.median, usual.median), ("99 of 100", control.rare, flooded.rare, usual.rare),
                ] {
                    Measure.printTime("        \(name)", flooded, against: control, "the bystander attacked")
                    print("        \(name) at most twice the usual: \(flooded <= 2 * usual ? "kept" : "MISSED") (\(Measure.text(flooded / usual)))")
                }
            }
        }
    }

    /// What a responder's answer to the first message of a handshake takes.
    private static func firstMessage(chain: Bool) throws -> Double {
        let system = LinuxSystem(loops: 1)
        let channel = try BenchmarkNode.channel(chain: chain, on: system)
        let words = try FloodAttacker.words(.firstMessage, chain: chain, on: system)
        return Measure.nanoseconds(40) {
            let random = SecureBytes(Bytes(system.randomBytes(HandshakeParameters.randomLength)).span)
            var machine = UpgradeMachine(
                UpgradeParameters(role: .responder, channels: [channel], muxers: ["/yamux/1.0.0"], random: random), at: system.home.now)
            _ = try? machine.receive(words.span)
            _ = machine.next()
        }
    }

    /// Pings, one each millisecond, for some seconds.
    private static func roundTrips(_ connection: Connection) async throws -> RoundTrips {
        try await connection.loop.run { () async throws -> RoundTrips in
            let before = try await ConnectionBenchmark.peerUsage(connection)
            let stream = try await connection.openStream([BenchmarkService.echo])
            let ping = BenchmarkService.block.prefix(32)
            var times: [Double] = []
            let begin = ContinuousClock.now
            while ContinuousClock.now - begin < .seconds(seconds) {
                let start = ContinuousClock.now
                try await stream.write(ping)
                guard try await stream.read(exactly: 32) == ping else { throw StreamError.malformed }
                times.append(Double((ContinuousClock.now - start).wholeNanoseconds))
                try await connection.loop.sleep(until: connection.loop.now + .milliseconds(1))
            }
            stream.finish()
            let usage = try await ConnectionBenchmark.peerUsage(connection) - before
            times.sort()
            return RoundTrips(
                median: times[times.count / 2], rare: times[times.count * 99 / 100], usage: usage / Double(times.count) * 1e9)
        }
    }
}
