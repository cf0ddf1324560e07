import Synchronization
import WaggleAssembly
import WaggleBase
import WaggleContent
import WaggleFormats
import WaggleNetwork

/// What a command works on: the repository and, in a daemon, the running node.
package final class Session: Sendable {
    package let system: any System
    package let repositoryPath: String
    /// The terminal of a command that runs in the command line's own process; nil in a daemon.
    package let console: (any Console)?
    /// The node; nil for commands that need no repository.
    private let opened: ContentNode?
    /// The program's name in texts that tell what to type.
    package let programName: String
    /// Asks a daemon to stop.
    package let shutdown: @Sendable () -> Void
    /// What a daemon has besides its node.
    package let daemon: DaemonParts?
    /// The configuration's file.
    private let configurationPath: String
    /// What fetches blocks for the command, made when the first one is needed.
    private let fetching = Mutex<BitswapSession?>(nil)

    package init(
        system: any System, repositoryPath: String, console: (any Console)?, programName: String, node: ContentNode?,
        configurationPath: String? = nil, daemon: DaemonParts? = nil, shutdown: @escaping @Sendable () -> Void = {}
    ) {
        self.configurationPath = configurationPath ?? repositoryPath + "/config"
        self.daemon = daemon
        self.system = system
        self.repositoryPath = repositoryPath
        self.console = console
        self.programName = programName
        opened = node
        self.shutdown = shutdown
    }

    /// Opens what `request` needs in this process.
    static func open(_ request: Request, repository: String, console: any Console, system: any System) async throws -> Session {
        var node: ContentNode?
        if request.command.needs != .nothing {
            guard try Repository.exists(at: repository, on: system) else {
                throw CommandError("no IPFS repo found in \(repository).\nplease run: '\(console.programName) init'")
            }
            if request.command.needs == .repository { node = try await ContentNode.open(repository, on: system) }
        }
        return Session(
            system: system, repositoryPath: repository, console: console, programName: console.programName, node: node,
            configurationPath: (request.string("config-file") ?? request.string("config")).map { $0.hasPrefix("/") ? $0 : console.workingDirectory + "/" + $0 })
    }

    /// Ends what `open` began.
    func close() async {
        await endFetching()
        await opened?.close()
    }

    /// Runs `body` with a session of its own, so that what one request of a daemon fetches is one bitswap session.
    func withRequest(_ body: (Session) async throws -> Void) async throws {
        let inner = Session(
            system: system, repositoryPath: repositoryPath, console: console, programName: programName, node: opened,
            configurationPath: configurationPath, daemon: daemon, shutdown: shutdown)
        do {
            try await body(inner)
        } catch {
            await inner.endFetching()
            throw error
        }
        await inner.endFetching()
    }

    private func endFetching() async {
        let session = fetching.withLock { $0.take() }
        await session?.close()
    }

    package var node: ContentNode {
        get throws {
            guard let opened else { throw CommandError("this command needs a repository") }
            return opened
        }
    }

    package var repository: Repository { get throws { try node.repository } }

    /// The configuration as it is on the disk now.
    package var configuration: Configuration {
        get throws {
            let bytes = try system.files.read(configurationPath, limit: Repository.configurationLimit)
            return try Configuration(parsing: bytes, path: configurationPath)
        }
    }

    /// Changes the configuration file.
    package func changeConfiguration(_ change: (inout Configuration) throws -> Void) throws {
        var configuration = try configuration
        try change(&configuration)
        try save(configuration)
    }

    /// Replaces the configuration file in one step.
    package func save(_ configuration: Configuration) throws {
        try system.files.replace(configurationPath, with: Bytes(utf8: configuration.text), mode: 0o600)
    }
}

extension Session {
    /// Where a command reads blocks from: with `--offline` only what is here.
    package func source(_ request: Request) async throws -> any BlockSource {
        guard !request.flag("offline"), let online = try node.online else { return try repository.blocks }
        if let session = fetching.withLock({ $0 }) { return session }
        let made = await online.bitswap.makeSession()
        let kept = fetching.withLock { existing in
            if existing == nil { existing = made }
            return existing ?? made
        }
        if kept !== made { await made.close() }
        return kept
    }

    /// The CID that a path stands for.
    package func resolve(_ text: String, _ request: Request) async throws -> CID {
        let (path, found) = try await follow(text, request)
        guard found.remainder.isEmpty else { throw CommandError("\(path) leads into a block, not to one") }
        return found.cid
    }

    /// Where a path leads, which may be inside a block.
    package func follow(_ text: String, _ request: Request) async throws -> (path: ContentPath, found: ResolvedPath) {
        let path = try await immutable(try ContentPath(parsing: text), request)
        if let root = path.cid { try CIDPolicy.check(root) }
        let found = try await PathResolver(try await source(request)).resolve(path)
        try CIDPolicy.check(found.cid)
        return (path, found)
    }

    /// A path below `/ipns` with what its name stands for; other paths as they are.
    package func immutable(_ path: ContentPath, _ request: Request) async throws -> ContentPath {
        guard path.namespace == .ipns else { return path }
        var options = NameSystem.Resolving()
        options.search.asksOthers = !request.flag("offline")
        return try await node.names.resolve(path, options).path
    }

    /// Program and version as identify tells them, with what the configuration adds.
    package var agentVersion: String {
        get throws {
            if let daemon { return daemon.agentVersion }
            return NodeSettings.agentVersion(try configuration, suffix: nil)
        }
    }

    /// The running node's network; throws where there is none.
    package var online: ContentNode.Online {
        get throws {
            guard let online = try node.online else {
                throw CommandError("this command must be run in online mode. Try running '\(programName) daemon' first")
            }
            return online
        }
    }
}
