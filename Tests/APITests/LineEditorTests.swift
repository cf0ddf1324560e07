import Synchronization
import Testing
import WaggleAssembly
import WaggleBase
import WaggleFormats
import WaggleNetwork
import WaggleServices
import WaggleSimulation

@testable import WaggleAPI

@Suite struct LineEditorTests {
    /// Types bytes, whatever way they are cut, and returns all outcomes but `changed`.
    private func type(_ text: String, into editor: inout LineEditor) -> [LineEditor.Outcome] {
        var decoder = KeyDecoder()
        return text.utf8.compactMap { decoder.decode($0) }.map { editor.handle($0) }.filter { $0 != .changed }
    }

    @Test func keys() {
        let cases: [(String, [Key])] = [
            ("a", [.text("a")]), ("é日🐝", [.text("é"), .text("日"), .text("🐝")]), ("\r\n\t\u{7f}", [.enter, .enter, .tab, .backspace]),
            ("\u{1b}[A\u{1b}[B\u{1b}[C\u{1b}[D\u{1b}OH\u{1b}OF\u{1b}[H\u{1b}[F", [.up, .down, .right, .left, .home, .end, .home, .end]),
            ("\u{1b}[1~\u{1b}[4~\u{1b}[3~\u{1b}[1;5C\u{1b}[1;3D", [.home, .end, .delete, .wordRight, .wordLeft]),
            ("\u{1b}b\u{1b}f\u{1b}d\u{1b}\u{7f}\u{17}", [.wordLeft, .wordRight, .deleteNextWord, .deleteWord, .deleteWord]),
            ("\u{1}\u{3}\u{4}", [.control("a"), .control("c"), .control("d")]), ("\u{1b}[200~x\u{1b}[201~", [.text("x")]), ("\u{1b}[99;99;99x", []),
            ("\u{1b}[" + String(repeating: "1", count: 100) + "a", Array(repeating: .text("1"), count: 83) + [.text("a")]),
        ]
        for (text, keys) in cases {
            var decoder = KeyDecoder()
            #expect(text.utf8.compactMap { decoder.decode($0) } == keys, "\(text.debugDescription)")
        }
        var decoder = KeyDecoder()
        // In what was pasted a tabulator completes nothing and escapes do nothing, until its end.
        let pasted = "\u{1b}[200~a\tb\u{1b}[A\u{3}\rc\u{1b}[201~\t"
        #expect(pasted.utf8.compactMap { decoder.decode($0) } == [.text("a"), .text(" "), .text("b"), .enter, .text("c"), .tab])
        // What is no UTF-8 is no key, and what follows is one again.
        decoder = KeyDecoder()
        #expect([0xff, 0xc3, 0x41, 0xe0, 0x80, 0x80, 0x42].compactMap { decoder.decode($0) } == [.text("A"), .text("B")])
    }

    @Test func editing() {
        var editor = LineEditor()
        #expect(type("hello world\u{1b}[D\u{1b}[D!\u{1}>\u{5}<\r", into: &editor) == [.line(">hello wor!ld<")])
        #expect(type("one two three\u{17}\u{17}x\r", into: &editor) == [.line("one x")])
        #expect(type("one two\u{1}\u{1b}f\u{b}\u{1}\u{19}\r", into: &editor) == [.line(" twoone")])
        #expect(type("ab\u{14}\u{1b}[D\u{7f}\r", into: &editor) == [.line("a")])
        #expect(type("e\u{301}x\u{7f}\u{7f}\u{7f}", into: &editor) == [.bell], "a mark belongs to its letter")
        #expect(type("\u{4}", into: &editor) == [.end])
        #expect(type("some\u{3}", into: &editor) == [.interrupt("some")])
        #expect(type("\u{1a}\u{c}", into: &editor) == [.suspend, .clear])
        #expect(type("x\u{1b}[D\u{4}\u{4}", into: &editor) == [.end], "Control-D deletes where there is something")
    }

    @Test func history() {
        var editor = LineEditor(history: ["old"])
        _ = type("first\rsecond\rsecond\r   \r", into: &editor)
        #expect(editor.history == ["old", "first", "second"])
        #expect(type("new\u{1b}[A\u{1b}[A\u{1b}[B\u{1b}[B\u{1b}[B!\r", into: &editor) == [.bell, .line("new!")], "what was being typed comes back")
        #expect(type("\u{1b}[A\u{1b}[A\r", into: &editor) == [.line("second")])
        var full = LineEditor(history: (0..<2000).map(\.description))
        _ = type("x\r", into: &full)
        #expect(full.history.count == LineEditor.longestHistory && full.history.last == "x")
    }

    @Test func completion() {
        var editor = LineEditor { front in ["peers", "ping "].filter { $0.hasPrefix(front) } }
        #expect(type("p\t", into: &editor) == [.candidates(["peers", "ping "])])
        #expect(type("i\tx\r", into: &editor) == [.line("ping x")])
        #expect(type("z\t", into: &editor) == [.bell])
    }

    @Test func linesAreBounded() {
        var editor = LineEditor()
        for _ in 0..<LineEditor.longestLine + 10 { _ = editor.handle(.text("x")) }
        #expect(editor.line.count == LineEditor.longestLine && editor.handle(.text("y")) == .bell)
    }

    @Test(arguments: [("abc", 3), ("日本", 4), ("é", 1), ("e\u{301}", 1), ("🐝", 2), ("👩‍👩‍👧", 2), ("❤️", 2), ("❤", 1), ("한글", 4), ("ｱ", 1), ("Ａ", 2), ("\u{200b}", 0)])
    func widths(_ text: String, _ width: Int) { #expect(DisplayWidth.of(text) == width) }

    @Test func whatDoesNotFitScrolls() {
        var editor = LineEditor()
        _ = type("日本語です", into: &editor)
        // Two columns of prompt, nine for the text, one free for the cursor.
        #expect(editor.render(prompt: "> ", width: 12).text == "\r> 本語です\u{1b}[K\r\u{1b}[10C")
        _ = type("\u{1}", into: &editor)
        #expect(editor.render(prompt: "> ", width: 12).text == "\r> 日本語で\u{1b}[K\r\u{1b}[2C")
        #expect(editor.render(prompt: "", width: 1).text == "\r\u{1b}[K\r")
    }

    @Test func logTailDropsWhatIsTooMuchAndSaysSo() throws {
        let world = World(seed: 1)
        let home = world.host("node").system.home
        try world.run {
            let tail = LogTail(on: home)
            let line = Bytes(utf8: String(repeating: "x", count: 1023) + "\n")
            for _ in 0..<LogTail.backlog / 1024 + 5 { tail.add(line) }
            let all = try await tail.next()
            #expect(all.count > LogTail.backlog && (all.utf8 ?? "").hasSuffix("\"count\":\"5\"}\n"))
            tail.add("a\n")
            #expect(try await tail.next() == "a\n")
        }
    }

    @Test func healthNamesItsReasons() {
        let queues = [MetricReport.Queue(name: "dials", length: 95, limit: 100), .init(name: "streams", length: 5, limit: 100), .init(name: "none", length: 0, limit: 0)]
        #expect(Health.reasons(queues: queues, isListening: true, free: 1 << 40) == ["dials: 95 of at most 100"])
        #expect(Health.reasons(queues: [], isListening: false, free: 5 << 20).count == 2)
    }
}

@Suite struct P2PShellTests {
    @Test func worksInAPipe() throws {
        let shell = Shell(seed: 5)
        let outcome = try shell("p2p", "--listen", "/ip4/127.0.0.1/tcp/9000", "--policy", "classical", "--mdns=false", input: Array("topics\nmsg hello\njoin x\ntopics\nleave\npeers\nwhat\nhelp\n".utf8))
        #expect(outcome.code == 0, "\(outcome.error)")
        for part in [
            "Listening on /ip4/127.0.0.1/tcp/9000/p2p/12D3KooW", "You are in quantra-default.", "* quantra-default: 0 peers", "(nobody is in quantra-default right now)",
            "* x: 0 peers", "You left x; messages go to quantra-default now.", "Nobody is connected.", "There is no command 'what'", "dial <address>",
        ] { #expect(outcome.output.contains(part), "\(part)") }
        #expect(!outcome.output.contains("\u{1b}") && !outcome.output.contains("\n>"), "no prompt and no escapes in a pipe")
    }

    @Test func whatIsSaidInAPipeArrives() throws {
        let shell = Shell(seed: 7)
        let world = shell.world
        var configuration = NodeConfiguration.preset(.lan)
        configuration.policy = .classical
        let host = world.host("listener")
        configuration.listen = [Multiaddr(host.address(port: 4001), over: .tcp)]
        configuration.pubsub = PubSubConfiguration()
        let (node, topic) = try world.run { [configuration] in
            let node = try await Node(configuration, on: host.system)
            try await node.start()
            return (node, try await #require(node.pubsub).join(TopicID(P2PCommand.defaultTopic)))
        }
        let address = "\(configuration.listen[0].with(peer: node.peer))"
        let outcome = try shell("p2p", "--policy", "classical", "--mdns=false", "--dial", address, input: Array("peers\nmsg hello\nping\nmsg you".utf8))
        #expect(outcome.output.contains("Reached") && outcome.output.contains(" answers in ") && !outcome.output.contains("nobody"), "\(outcome.output)")
        try world.run {
            var heard: [String] = []
            for await message in topic.messages {
                heard.append(message.data.utf8 ?? "")
                if heard.count == 2 { break }
            }
            #expect(heard == ["hello", "you"])
            await node.close()
        }
    }

    @Test func longMessagesAreCutAndJoinersStay() {
        #expect(P2PShell.shown("hi 👩‍👧 \u{1b}[2J\u{202e}") == "hi 👩‍👧 \\x1b[2J\\u{202e}")
        let long = P2PShell.shown(Bytes(utf8: String(repeating: "e\u{301}", count: 100_000)))
        #expect(long.hasSuffix("… (300000 bytes)") && long.utf8.count < 9000)
    }

    @Test func refusesWhatItCannotDo() throws {
        let shell = Shell(seed: 6)
        #expect(try shell("p2p", "--listen", "nonsense", input: []).error.contains("--listen"))
        #expect(try shell("p2p", "--policy", "none", input: []).error.contains("--policy"))
    }
}
