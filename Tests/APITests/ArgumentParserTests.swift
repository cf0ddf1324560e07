import Testing
import WaggleBase

@testable import WaggleAPI

@Suite struct ArgumentParserTests {
    private func parse(_ words: String...) throws -> ParsedLine {
        var partial = ParsedLine(command: Commands.root)
        return try ArgumentParser.parse(words, root: Commands.root, partial: &partial)
    }

    private func message(_ words: String...) -> String {
        var partial = ParsedLine(command: Commands.root)
        do throws(CommandError) {
            let line = try ArgumentParser.parse(words, root: Commands.root, partial: &partial)
            return "parsed \(line.path)"
        } catch {
            return error.message
        }
    }

    @Test(arguments: [
        ["add", "-r", "-q", "dir"], ["add", "-rq", "dir"], ["add", "dir", "-q", "--recursive"], ["add", "--quiet=true", "--recursive=1", "--", "dir"],
        ["add", "-r=true", "-q", "dir"],
    ])
    func flagsMayStandAnywhere(words: [String]) throws {
        var partial = ParsedLine(command: Commands.root)
        let line = try ArgumentParser.parse(words, root: Commands.root, partial: &partial)
        #expect(line.path == ["add"])
        #expect(line.arguments == ["dir"])
        #expect(line.options["recursive"] == .bool(true))
        #expect(line.options["quiet"] == .bool(true))
    }

    @Test(arguments: [["ping", "-n", "3", "x"], ["ping", "-n3", "x"], ["ping", "-n=3", "x"], ["ping", "--count=3", "x"], ["ping", "--count", "3", "x"], ["ping", "-count=3", "x"]])
    func valuesHaveManyForms(words: [String]) throws {
        var partial = ParsedLine(command: Commands.root)
        let line = try ArgumentParser.parse(words, root: Commands.root, partial: &partial)
        #expect(line.options["count"] == .integer(3))
        #expect(line.arguments == ["x"])
    }

    @Test func wordsAfterTwoDashesAreArguments() throws {
        let line = try parse("cat", "--", "--offset", "-x")
        #expect(line.arguments == ["--offset", "-x"])
        #expect(try parse("add", "-").arguments == ["-"])
    }

    @Test func arraysGather() throws {
        #expect(try parse("add", "--ignore", "a", "--ignore=b", "x").options["ignore"] == .array(["a", "b"]))
    }

    @Test func filesModesAreOctal() throws {
        #expect(try parse("add", "--mode=0755", "x").options["mode"] == .unsigned(0o755))
        #expect(try parse("add", "--mode=0x10", "x").options["mode"] == .unsigned(16))
    }

    @Test func mistakesAreNamed() {
        #expect(message("add", "--nonsense", "x") == "unknown option \"nonsense\"")
        #expect(message("add", "-Z", "x") == "unknown option \"Z\"")
        #expect(message("ping", "-n") == "missing argument for option \"n\"")
        #expect(message("ping", "-n", "many").contains("could not convert value \"many\""))
        #expect(message("add", "--quiet=perhaps").contains("expected true or false"))
        #expect(message("ping", "-n", "1", "--count=2") == "multiple values for option \"count\"")
        #expect(message("add", "--mode=-1").contains("not negative"))
    }

    @Test func theNearestCommandIsSuggested() {
        #expect(message("kog") == "Unknown Command \"kog\"\n\nDid you mean this?\n\n\tlog")
        #expect(message("li").contains("Did you mean any of these?"))
        #expect(message("li").contains("\tls"))
        #expect(message("log-something").contains("\tlog"))
        #expect(message("swarm", "pears").contains("\tpeers"))
        #expect(message("zzzzzzzz") == "Unknown Command \"zzzzzzzz\"\n")
    }

    @Test func distancesWeighWhatPeopleMistype() {
        #expect(Suggestion.distance("", "abc") == 3)
        #expect(Suggestion.distance("abc", "") == 9)
        #expect(Suggestion.distance("cat", "cat") == 0)
        #expect(Suggestion.distance("ct", "cat") == 1)
        #expect(Suggestion.distance("cst", "cat") == 2)
    }

    @Test func argumentsAreCounted() throws {
        let cat = try #require(Commands.root.descend(["cat"]))
        #expect(throws: CommandError.client("argument \"ipfs-path\" is required")) { try cat.assign([], hasInput: false) }
        #expect(try cat.assign(["a", "b"], hasInput: false).strings == ["a", "b"])
        let update = try #require(Commands.root.descend(["pin", "update"]))
        #expect(throws: CommandError.client("expected 2 argument(s), got 3")) { try update.assign(["a", "b", "c"], hasInput: false) }
        #expect(throws: CommandError.client("argument \"to-path\" is required")) { try update.assign(["a"], hasInput: false) }
    }

    @Test func whatWasUnderstoodSurvivesAnError() {
        var partial = ParsedLine(command: Commands.root)
        #expect(throws: CommandError.self) { try ArgumentParser.parse(["pin", "add", "--help", "--bad"], root: Commands.root, partial: &partial) }
        #expect(partial.path == ["pin", "add"])
        #expect(partial.options["help"] == .bool(true))
    }

    @Test func everyCommandIsDescribed() {
        func visit(_ command: Command, _ path: [String]) {
            #expect(!command.tagline.isEmpty, "\(path)")
            if command.run != nil, !path.isEmpty { #expect(!command.example.isEmpty, "\(path) has no example") }
            #expect(Set(command.subcommands.map(\.name)).count == command.subcommands.count)
            // The daemon has a word of its own to say about --offline.
            let names = (command.options + Commands.root.options.filter { path != ["daemon"] || $0.name != "offline" }).flatMap(\.names)
            if !path.isEmpty { #expect(Set(names).count == names.count, "\(path) has an option twice") }
            for child in command.subcommands { visit(child, path + [child.name]) }
        }
        visit(Commands.root, [])
    }

    @Test func helpFitsTheWidth() {
        func visit(_ command: Command, _ path: [String]) {
            for long in [false, true] {
                let text = Help(program: "ipfs", root: Commands.root, width: 80).text(path, long: long)
                #expect(text.hasPrefix("USAGE\n  ipfs"))
                // Examples stand as they are.
                for line in text.split(separator: "\n") where !line.contains(">") { #expect(line.count <= 80, "\(path): \(line)") }
            }
            for child in command.subcommands { visit(child, path + [child.name]) }
        }
        visit(Commands.root, [])
    }
}
