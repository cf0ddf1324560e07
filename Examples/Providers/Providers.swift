import WaggleAssembly
import WaggleBase
import WaggleFormats
import WaggleNetwork
import WaggleRuntime
import WaggleServices

/// A hash table of its own: one node tells the others what it has, and a node that has never heard of it finds it by asking around.
@main
struct Providers {
    static func main() async throws {
        let content = try CID(parsing: "bafybeigdyrzt5sfp7udm7hu76uh7y26nf3efuylqabf3oclgtqy55fbzdi")
        try await withMember { meeting in
            try await withMember(beside: meeting) { holder in
                try await holder.table.provide(content)
                try await withMember(beside: meeting) { seeker in
                    try await seeker.table.findProviders(of: content) { provider in
                        print("\(content) is at \(provider.peer == holder.node.peer ? "the second node" : "another node")")
                        return false
                    }
                }
            }
        }
    }

    struct Member {
        let node: Node
        let table: Kademlia
    }

    /// A node that takes part in the hash table `/example/kad/1.0.0`, connected to `other`, while `body` runs.
    static func withMember(beside other: Member? = nil, _ body: (Member) async throws -> Void) async throws {
        var settings = NodeConfiguration.preset(.lan)
        settings.listen = [try Multiaddr(parsing: "/ip4/127.0.0.1/tcp/0")]
        let table = Kademlia(KademliaConfiguration(prefix: "/example", mode: .server, scope: .any))
        let node = try await Node(settings, on: LinuxSystem())
        node.add(table)
        try await node.run { node in
            if let other { try await node.connect(other.node.listenAddresses[0]) }
            try await body(Member(node: node, table: table))
        }
    }
}
