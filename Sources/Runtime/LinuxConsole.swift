import CLinux
import Glibc
import Synchronization
import WaggleBase

/// The terminal and the environment of this process.
public final class LinuxConsole: Console {
    public let arguments: [String]
    public let programName: String
    public let environment: [String: String]
    private let system: LinuxSystem
    /// The terminal as it was before `setRawInput`.
    private let cooked = Mutex<termios?>(nil)

    public init(system: LinuxSystem) {
        self.system = system
        let words = CommandLine.arguments
        arguments = Array(words.dropFirst())
        programName = words.first?.split(separator: "/").last.map(String.init) ?? "waggle"
        environment = ProcessEnvironment.variables
    }

    public var files: any FileSystem { system.files }
    public var loop: any EventLoop { system.home }

    public var workingDirectory: String {
        guard let path = getcwd(nil, 0) else { return "/" }
        defer { free(path) }
        return String(cString: path)
    }

    public var outputIsTerminal: Bool { isatty(STDOUT_FILENO) == 1 }
    public var errorIsTerminal: Bool { isatty(STDERR_FILENO) == 1 }
    public var inputIsTerminal: Bool { isatty(STDIN_FILENO) == 1 }

    public var width: Int {
        var size = winsize()
        guard ioctl(STDOUT_FILENO, UInt(TIOCGWINSZ), &size) == 0, size.ws_col > 0 else { return 80 }
        return Int(size.ws_col)
    }

    public func write(_ bytes: Bytes) throws(FileError) {
        try bytes.withUnsafeBytes { (buffer) throws(FileError) in
            var written = 0
            while written < buffer.count, let base = buffer.baseAddress {
                let count = Glibc.write(STDOUT_FILENO, base + written, buffer.count - written)
                if count >= 0 {
                    written += count
                } else if errno != EINTR {
                    throw errno == ENOSPC ? .full(path: "standard output") : .other(path: "standard output", errno: errno)
                }
            }
        }
    }

    public func writeError(_ text: String) {
        var text = text
        text.withUTF8 { buffer in
            var written = 0
            while written < buffer.count, let base = buffer.baseAddress {
                let count = Glibc.write(STDERR_FILENO, base + written, buffer.count - written)
                if count >= 0 { written += count } else if errno != EINTR { return }
            }
        }
    }

    public func read(into buffer: UnsafeMutableRawBufferPointer) throws(FileError) -> Int {
        while true {
            let count = Glibc.read(STDIN_FILENO, buffer.baseAddress, buffer.count)
            if count >= 0 { return count }
            if errno != EINTR { throw .other(path: "standard input", errno: errno) }
        }
    }

    public func setRawInput(_ raw: Bool) {
        cooked.withLock { cooked in
            guard raw else {
                if var settings = cooked { tcsetattr(STDIN_FILENO, TCSADRAIN, &settings) }
                cooked = nil
                return
            }
            var settings = termios()
            guard cooked == nil, tcgetattr(STDIN_FILENO, &settings) == 0 else { return }
            cooked = settings
            settings.c_lflag &= ~tcflag_t(ICANON | ECHO | ISIG | IEXTEN)
            settings.c_iflag &= ~tcflag_t(IXON | ICRNL | INLCR | IGNCR)
            withUnsafeMutableBytes(of: &settings.c_cc) { controls in
                controls[Int(VMIN)] = 1
                controls[Int(VTIME)] = 0
            }
            tcsetattr(STDIN_FILENO, TCSADRAIN, &settings)
        }
    }

    /// The signal goes to this thread, which it stops, with all others, before the call returns.
    public func suspend() { raise(SIGTSTP) }

    public func resized() async throws { _ = try await system.nextSignal(of: [.windowChange]) }

    public func interrupted() async throws { _ = try await system.nextSignal(of: [.interrupt, .terminate]) }

    public func exit(_ code: Int32) -> Never { Glibc.exit(code) }

    public func run(_ program: String, _ arguments: [String]) async throws(FileError) -> Int32 {
        var words = ([program] + arguments).map { strdup($0) } + [nil]
        defer { for word in words { free(word) } }
        var child: pid_t = 0
        let code = posix_spawnp(&child, program, nil, nil, &words, environ)
        if code != 0 { throw code == ENOENT ? .notFound(path: program) : .other(path: program, errno: code) }
        var status: Int32 = 0
        while waitpid(child, &status, 0) < 0 { if errno != EINTR { throw .other(path: program, errno: errno) } }
        return status & 0x7f == 0 ? (status >> 8) & 0xff : 128 + (status & 0x7f)
    }
}
