import Synchronization
import WaggleBase
import WaggleFormats
import WaggleNetwork

/// Answers requests: decodes one, looks at the table and the records, encodes the answer. Synchronous, and safe from any thread.
///
/// Knows no streams and no swarm, so that simulations of many thousand nodes run this very code.
package final class KademliaResponder: Sendable {
    package struct State: Sendable {
        package var table: RoutingTableMachine
        package var providers: ProviderTable
        var values: ValueTable
        /// Who we are, as it is told to others.
        package var encodedSelf: Bytes
        var counters = KademliaCounters()
    }

    package enum Answer {
        case reply(Bytes)
        /// A record was kept. ADD_PROVIDER asks for no reply.
        case stored(reply: Bytes?)
        /// Not a request, or one that is refused: the stream is reset.
        case refused(Violation)
    }

    package enum Violation: String, Error {
        case malformed
        case noKey
        case foreignProvider
        case invalidRecord
        case outdatedRecord
        case unknownNamespace
        case quota
    }

    package let peer: PeerID
    package let own: KademliaKey
    let k: Int
    let scope: KademliaScope
    let validators: [String: any RecordValidator]
    package let state: Mutex<State>

    package init(peer: PeerID, configuration: KademliaConfiguration, now: Instant) {
        self.peer = peer
        own = KademliaKey(peer)
        k = configuration.k
        scope = configuration.scope
        validators = Dictionary(configuration.validators.map { ($0.namespace, $0) }, uniquingKeysWith: { first, _ in first })
        var settings = RoutingTableMachine.Settings()
        settings.k = configuration.k
        settings.refreshInterval = configuration.refreshInterval
        let own = KademliaKey(peer)
        state = Mutex(
            State(
                table: RoutingTableMachine(own: own, settings: settings, now: now), providers: ProviderTable(own: own), values: ValueTable(),
                encodedSelf: KademliaMessage.encode(KademliaContact(peer: peer, addresses: []))))
    }

    /// The answer to one request of `sender`.
    ///
    /// `connected` gives the contact of a peer that we are connected with but that is no server: FIND_NODE names it, too.
    package func answer(
        _ request: Bytes, from sender: PeerID, at senderKey: KademliaKey, now: WallTime, connected: (PeerID) -> KademliaContact? = { _ in nil }
    ) -> Answer {
        let message: KademliaMessage
        do { message = try KademliaMessage(request) } catch { return refuse(.malformed) }
        switch message.kind {
        case .ping:
            state.withLock { $0.counters.pings += 1 }
            return .reply(request)
        case .findNode: return findNode(message, sender, senderKey, connected)
        case .getProviders: return getProviders(message, senderKey, now)
        case .addProvider: return addProvider(message, sender, now)
        case .getValue: return getValue(message, senderKey, now)
        case .putValue: return putValue(message, sender, now)
        }
    }

    private func refuse(_ violation: Violation) -> Answer {
        state.withLock { $0.counters.refused += 1 }
        return .refused(violation)
    }

    /// What an answer with `k` peers of a few addresses takes, so that the writer need not grow.
    private static let answerCapacity = 3072

    private func findNode(
        _ message: KademliaMessage, _ sender: PeerID, _ senderKey: KademliaKey, _ connected: (PeerID) -> KademliaContact?
    ) -> Answer {
        guard message.keyCount > 0 else { return refuse(.noKey) }
        let target = message.place
        var writer = ProtobufWriter(capacity: KademliaResponder.answerCapacity)
        KademliaMessage.begin(&writer, .findNode, key: Bytes())
        var isNamed = target == senderKey
        state.withLock { state in
            state.counters.findNode += 1
            if target == own {
                KademliaMessage.write(peer: state.encodedSelf, isConnected: true, field: KademliaMessage.closerField, &writer)
                isNamed = true
                return
            }
            state.table.closest(to: target, count: k, excluding: senderKey) { row in
                KademliaMessage.write(peer: row.encoded, isConnected: row.isConnected, field: KademliaMessage.closerField, &writer)
                if row.key == target { isNamed = true }
            }
        }
        if !isNamed, let peer = message.targetPeer, let contact = connected(peer) {
            KademliaMessage.write(
                peer: KademliaMessage.encode(contact), isConnected: true, field: KademliaMessage.closerField, &writer)
        }
        return .reply(writer.finish())
    }

    private func writeCloser(_ target: KademliaKey, _ senderKey: KademliaKey, _ state: borrowing State, _ writer: inout ProtobufWriter) {
        state.table.closest(to: target, count: k, excluding: senderKey) { row in
            KademliaMessage.write(peer: row.encoded, isConnected: row.isConnected, field: KademliaMessage.closerField, &writer)
        }
    }

    /// Multihashes are short; go-libp2p's bound.
    private static let providerKeyBytes = 80

    private func getProviders(_ message: KademliaMessage, _ senderKey: KademliaKey, _ now: WallTime) -> Answer {
        guard (1...KademliaResponder.providerKeyBytes).contains(message.keyCount) else { return refuse(.noKey) }
        let target = message.place
        var writer = ProtobufWriter(capacity: KademliaResponder.answerCapacity)
        KademliaMessage.begin(&writer, .getProviders, key: message.key)
        state.withLock { state in
            state.counters.getProviders += 1
            writeCloser(target, senderKey, state, &writer)
            state.providers.forEach(of: target, at: now) { provider, encoded in
                let isOwn = provider == peer
                KademliaMessage.write(
                    peer: isOwn ? state.encodedSelf : encoded, isConnected: isOwn, field: KademliaMessage.providerField, &writer)
            }
        }
        return .reply(writer.finish())
    }

    /// Only who provides may say so: providers other than the sender are left out.
    private func addProvider(_ message: KademliaMessage, _ sender: PeerID, _ now: WallTime) -> Answer {
        guard (1...KademliaResponder.providerKeyBytes).contains(message.keyCount) else { return refuse(.noKey) }
        var own: KademliaContact?
        for row in message.peers where row.isProvider {
            if let contact = message.contact(row), contact.peer == sender, !contact.addresses.isEmpty { own = contact }
        }
        guard var contact = own else { return refuse(.foreignProvider) }
        contact.addresses = Array(scope.told(contact.addresses).prefix(KademliaLimits.toldAddresses))
        let target = message.place
        let isStored = state.withLock { state in
            state.counters.addProvider += 1
            do { try state.providers.add(contact, for: target, at: now) } catch { return false }
            return true
        }
        return isStored ? .stored(reply: nil) : refuse(.quota)
    }

    private func getValue(_ message: KademliaMessage, _ senderKey: KademliaKey, _ now: WallTime) -> Answer {
        guard message.keyCount > 0 else { return refuse(.noKey) }
        let target = message.place
        let key = message.key
        var writer = ProtobufWriter(capacity: KademliaResponder.answerCapacity)
        KademliaMessage.begin(&writer, .getValue, key: key)
        state.withLock { state in
            state.counters.getValue += 1
            if let row = state.values.row(of: target, at: now), row.key == key {
                KademliaMessage.write(record: row.value, for: key, received: row.received, &writer)
            }
            writeCloser(target, senderKey, state, &writer)
        }
        return .reply(writer.finish())
    }

    private func putValue(_ message: KademliaMessage, _ sender: PeerID, _ now: WallTime) -> Answer {
        guard let record = message.record, record.key == message.key, message.keyCount > 0 else { return refuse(.invalidRecord) }
        state.withLock { $0.counters.putValue += 1 }
        do { try keep(record.value, for: record.key, from: sender, now: now) } catch { return refuse(error) }
        // The request itself is what the sender expects to hear.
        return .stored(reply: message.bytes)
    }

    /// Keeps a record if it is valid and not worse than the one that is there.
    func keep(_ value: Bytes, for key: Bytes, from sender: PeerID?, now: WallTime) throws(Violation) {
        guard let namespace = RecordKey.namespace(of: key), let validator = validators[namespace] else { throw .unknownNamespace }
        do { try validator.validate(value, for: key, at: now) } catch { throw .invalidRecord }
        let place = KademliaKey(hashing: key)
        let old = state.withLock { $0.values.row(of: place, at: now) }
        var owner = sender
        if let old, old.key == key {
            // A record that has become invalid gives way to any valid one.
            let isValid: Bool
            do {
                try validator.validate(old.value, for: key, at: now)
                isValid = true
            } catch { isValid = false }
            if old.value == value {
                owner = old.sender
            } else if isValid, validator.best(of: [value, old.value], for: key) != 0 {
                throw .outdatedRecord
            }
        }
        let row = ValueTable.Row(key: Bytes(key.span), value: Bytes(value.span), received: now, sender: owner)
        let isKept = state.withLock { state in
            do { try state.values.put(row, at: place) } catch { return false }
            return true
        }
        if !isKept { throw .quota }
    }
}

/// What a node was asked for.
struct KademliaCounters: Sendable {
    var findNode: UInt64 = 0
    var getProviders: UInt64 = 0
    var addProvider: UInt64 = 0
    var getValue: UInt64 = 0
    var putValue: UInt64 = 0
    var pings: UInt64 = 0
    /// Requests that were malformed or against a rule.
    var refused: UInt64 = 0
}

extension KademliaMessage {
    /// The place of the key.
    var place: KademliaKey { withKey { KademliaKey(hashing: $0) } }

    /// The key as a PeerID; nil when it is none.
    var targetPeer: PeerID? {
        do { return try PeerID(bytes: Bytes(key.span)) } catch { return nil }
    }
}
