import WaggleAssembly
import WaggleBase
import WaggleFormats
import WaggleNetwork
import WaggleSimulation
import WaggleTestSupport

/// A simulated network and what is claimed of it.
struct Scenario: Sendable {
    let name: String
    /// What is claimed, in one line.
    let summary: String
    /// Whether `scripts/simulate` runs it.
    var isStandard = true
    /// Runs it; throws `ScenarioFailure` when a claim does not hold.
    let run: @Sendable (ScenarioOptions) throws -> Void
}

/// What the command line says.
struct ScenarioOptions: Sendable {
    /// Nodes; nil for the scenario's own number.
    var nodes: Int?
    var seed: UInt64 = 1
    /// Virtual seconds; nil for the scenario's own number.
    var seconds: Int?
    /// Dials of each node; nil for the scenario's own number.
    var degree: Int?
}

/// A claim that does not hold, in a sentence.
struct ScenarioFailure: Error, CustomStringConvertible {
    let description: String

    init(_ description: String) { self.description = description }
}

/// Throws unless `condition` holds.
func claim(_ condition: Bool, _ sentence: @autoclosure () -> String) throws {
    if !condition { throw ScenarioFailure(sentence()) }
}

/// Prints one figure.
func figure(_ name: String, _ value: String) {
    print("  \(name)\(String(repeating: " ", count: max(1, 44 - name.count)))\(value)")
}

/// `value` with two decimals.
func decimals(_ value: Double) -> String {
    let hundredths = Int((value * 100).rounded())
    let fraction = abs(hundredths % 100)
    return "\(hundredths / 100).\(fraction < 10 ? "0" : "")\(fraction)"
}

extension World {
    /// A node on the host `name` that listens on its first IPv4 address and secures nothing: cheap enough for thousands.
    func plainNode(
        _ name: String, addresses: [IPAddress]? = nil, _ change: (inout NodeConfiguration) -> Void = { _ in }
    ) async throws -> Node {
        let host = host(name, addresses: addresses)
        var configuration = NodeConfiguration.preset(.lan)
        configuration.channels = { [PlainChannel($0)] }
        configuration.listen = [Multiaddr(host.address(port: 4001), over: .tcp)]
        change(&configuration)
        return try await Node(configuration, on: host.system)
    }
}
