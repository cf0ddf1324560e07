import Synchronization
import WaggleBase
import WaggleSimulation

@testable import WaggleAPI

/// A terminal that remembers.
final class TestConsole: Console, @unchecked Sendable {
    let arguments: [String]
    let programName: String
    let environment: [String: String]
    let workingDirectory = "/work"
    let outputIsTerminal = false
    let errorIsTerminal = false
    let inputIsTerminal: Bool
    let width = 80
    let files: any FileSystem
    let loop: any EventLoop
    private let text = Mutex<(output: [UInt8], error: String, input: [UInt8], read: Int)>(([], "", [], 0))

    init(_ arguments: [String], on system: any System, input: [UInt8]? = nil, program: String = "ipfs", environment: [String: String] = ["IPFS_PATH": "/repo"]) {
        self.arguments = arguments
        self.environment = environment
        programName = program
        files = system.files
        loop = system.home
        inputIsTerminal = input == nil
        text.withLock { $0.input = input ?? [] }
    }

    var output: [UInt8] { text.withLock { $0.output } }
    var error: String { text.withLock { $0.error } }

    func write(_ bytes: Bytes) throws(FileError) { text.withLock { $0.output += bytes.array } }
    func writeError(_ text: String) { self.text.withLock { $0.error += text } }

    func read(into buffer: UnsafeMutableRawBufferPointer) throws(FileError) -> Int {
        text.withLock { text in
            // Pipes hand over small pieces.
            let count = min(buffer.count, text.input.count - text.read, text.input.count < 1000 ? 7 : 65_536)
            buffer.copyBytes(from: text.input[text.read..<text.read + count])
            text.read += count
            return count
        }
    }

    func interrupted() async throws { try await loop.sleep(until: loop.now + .seconds(1_000_000)) }
    func exit(_ code: Int32) -> Never { fatalError("exit \(code)") }
    func run(_ program: String, _ arguments: [String]) async throws(FileError) -> Int32 { 0 }
}

/// What a command line did.
struct Outcome: Sendable {
    var code: Int32
    var bytes: [UInt8]
    var error: String
    var output: String { String(decoding: bytes, as: UTF8.self) }
    var line: String { String(output.prefix { $0 != "\n" }) }
}

/// A simulated computer with a command line.
struct Shell: Sendable {
    let world: World
    let system: any System

    init(seed: UInt64 = 1) {
        world = World(seed: seed)
        system = world.host("node").system
        do { try system.files.makeDirectory("/work", mode: 0o755) } catch { fatalError("\(error)") }
    }

    /// Runs one command line after the other; each gets the words and maybe something on its standard input.
    @discardableResult
    func callAsFunction(_ words: String..., input: [UInt8]? = nil, program: String = "ipfs") throws -> Outcome {
        let console = TestConsole(words, on: system, input: input, program: program)
        let line = CommandLineProgram(root: Commands.root, console: console, system: system)
        let code = try world.run { [system] in await system.home.run { await line.run() } }
        return Outcome(code: code, bytes: console.output, error: console.error)
    }

    func file(_ path: String, _ bytes: [UInt8]) throws {
        try system.files.makeDirectory(path.split(separator: "/").dropLast().reduce("") { "\($0)/\($1)" }, mode: 0o755)
        try system.files.replace(path, with: Bytes(bytes), mode: 0o644)
    }
}
