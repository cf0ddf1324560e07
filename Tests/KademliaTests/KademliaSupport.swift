import Synchronization
import WaggleAssembly
import WaggleBase
import WaggleCryptography
import WaggleFormats
import WaggleNetwork
@testable import WaggleServices
import WaggleSimulation

/// A node with a hash table.
struct KadNode: Sendable {
    let node: Node
    let kad: Kademlia

    var peer: PeerID { node.peer }
    var contact: KademliaContact { KademliaContact(peer: peer, addresses: node.listenAddresses) }

    func start(joining other: KadNode? = nil) async throws {
        try await node.start()
        if let other { try await node.connect(other.node.listenAddresses[0].with(peer: other.peer)) }
    }
}

extension World {
    func kadNode(
        _ name: String, addresses: [IPAddress]? = nil, _ configuration: KademliaConfiguration = .local(),
        _ change: (inout NodeConfiguration) -> Void = { _ in }
    ) async throws -> KadNode {
        let node = try await plainNode(name, addresses: addresses, change)
        let kad = Kademlia(configuration)
        node.add(kad)
        return KadNode(node: node, kad: kad)
    }

    /// So many nodes that joined through the first, and know each other.
    func kadNodes(_ count: Int, _ configuration: KademliaConfiguration = .local()) async throws -> [KadNode] {
        var nodes: [KadNode] = []
        for number in 0..<count {
            let node = try await kadNode("node\(number)", configuration)
            try await node.start(joining: nodes.first)
            nodes.append(node)
        }
        try await sleep(for: .seconds(60))
        return nodes
    }
}

/// What closures leave behind.
final class Box<Value: Sendable>: Sendable {
    private let state: Mutex<Value>
    init(_ value: Value) { state = Mutex(value) }
    var value: Value { state.withLock { $0 } }
    func set(_ value: Value) { state.withLock { $0 = value } }
    func update(_ body: @Sendable (inout Value) -> Void) { state.withLock { body(&$0) } }
}

func cid(_ text: String) -> CID {
    let digest = SHA256.hash(Bytes(utf8: text))
    return digest.withUnsafeBytes { try! CID(codec: .raw, sha256: $0) }
}

func peerID(_ number: UInt64) -> PeerID {
    var writer = ByteWriter()
    writer.write(0x12 as UInt8)
    writer.write(0x20 as UInt8)
    writer.write(SHA256.hash(Bytes(utf8: "peer \(number)")).bytes)
    return try! PeerID(bytes: writer.finish())
}

func contact(_ number: UInt64, _ addresses: [String]? = nil) -> KademliaContact {
    KademliaContact(peer: peerID(number), addresses: (addresses ?? ["/ip4/10.1.\(number / 250).\(number % 250 + 1)/tcp/4001"]).map { Multiaddr($0)! })
}

/// Values `v<number>`, of which the greatest number is the best.
struct NumberValidator: RecordValidator {
    enum Refusal: Error { case noNumber }
    var namespace: String { "number" }
    func validate(_ value: Bytes, for key: Bytes, at now: WallTime) throws { if number(value) == nil { throw Refusal.noNumber } }
    func best(of values: [Bytes], for key: Bytes) -> Int { values.indices.max { (number(values[$0]) ?? -1, -$0) < (number(values[$1]) ?? -1, -$1) } ?? 0 }
    private func number(_ value: Bytes) -> Int? { value.utf8.flatMap { $0.hasPrefix("v") ? Int($0.dropFirst()) : nil } }
}
