import WaggleAssembly
import WaggleBase
import WaggleFormats
import WaggleNetwork
import WaggleRuntime
import WaggleServices

/// Three nodes in a topic, connected in a line: what the first says reaches the third by way of the second. What a validator rejects goes nowhere.
@main
struct Chat {
    static func main() async throws {
        try await withMember { first in
            try await withMember(beside: first) { second in
                try await withMember(beside: second) { third in
                    // A message goes at once to those who are known to be in the topic.
                    let changes = first.room.events
                    if first.room.peers.isEmpty { for await _ in changes { break } }
                    try await first.room.publish("hello")
                    for await message in third.room.messages {
                        let author = message.author == first.node.peer ? "the first node" : "somebody else"
                        print("\(author) says \(message.data.utf8 ?? "")")
                        break
                    }
                }
            }
        }
    }

    struct Member {
        let node: Node
        let room: PubSubTopic
    }

    /// A node that joins the topic, connected to `other`, while `body` runs.
    static func withMember(beside other: Member? = nil, _ body: (Member) async throws -> Void) async throws {
        var settings = NodeConfiguration.preset(.lan)
        settings.listen = [try Multiaddr(parsing: "/ip4/127.0.0.1/tcp/0")]
        let pubsub = PubSub(PubSubConfiguration())
        pubsub.setValidator(.sync { $0.data.count <= 280 ? .accept : .reject }, for: "room")
        let node = try await Node(settings, on: LinuxSystem())
        node.add(pubsub)
        try await node.run { node in
            let member = Member(node: node, room: try await pubsub.join("room"))
            if let other { try await node.connect(other.node.listenAddresses[0]) }
            try await body(member)
        }
    }
}
