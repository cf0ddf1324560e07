import Foundation
import WaggleBase
import WaggleFormats
import WaggleNetwork
import WaggleRuntime

/// `waggle-bench flood`: round trips of a peer on 127.0.0.1 while another process opens connections from 127.0.0.2 and begins a handshake on each,
/// as fast as a rate says. Three processes share this machine, the attacker among them, so the first rate is scaled down; the loop that serves is one.
enum FloodBenchmark {
    static let argument = "--flood"
    /// Attempts a second.
    private static let rates = [2_000, 10_000]
    private static let seconds = 3.0

    static func run() throws {
        for chain in [false, true] {
            let (process, input, address) = try BenchmarkPeer.start("counted", chain ? "chain" : "noise")
            defer {
                input.fileHandleForWriting.closeFile()
                process.waitUntilExit()
            }
            let node = try BenchmarkNode(chain: chain)
            let connection = try node.wait { try await node.swarm.connect(address) }
            print("    over \(connection.security.channel)")
            let usual = try node.wait { try await roundTrips(connection) }
            Measure.printTime("round trip, median", usual.median)
            Measure.printTime("round trip, 99 of 100", usual.rare)
            for rate in rates {
                let attacker = Process()
                attacker.executableURL = URL(fileURLWithPath: "/proc/self/exe").resolvingSymlinksInPath()
                attacker.arguments = [argument, address.description, "\(rate)", "\(seconds + 1)"]
                try attacker.run()
                let flooded = try node.wait { () async throws -> (median: Double, rare: Double) in
                    // The attacker's first burst, which is let in, is over.
                    try await node.system.home.sleep(until: node.system.home.now + .milliseconds(500))
                    return try await roundTrips(connection)
                }
                attacker.waitUntilExit()
                Measure.printTime("    under \(rate) attempts a second, median", flooded.median, against: usual.median, "the usual")
                Measure.printTime("    under \(rate) attempts a second, 99 of 100", flooded.rare, against: usual.rare, "the usual")
                print("    median at most twice the usual: \(flooded.median <= 2 * usual.median ? "kept" : "MISSED")")
            }
        }
    }

    /// Pings, one each millisecond, for some seconds.
    private static func roundTrips(_ connection: Connection) async throws -> (median: Double, rare: Double) {
        try await connection.loop.run { () async throws -> (median: Double, rare: Double) in
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
            times.sort()
            return (times[times.count / 2], times[times.count * 99 / 100])
        }
    }

    // MARK: The other process

    /// `--flood ADDRESS RATE SECONDS`.
    static func flood(_ words: [String]) throws {
        guard words.count == 3, let address = Multiaddr(words[0])?.socketAddress(over: .tcp), let rate = Double(words[1]),
            let seconds = Double(words[2])
        else { return }
        let system = LinuxSystem(loops: 1)
        let scope = TaskScope()
        let done = DispatchSemaphore(value: 0)
        scope.spawn(on: system.home) {
            let home = system.home
            let end = home.now + .seconds(seconds)
            var due = home.now
            var attempts = 0
            while home.now < end {
                while due < home.now {
                    due = due + .nanoseconds(Int64(1e9 / rate))
                    if scope.count < 400 {
                        attempts += 1
                        scope.spawn(on: home) { await attempt(address, on: system) }
                    }
                }
                do { try await home.sleep(until: home.now + .milliseconds(1)) } catch { break }
            }
            print("    the attacker made \(Int(Double(attempts) / seconds)) attempts a second")
            done.signal()
        }
        done.wait()
    }

    /// One connection with the first words of a dial, given up after a moment.
    private static func attempt(_ address: SocketAddress, on system: LinuxSystem) async {
        do {
            let socket = try await system.network.connect(
                to: address, from: SocketAddress(ip: .v4(0x7f00_0002), port: 0), on: system.home)
            let words = Bytes(utf8: "\u{13}/multistream/1.0.0\n\u{0b}/animica/1\n")
            _ = words.withUnsafeBytes { words in withUnsafePointer(to: words) { socket.write(UnsafeBufferPointer(start: $0, count: 1)) } }
            try await system.home.sleep(until: system.home.now + .milliseconds(20))
            socket.close(abort: true)
        } catch {}
    }
}
