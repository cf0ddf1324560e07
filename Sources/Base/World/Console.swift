/// The terminal, or whatever stands in its place, of a command-line program.
public protocol Console: AnyObject, Sendable {
    /// Words after the program's name.
    var arguments: [String] { get }
    /// The name under which the program was called, without directories.
    var programName: String { get }
    var environment: [String: String] { get }
    var workingDirectory: String { get }
    /// Whether someone reads what is written.
    var outputIsTerminal: Bool { get }
    var errorIsTerminal: Bool { get }
    var inputIsTerminal: Bool { get }
    /// Columns of the terminal; 80 where there is none.
    var width: Int { get }

    /// The files that paths on the command line name.
    var files: any FileSystem { get }
    /// For progress bars and other work of the terminal's side.
    var loop: any EventLoop { get }

    /// Writes to standard output. Throws when it is closed (a pipe whose reader has left).
    func write(_ bytes: Bytes) throws(FileError)
    /// Writes to standard error; never fails.
    func writeError(_ text: String)
    /// Reads from standard input; 0 at its end. Blocks.
    func read(into buffer: UnsafeMutableRawBufferPointer) throws(FileError) -> Int
    /// Hands over every key as it comes, without echo and without signals from the keyboard, or goes back to lines.
    func setRawInput(_ raw: Bool)
    /// Stops the program as Control-Z does, and returns when the shell lets it go on. The terminal must not be raw.
    func suspend()
    /// Returns when the terminal has another width. Throws where that cannot be told.
    func resized() async throws
    /// Returns when the user or the system asks the program to stop (SIGINT, SIGTERM).
    func interrupted() async throws
    /// Ends the program at once.
    func exit(_ code: Int32) -> Never
    /// Runs a program with this terminal and waits for it, for editors; its exit code.
    func run(_ program: String, _ arguments: [String]) async throws(FileError) -> Int32
}

extension Console {
    public func setRawInput(_ raw: Bool) {}
    public func suspend() {}
    public func resized() async throws { throw CancellationError() }
    public func print(_ text: String) throws(FileError) { try write(Bytes(utf8: text)) }
}
