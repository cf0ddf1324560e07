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
        let system = LinuxSystem(loops: isDaemon ? nil : 1, log: LinuxLog(level: isDaemon ? .info : .error))
        let console = LinuxConsole(system: system)
        let program = CommandLineProgram(root: Commands.root, console: console, system: system)
        let code = await system.home.run { await program.run() }
        console.exit(code)
    }
}
