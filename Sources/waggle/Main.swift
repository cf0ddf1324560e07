import WaggleAPI
import WaggleBase
import WaggleRuntime

/// The program: the real world, and the command line on top of it.
@main
struct Waggle {
    nonisolated static func main() async {
        LinuxSystem.ignoreBrokenPipes()
        // Only a daemon has work for more than one loop.
        let isDaemon = CommandLine.arguments.contains("daemon")
        let environment = ProcessEnvironment.variables
        // The variables that Kubo's users know count too.
        let format = environment["WAGGLE_LOG_FORMAT"] ?? environment["GOLOG_LOG_FMT"] ?? ""
        let log = LinuxLog(level: isDaemon ? .info : .error, format: format.isEmpty ? nil : format == "json" ? .json : .text)
        for part in log.setLevels(environment["WAGGLE_LOG_LEVEL"] ?? environment["GOLOG_LOG_LEVEL"] ?? "") {
            Log("log", to: log)(.error, "no such level", [LogField("value", part)])
        }
        let system = LinuxSystem(loops: isDaemon ? nil : 1, log: log)
        let console = LinuxConsole(system: system)
        let program = CommandLineProgram(root: Commands.root, console: console, system: system)
        let code = await system.home.run { await program.run() }
        console.exit(code)
    }
}
