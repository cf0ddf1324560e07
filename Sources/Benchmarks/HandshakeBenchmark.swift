import COpenSSL
import Foundation
import WaggleBase
import WaggleCryptography
import WaggleFormats
import WaggleNetwork
import WaggleStack

/// `waggle-bench handshake`: connecting over loopback, from the call to the connection that carries streams, with the hybrid Noise channel and with
/// `/animica/1` (ML-DSA-65 on both sides), beside what the cryptography of both sides takes alone; and the records of both channels.
enum HandshakeBenchmark {
    static func run() throws {
        let message = Bytes([UInt8](repeating: 1, count: 64))
        guard let key = MLDSA.PrivateKey(seed: random(32), .mldsa65), let signature = key.sign(message) else { return }
        var serial: UInt64 = 0
        let alone = Measure.nanoseconds(40) {
            for _ in 0..<2 {
                guard let pair = MLKEM768.generate(d: random(32), z: random(32)),
                    let made = MLKEM768.encapsulate(to: pair.encapsulationKey, m: random(32))
                else { return }
                _ = pair.decapsulate(made.ciphertext)
                // Other messages take other numbers of tries; the mean of many is what counts.
                serial += 1
                _ = key.sign(Bytes(utf8: "message \(serial)"))
                _ = key.publicKey.verify(signature, of: message)
            }
        }
        Measure.printTime("ML-KEM-768 and ML-DSA-65 of both sides alone", alone)
        let noise = try connects("Noise hybrid connect, median", chain: false, against: alone)
        let animica = try connects("/animica/1 connect, median", chain: true, against: alone)
        print("    /animica/1 takes \(Measure.text(animica / noise)) of Noise's time; the goal is 3 ms: \(animica <= 3e6 ? "kept" : "MISSED")")
        try records()
    }

    private static func random(_ count: Int) -> SecureBytes {
        SecureBytes(count: count) { _ = RAND_bytes($0.baseAddress?.assumingMemoryBound(to: UInt8.self), Int32(count)) }
    }

    // MARK: Connecting

    private static func connects(_ name: String, chain: Bool, against alone: Double) throws -> Double {
        let (process, input, address) = try BenchmarkPeer.start(chain ? "chain" : "noise")
        defer {
            input.fileHandleForWriting.closeFile()
            process.waitUntilExit()
        }
        let node = try BenchmarkNode(chain: chain)
        let times = try node.wait {
            var times: [Double] = []
            for _ in 0..<300 {
                let start = ContinuousClock.now
                let connection = try await node.swarm.connect(address)
                times.append(Double((ContinuousClock.now - start).wholeNanoseconds))
                await node.swarm.disconnect(connection.peer)
            }
            return times.dropFirst(50).sorted()
        }
        Measure.printTime(name, times[times.count / 2], against: alone, "the cryptography alone")
        Measure.printTime("    90 of 100 within", times[times.count * 9 / 10])
        return times[times.count / 2]
    }

    // MARK: Records

    /// The two ends of a session in memory.
    private static func session(_ channels: (any SecureChannel, any SecureChannel)) throws -> (any RecordLayer, any RecordLayer)? {
        func handshake(_ channel: any SecureChannel, _ role: Role) -> any Handshake {
            channel.makeHandshake(HandshakeParameters(role: role, random: random(HandshakeParameters.randomLength)))
        }
        var (left, right) = (handshake(channels.0, .initiator), handshake(channels.1, .responder))
        var moved = true
        while moved {
            moved = false
            while let bytes = left.next() {
                _ = try right.receive(bytes.span)
                moved = true
            }
            while let bytes = right.next() {
                _ = try left.receive(bytes.span)
                moved = true
            }
        }
        guard let first = left.finish(), let second = right.finish() else { return nil }
        return (first.records, second.records)
    }

    private static func records() throws {
        func identity(_ kind: KeyKind) throws -> LocalIdentity { LocalIdentity(try IdentityKeyPair(generating: kind, random: random(32))) }
        func noise() throws -> any SecureChannel { NoiseChannel.hybrid(try NoiseKeys(identity: try identity(.ed25519), secret: random(32)))[0] }
        func animica() throws -> AnimicaChannel? {
            AnimicaChannel(identity: try identity(.mlDSA65), network: .init(chain: 1), transports: ["tcp"])
        }
        guard let one = try animica(), let other = try animica(), let chain = try session((one, other)),
            let plain = try session((try noise(), try noise()))
        else { return }
        let memory = UnsafeMutableRawPointer.allocate(byteCount: 1 << 17, alignment: 64)
        memory.initializeMemory(as: UInt8.self, repeating: 1, count: 1 << 17)
        defer { memory.deallocate() }
        for length in [64, 1_400, 16_384, chain.0.maximumPlaintext] {
            let payload = UnsafeRawBufferPointer(start: memory, count: length)
            let nothing = UnsafeRawBufferPointer(start: nil, count: 0)
            let count = max(50, 4_000_000 / (length + 500))
            let limit = Measure.nanoseconds(count) { _ = try? plain.0.seal(nothing, payload, into: memory + (1 << 16)) }
            let time = Measure.nanoseconds(count) { _ = try? chain.0.seal(nothing, payload, into: memory + (1 << 16)) }
            Measure.printRate("/animica/1 record sealed, \(length) bytes", bytes: length, time, against: limit, "Noise's")
        }
    }
}
