import WaggleBase
import WaggleNetwork

/// What others can open streams to; registered with the swarm only while this node is a server, because identify tells it to everybody.
final class KademliaServer: Service {
    private let protocolID: ProtocolID
    private let core: KademliaCore

    init(_ protocolID: ProtocolID, _ core: KademliaCore) {
        self.protocolID = protocolID
        self.core = core
    }

    var protocols: [ProtocolID] { [protocolID] }

    var limits: ServiceLimits { ServiceLimits(streamsPerPeer: KademliaLimits.streamsPerPeer, streams: KademliaLimits.streams) }

    /// Answers one request after the other until the remote ends its side, is silent for too long, or breaks a rule.
    func serve(_ stream: Stream, from peer: PeerID) async throws {
        let loop = stream.connection.loop
        let key = KademliaKey(peer)
        let group = IPGroup([stream.connection.remoteAddress])
        while true {
            stream.deadline = loop.now + KademliaLimits.streamIdle
            guard let request = try await stream.readMessage(limit: KademliaLimits.request) else { return }
            let answer = core.responder.answer(
                request, from: peer, at: key, group: group, now: core.system.wallTime, connected: core.contactOfConnected)
            switch answer {
            case .reply(let answer): try await stream.writeMessage(answer)
            case .stored(let answer):
                core.recordsChanged()
                if let answer { try await stream.writeMessage(answer) }
            case .refused(let violation):
                core.misbehaved(peer, violation)
                throw StreamError.malformed
            }
        }
    }
}
