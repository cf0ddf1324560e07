import Synchronization
import WaggleAssembly
import WaggleBase
import WaggleCryptography
import WaggleFormats
import WaggleNetwork
import WaggleServices

/// What `waggle-bench peer --kad` can do in a hash table: `kad-wait:PEERS`  `kad-find:PEER`  `kad-closest:PEER`  `kad-provide:CID`
/// `kad-providers:CID`  `kad-put` (our own public key)  `kad-get:PEER` (somebody's public key)
/// `kad-store:KEY=VALUE`  `kad-value:KEY` (below `/example/`, where everything is valid).
struct KademliaActions: Sendable {
    let kademlia = Kademlia(
        KademliaConfiguration(prefix: "/ipfs", mode: .server, scope: .any, validators: [PublicKeyValidator(), ExampleValidator()]))

    /// Says false for an action of another kind; else gives the fields of the line to print.
    func act(_ name: String, _ argument: String, _ node: Node) async throws -> [(String, String)]? {
        switch name {
        case "kad-wait":
            let wanted = Int(argument) ?? 1
            let end = ContinuousClock.now + .seconds(20)
            while kademlia.peerCount < wanted {
                guard ContinuousClock.now < end else { throw PeerCommandError.mismatch }
                try await node.system.home.run { try await node.system.home.sleep(until: node.system.home.now + .milliseconds(20)) }
            }
            return [("peers", "\(kademlia.peerCount)")]
        case "kad-find":
            return [("addresses", try await kademlia.findPeer(try PeerID(argument)).map(\.description).joined(separator: " "))]
        case "kad-closest":
            let closest = try await kademlia.closestPeers(to: try PeerID(argument).bytes)
            return [("peers", closest.map(\.peer.description).joined(separator: " "))]
        case "kad-provide":
            try await kademlia.provide(try CID(parsing: argument))
            return []
        case "kad-providers":
            let found = Mutex<[String]>([])
            try await kademlia.findProviders(of: try CID(parsing: argument)) { provider in
                found.withLock { $0.append("\(provider.peer) \(provider.addresses.map(\.description).joined(separator: ","))") }
                return true
            }
            return [("providers", found.withLock { $0.joined(separator: ";") })]
        case "kad-put":
            try await kademlia.putValue(node.swarm.identity.key.publicKey.encoded, for: PublicKeyValidator.key(of: node.peer))
            return []
        case "kad-get": return [("value", try await kademlia.publicKey(of: try PeerID(argument)).description)]
        case "kad-store":
            let parts = argument.split(separator: "=", maxSplits: 1).map { Bytes(utf8: String($0)) }
            guard parts.count == 2 else { throw PeerCommandError.usage }
            try await kademlia.putValue(parts[1], for: parts[0])
            return []
        case "kad-value":
            let found = Mutex("")
            try await kademlia.values(for: Bytes(utf8: argument)) { value in
                found.withLock { $0 = value.utf8 ?? value.description }
                return false
            }
            return [("value", found.withLock { $0 })]
        default: return nil
        }
    }
}

/// Everything is valid, and as good as everything else.
private struct ExampleValidator: RecordValidator {
    var namespace: String { "example" }
    func validate(_ value: Bytes, for key: Bytes, at now: WallTime) throws {}
    func best(of values: [Bytes], for key: Bytes) -> Int { values.count - 1 }
}
