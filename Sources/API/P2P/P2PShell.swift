import WaggleAssembly
import WaggleBase
import WaggleFormats
import WaggleNetwork
import WaggleServices

/// The interactive mode: reads commands, does them, and tells what happens meanwhile. In a pipe nobody watches and decides when to go on: there each
/// command has its outcome before the next is read. Belongs to the home loop.
final class P2PShell: @unchecked Sendable {
    /// When nobody is found: the first note, and the longest time between two.
    private static let patience = Duration.seconds(5)
    private static let longestPatience = Duration.seconds(300)
    /// Characters of a message that are shown.
    private static let shownCharacters = 2000
    /// In a pipe: how long a message waits for somebody to say it to, and how long the end waits for what was said to be on its way.
    private static let audiencePatience = Duration.seconds(10)
    private static let farewellPatience = Duration.seconds(2)
    private static let glance = Duration.milliseconds(50)
    /// Topics at once.
    private static let topicLimit = 64

    let node: Node
    private let home: any EventLoop
    let prompt: Prompt
    private let console: any Console
    private let scope = TaskScope()
    private let over: Waiter
    private var isOver = false
    private var topics: [String: PubSubTopic] = [:]
    /// Where `msg` goes to.
    private var current: String?
    private let firstTopic: String
    private var observation: SwarmObservation?
    /// A message has waited for somebody in vain: the next ones do not, until there is somebody.
    private var waitedInVain = false
    private var hasSpoken = false
    /// Who may not have got everything yet.
    private var listeners: Set<PeerID> = []

    init(_ node: Node, console: any Console, topic: String, history: [String]) {
        self.node = node
        self.console = console
        firstTopic = topic
        home = node.system.home
        over = Waiter(on: home)
        let names = P2PWords(node)
        prompt = Prompt("> ", console: console, system: node.system, history: history) { names.completions(of: $0) }
        names.topics = { [weak self] in self?.topics.keys.sorted() ?? [] }
    }

    /// Lines that were typed.
    var typed: [String] { prompt.typed }

    /// Runs until the user or the system ends it.
    func run(dialing addresses: [Multiaddr]) async {
        prompt.open()
        greet()
        observation = node.swarm.observe(on: home) { [weak self] in self?.noticed($0) }
        await join(firstTopic)
        scope.spawn(on: home) { [self] in await tellOfLoneliness() }
        scope.spawn(on: home) { [self] in
            do { try await console.interrupted() } catch { return }
            end()
        }
        scope.spawn(on: home) { [self] in
            while !isOver {
                do { try await console.resized() } catch { return }
                prompt.redraw()
            }
        }
        scope.spawn(on: home) { [self] in
            for address in addresses { await inTurn { await self.dial(address) } }
            await readCommands()
            if hasSpoken, !prompt.isInteractive { await takeLeave() }
            end()
        }
        while !isOver {
            do { try await over.wait() } catch { break }
        }
        observation?.cancel()
        for topic in topics.values { topic.leave() }
        prompt.close()
        // The reader may hang in the terminal: it ends with the process.
        scope.cancelAll()
    }

    private func end() {
        isOver = true
        over.wake()
    }

    private func greet() {
        say("You are \(node.peer).")
        let addresses = node.swarm.announcedAddresses
        if addresses.isEmpty { say("Not listening: others cannot dial this node.") }
        for address in addresses { say("Listening on \(address.with(peer: node.peer))") }
        say("'help' lists the commands.")
    }

    func say(_ text: String) { prompt.print(text) }

    // MARK: Commands

    /// On a terminal the next command need not wait for this one.
    private func inTurn(_ work: @escaping @Sendable () async -> Void) async {
        if prompt.isInteractive { scope.spawn(on: home, work) } else { await work() }
    }

    private func wait(atMost limit: Duration, until isDone: () -> Bool) async {
        let end = home.now + limit
        while !isDone(), !isOver, home.now < end {
            do { try await home.sleep(until: home.now + Self.glance) } catch { return }
        }
    }

    /// Closing drops what is still queued. An answer to a ping says that what was queued before it has left.
    private func takeLeave() async {
        listeners = Set(topics.values.flatMap(\.peers))
        for peer in listeners {
            scope.spawn(on: home) { [self] in
                do { _ = try await node.ping?.ping(peer) } catch {}
                listeners.remove(peer)
            }
        }
        await wait(atMost: Self.farewellPatience) { listeners.isEmpty }
    }

    private func readCommands() async {
        var wasInterrupted = false
        while !isOver {
            let input: Prompt.Input
            do { input = try await prompt.next() } catch { return }
            switch input {
            case .end: return
            case .interrupt(let line):
                if wasInterrupted, line.isEmpty { return }
                wasInterrupted = line.isEmpty
                if wasInterrupted { say("Once more, or Ctrl-D, or 'quit', ends it.") }
            case .line(let line):
                wasInterrupted = false
                let words = line.split(separator: " ", maxSplits: 1).map(String.init)
                guard let name = words.first else { continue }
                let rest = words.count > 1 ? String(words[1].drop { $0 == " " }) : ""
                if ["quit", "exit"].contains(name) { return }
                await perform(name, rest)
            }
        }
    }

    private func perform(_ name: String, _ rest: String) async {
        switch name {
        case "help", "?": for line in P2PWords.help { say(line) }
        case "peers": listPeers()
        case "msg": await publish(rest)
        case "dial":
            if rest.isEmpty { return say("dial <address>") }
            guard let address = Multiaddr(rest) else { return say("'\(TerminalText.visible(rest))' is no address such as /ip4/10.0.0.7/tcp/9000") }
            await inTurn { await self.dial(address) }
        case "topics": listTopics()
        case "join": rest.isEmpty ? say("join <topic>") : await join(rest)
        case "leave": leave(rest)
        case "ping": await ping(rest)
        case "id": greet()
        default: say("There is no command '\(TerminalText.visible(name))'; 'help' lists them.")
        }
    }

    private func listPeers() {
        let connections = node.swarm.connections
        if connections.isEmpty { return say("Nobody is connected.") }
        for connection in connections.sorted(by: { $0.peer < $1.peer }) {
            let agent = TerminalText.visible(node.swarm.addressBook.agentVersion(of: connection.peer) ?? "")
            let time = connection.roundTrip.map { PingText.duration($0) } ?? "-"
            say("\(connection.peer) \(connection.remoteAddress) \(connection.direction.rawValue) \(connection.security.channel.text) \(time) \(agent)")
        }
    }

    private func dial(_ address: Multiaddr) async {
        do throws(SwarmError) {
            let connection = try await node.connect(address)
            say("Reached \(connection.peer.short).")
        } catch {
            say("\(address) is not reached: \(SwarmText.explain(error))")
        }
    }

    private func ping(_ text: String) async {
        let connected = node.swarm.peers
        let peers = text.isEmpty ? connected : connected.filter { $0.description == text || $0.short == text || $0.description.hasSuffix(text) }
        if peers.isEmpty { return say(text.isEmpty ? "Nobody is connected." : "No connected peer is called '\(TerminalText.visible(text))'.") }
        guard let service = node.ping else { return }
        for peer in peers {
            await inTurn { [self] in
                do { say("\(peer.short) answers in \(PingText.duration(try await service.ping(peer)))") } catch {
                    say("\(peer.short) does not answer: \(error)")
                }
            }
        }
    }

    // MARK: Topics

    private func publish(_ text: String) async {
        guard !text.isEmpty else { return say("msg <text>") }
        guard let current, let topic = topics[current] else { return say("You are in no topic: join one first.") }
        if !prompt.isInteractive, !waitedInVain { await wait(atMost: Self.audiencePatience) { !topic.peers.isEmpty } }
        waitedInVain = topic.peers.isEmpty
        do throws(PubSubError) {
            if try await topic.publish(Bytes(utf8: text)) == 0 { say("(nobody is in \(TerminalText.visible(current)) right now)") }
            hasSpoken = true
        } catch { say("Not sent: \(error)") }
    }

    private func join(_ name: String) async {
        guard let pubsub = node.pubsub else { return }
        if topics[name] == nil {
            guard topics.count < Self.topicLimit else { return say("\(Self.topicLimit) topics are the limit: leave one first.") }
            let topic: PubSubTopic
            do throws(PubSubError) { topic = try await pubsub.join(TopicID(name)) } catch { return say("Not joined: \(error)") }
            topics[name] = topic
            scope.spawn(on: home) { [self] in await show(topic, name) }
        }
        current = name
        say("You are in \(TerminalText.visible(name)).")
    }

    private func leave(_ text: String) {
        let name = text.isEmpty ? current ?? "" : text
        guard let topic = topics.removeValue(forKey: name) else { return say("You are not in '\(TerminalText.visible(name))'.") }
        topic.leave()
        if current == name { current = topics.keys.sorted().first }
        say("You left \(TerminalText.visible(name)); messages go to \(current.map(TerminalText.visible) ?? "nobody") now.")
    }

    private func listTopics() {
        if topics.isEmpty { return say("You are in no topic.") }
        for (name, topic) in topics.sorted(by: { $0.key < $1.key }) {
            let count = topic.peers.count
            say("\(name == current ? "*" : " ") \(TerminalText.visible(name)): \(count) \(count == 1 ? "peer" : "peers"), \(topic.mesh.count) in the mesh")
        }
    }

    private func show(_ topic: PubSubTopic, _ name: String) async {
        var missed = 0
        for await message in topic.messages {
            if topic.messages.missed > missed {
                say("(\(topic.messages.missed - missed) messages came too fast to be shown)")
                missed = topic.messages.missed
            }
            guard message.author != node.peer else { continue }
            let text = Self.shown(message.data)
            let author = message.author?.short ?? "somebody"
            say(name == current ? "<\(author)> \(text)" : "\(TerminalText.visible(name)) <\(author)> \(text)")
        }
    }

    /// Not more of a long message is looked at than is shown.
    static func shown(_ data: Bytes) -> String {
        let front = data.prefix(4 * Self.shownCharacters)
        let text = TerminalText.visible(String(decoding: front, as: UTF8.self))
        let isWhole = front.count == data.count && text.count <= Self.shownCharacters
        return isWhole ? text : text.prefix(Self.shownCharacters) + "… (\(data.count) bytes)"
    }

    // MARK: Events

    private func noticed(_ event: SwarmEvent) {
        switch event {
        case .peerConnected(let peer):
            let connection = node.swarm.connections(to: peer).first
            let how = connection.map { " at \($0.remoteAddress), \($0.direction.rawValue), \($0.security.channel.text)" } ?? ""
            say("+ \(peer.short) is connected\(how)")
        case .peerDisconnected(let peer): say("- \(peer.short) is gone")
        case .stoppedListening(let address): say("No longer listening on \(address)")
        case .missed(let count): say("(\(count) events came too fast to be shown)")
        default: break
        }
    }

    /// The first node of a network is alone, and that is normal.
    private func tellOfLoneliness() async {
        var pause = Self.patience
        while !isOver {
            do { try await home.sleep(until: home.now + pause) } catch { return }
            guard node.swarm.peers.isEmpty else {
                pause = Self.patience
                continue
            }
            say("Nobody found yet; still looking. 'dial <address>' connects by hand.")
            pause = min(pause * 2, Self.longestPatience)
        }
    }
}

/// The words of the prompt, for help and completion.
final class P2PWords: @unchecked Sendable {
    private static let commands: [(name: String, arguments: String, text: String)] = [
        ("peers", "", "who is connected"),
        ("msg", "<text>", "say something in the topic"),
        ("dial", "<address>", "connect to a node"),
        ("topics", "", "the topics you are in; messages go to the one with *"),
        ("join", "<topic>", "go into a topic, or switch to one"),
        ("leave", "[<topic>]", "leave a topic"),
        ("ping", "[<peer>]", "how long others take to answer"),
        ("id", "", "who you are and where you listen"),
        ("help", "", "this list"),
        ("quit", "", "the end"),
    ]

    static var help: [String] {
        commands.map { command in
            let usage = command.name + (command.arguments.isEmpty ? "" : " " + command.arguments)
            return "  " + usage + String(repeating: " ", count: max(1, 18 - usage.count)) + command.text
        }
    }

    private let node: Node
    var topics: () -> [String] = { [] }

    init(_ node: Node) { self.node = node }

    /// What the line up to the cursor could become.
    func completions(of front: String) -> [String] {
        let words = front.split(separator: " ", omittingEmptySubsequences: false)
        guard words.count > 1, let name = words.first else {
            return Self.commands.map(\.name).filter { $0.hasPrefix(front) }.map { name in
                Self.commands.contains { $0.name == name && !$0.arguments.isEmpty } ? name + " " : name
            }
        }
        let choices: [String] =
            switch name {
            case "leave", "join": topics()
            case "ping": node.swarm.peers.map(\.description)
            case "dial":
                node.swarm.addressBook.peers.flatMap { peer in node.swarm.addressBook.addresses(of: peer).map { $0.with(peer: peer).description } }
            default: []
            }
        let typed = words.dropFirst().joined(separator: " ")
        return choices.filter { $0.hasPrefix(typed) && $0 != typed }.sorted().map { "\(name) \($0)" }
    }
}
