import Synchronization
import WaggleBase
import WaggleFormats
import WaggleNetwork

/// Asks others: connects where needed, keeps a stream to a peer open for a next request for a while, and reads one answer for each request.
final class KademliaClient: Sendable {
    private struct Pooled {
        let stream: Stream
        let since: Instant
    }

    private let protocolID: ProtocolID
    private let pool = Mutex<[PeerID: Pooled]>([:])

    init(_ protocolID: ProtocolID) { self.protocolID = protocolID }

    /// Sends `message` to a peer and reads its answer; nil when `expectsAnswer` is false. On the home loop.
    func send(_ message: Bytes, to contact: KademliaContact, expectsAnswer: Bool, on swarm: Swarm) async throws -> KademliaMessage? {
        let connection = try await swarm.connectDirectly(to: contact.peer, addresses: contact.addresses)
        let end = connection.loop.now + KademliaLimits.requestTimeout
        return try await connection.loop.run { [self] in
            if let stream = take(contact.peer, on: connection) {
                stream.deadline = end
                do { return try await exchange(message, on: stream, expectsAnswer) } catch {
                    // The remote may have let go of the stream meanwhile: a new one deserves a try.
                    stream.reset()
                    if connection.loop.now >= end || Task.isCancelled { throw error }
                }
            }
            let stream = try await connection.openStream([protocolID])
            stream.deadline = end
            do { return try await exchange(message, on: stream, expectsAnswer) } catch {
                stream.reset()
                throw error
            }
        }
    }

    private func exchange(_ message: Bytes, on stream: Stream, _ expectsAnswer: Bool) async throws -> KademliaMessage? {
        try await stream.writeMessage(message)
        var answer: KademliaMessage?
        if expectsAnswer {
            answer = try await readAnswer(to: message, on: stream)
        }
        stream.deadline = nil
        give(stream)
        return answer
    }

    /// Some implementations answer ADD_PROVIDER, which asks for no answer: such answers come in front of the one that is waited for.
    private func readAnswer(to message: Bytes, on stream: Stream) async throws -> KademliaMessage {
        // Every request of ours begins with its type.
        let kind = message.dropFirst().first
        for _ in 0...KademliaLimits.strayAnswers {
            guard let bytes = try await stream.readMessage(limit: KademliaLimits.response) else { throw StreamError.truncated }
            let answer = try KademliaMessage(bytes)
            if answer.kind.rawValue == kind { return answer }
            guard answer.kind == .addProvider else { break }
        }
        throw KademliaError.badAnswer(stream.peer)
    }

    // MARK: Streams that wait

    private func take(_ peer: PeerID) -> Stream? { pool.withLock { $0.removeValue(forKey: peer)?.stream } }

    /// The stream that waits on this connection; one on another is of no use any more.
    private func take(_ peer: PeerID, on connection: Connection) -> Stream? {
        guard let stream = take(peer) else { return nil }
        if stream.connection === connection { return stream }
        KademliaClient.end(stream)
        return nil
    }

    private func give(_ stream: Stream) {
        let pooled = Pooled(stream: stream, since: stream.connection.loop.now)
        let isKept = pool.withLock { pool in
            guard pool.count < KademliaLimits.pooledStreams, pool[stream.peer] == nil else { return false }
            pool[stream.peer] = pooled
            return true
        }
        if !isKept { KademliaClient.end(stream) }
    }

    /// Ends the streams that have waited for too long.
    func sweep(_ now: Instant) {
        let old = pool.withLock { pool in
            let old = pool.filter { now - $0.value.since >= KademliaLimits.pooledIdle || $0.value.stream.connection.isClosed }
            for peer in old.keys { pool[peer] = nil }
            return old
        }
        for peer in old.keys.sorted() { if let stream = old[peer]?.stream { KademliaClient.end(stream) } }
    }

    func forget(_ peer: PeerID) { if let stream = take(peer) { KademliaClient.end(stream) } }

    func close() { for peer in pool.withLock({ $0.keys.sorted() }) { forget(peer) } }

    /// Both sides: nothing that still comes is of use.
    private static func end(_ stream: Stream) {
        stream.finish()
        stream.stop()
    }
}
