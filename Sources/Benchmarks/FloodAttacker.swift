import Foundation
import Glibc
import WaggleBase
import WaggleCryptography
import WaggleFormats
import WaggleNetwork
import WaggleRuntime
import WaggleStack

/// The other process of `waggle-bench flood`: plain sockets and one thread, so that it takes as little of the machine as an attacker can.
struct FloodAttacker {
    static let argument = "--flood"

    /// How far each attempt goes before it keeps silent.
    enum Step: String {
        /// The header of the negotiation and the proposal of a channel.
        case proposal
        /// Also the first message of the handshake, a valid one.
        case firstMessage = "first-message"
    }

    private let process: Process
    private let output: Pipe

    /// Attacks for some seconds.
    static func start(on target: Multiaddr, _ rate: Int, _ hosts: Int, _ step: Step, chain: Bool, for seconds: Double) throws -> FloodAttacker {
        let process = Process()
        process.executableURL = URL(fileURLWithPath: "/proc/self/exe").resolvingSymlinksInPath()
        process.arguments = [argument, target.description, "\(rate)", "\(hosts)", step.rawValue, chain ? "chain" : "noise", "\(seconds)"]
        let output = Pipe()
        process.standardOutput = output
        try process.run()
        return FloodAttacker(process: process, output: output)
    }

    /// Waits for the end and says how many attempts there were.
    func attempts() -> Int {
        let text = String(decoding: output.fileHandleForReading.readDataToEndOfFile(), as: UTF8.self)
        process.waitUntilExit()
        return Int(text.trimmingCharacters(in: .whitespacesAndNewlines)) ?? 0
    }

    /// What each attempt sends.
    static func words(_ step: Step, chain: Bool, on system: LinuxSystem) throws -> Bytes {
        let channel = try BenchmarkNode.channel(chain: chain, on: system)
        let random = SecureBytes(Bytes(system.randomBytes(HandshakeParameters.randomLength)).span)
        var machine = UpgradeMachine(
            UpgradeParameters(role: .initiator, channels: [channel], muxers: ["/yamux/1.0.0"], random: random), at: system.home.now)
        let all = machine.next() ?? Bytes()
        switch step {
        case .firstMessage: return all
        // Two lines, each behind its length and with a newline.
        case .proposal: return all.prefix("/multistream/1.0.0".utf8.count + 2 + channel.protocolID.text.utf8.count + 2)
        }
    }

    // MARK: In the other process

    /// How long an attempt that was let in is kept, and how often the attacker looks after its connections.
    private static let patience = 0.02
    private static let pause: UInt32 = 200

    /// `--flood ADDRESS RATE HOSTS STEP CHANNEL SECONDS`: says at the end how many attempts it made.
    static func run(_ words: [String]) throws {
        guard words.count == 6, let target = Multiaddr(words[0])?.socketAddress(over: .tcp), let rate = Double(words[1]),
            let hosts = UInt32(words[2]), let step = Step(rawValue: words[3]), let seconds = Double(words[5])
        else { return }
        let bytes = try FloodAttacker.words(step, chain: words[4] == "chain", on: LinuxSystem(loops: 1)).array
        var open: [(descriptor: Int32, since: Double)] = []
        var oldest = 0
        var attempts = 0
        let begin = now()
        while now() - begin < seconds {
            while Double(attempts) < (now() - begin) * rate {
                // 127.0.0.2, or 127.0.1.1 and the next.
                let host = hosts == 1 ? 0x7f00_0002 : 0x7f00_0101 + UInt32(attempts) % hosts
                if let descriptor = attempt(from: host, to: target.port, bytes) { open.append((descriptor, now())) }
                attempts += 1
            }
            while oldest < open.count, now() - open[oldest].since > patience {
                close(open[oldest].descriptor)
                oldest += 1
            }
            usleep(pause)
        }
        print(attempts)
    }

    private static func now() -> Double {
        var time = timespec()
        clock_gettime(CLOCK_MONOTONIC, &time)
        return Double(time.tv_sec) + Double(time.tv_nsec) / 1e9
    }

    /// One connection with the first words on it, which is reset when it is closed.
    private static func attempt(from host: UInt32, to port: UInt16, _ bytes: [UInt8]) -> Int32? {
        let descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue | SOCK_NONBLOCK.rawValue), 0)
        guard descriptor >= 0 else { return nil }
        var linger = linger(l_onoff: 1, l_linger: 0)
        setsockopt(descriptor, SOL_SOCKET, SO_LINGER, &linger, socklen_t(MemoryLayout.size(ofValue: linger)))
        for (address, call) in [(PlainSink.address(host, port: 0), bind), (PlainSink.address(port: port), connect)] {
            _ = withUnsafePointer(to: address) { pointer in
                pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { call(descriptor, $0, socklen_t(MemoryLayout<sockaddr_in>.size)) }
            }
        }
        _ = send(descriptor, bytes, bytes.count, Int32(MSG_NOSIGNAL))
        return descriptor
    }
}
