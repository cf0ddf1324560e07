import Glibc

/// Simulated networks that are too large for the unit suite: `waggle-scenarios NAME…` runs those, without a name the standard list.
///
///     waggle-scenarios [NAME…] [--nodes N] [--seed S] [--seconds V] [--degree D]
///
/// Ends with a code other than 0, and a sentence with the seed, when a scenario's claim does not hold.
@main
struct Scenarios {
    /// One line for each scenario.
    nonisolated static let all: [Scenario] = [
        GossipScenario.small, GossipScenario.large, GossipAttacks.small, GossipAttacks.scenario,
        EchoScenario.scenario,
        KademliaNodesScenario.scenario,
        KademliaLightScenarios.thousand, KademliaLightScenarios.tenThousand, KademliaLightScenarios.sybils, KademliaLightScenarios.manySybils,
    ]

    nonisolated static func main() {
        var names: [String] = []
        var options = ScenarioOptions()
        var words = CommandLine.arguments.dropFirst()
        while let word = words.popFirst() {
            guard word.hasPrefix("--") else {
                names.append(word)
                continue
            }
            guard let value = words.popFirst().flatMap({ UInt64($0) }) else { usage("\(word) needs a number") }
            switch word {
            case "--nodes": options.nodes = Int(clamping: value)
            case "--seed": options.seed = value
            case "--degree": options.degree = Int(clamping: value)
            case "--seconds": options.seconds = Int(clamping: value)
            default: usage("there is no option \(word)")
            }
        }
        for name in names where !all.contains(where: { $0.name == name }) {
            usage("there is no scenario \(name); there are: \(all.map(\.name).joined(separator: ", "))")
        }
        let chosen = names.isEmpty ? all.filter(\.isStandard) : all.filter { names.contains($0.name) }
        var failed = 0
        for scenario in chosen {
            print("# \(scenario.name): \(scenario.summary)")
            let clock = ContinuousClock()
            let start = clock.now
            do {
                try scenario.run(options)
                print("  held, seed \(options.seed), \((clock.now - start).components.seconds) s")
            } catch {
                failed += 1
                print("  FAILED with seed \(options.seed): \(error)")
            }
        }
        if failed > 0 { exit(1) }
    }

    private static func usage(_ text: String) -> Never {
        print(text)
        exit(2)
    }
}
