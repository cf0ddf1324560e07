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
        /// Our public key, where the PeerID does not carry it: whoever asks for it gets it, stored or not.
        var ownKey: Bytes?
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
        /// Longer than this build takes, or of a kind that it does not know: no proof of bad will.
        case unsupported
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
                table: RoutingTableMachine(own: own, settings: settings, now: now), providers: ProviderTable(own: own), values: ValueTable(own: own),
                encodedSelf: KademliaMessage.encode(KademliaContact(peer: peer, addresses: []))))
    }

    /// The answer to one request of `sender`.
    ///
    /// `group` is where the sender's connection comes from. `connected` gives the contact of a peer that we are connected with but that is no
    /// server: FIND_NODE names it, too.
    package func answer(
        _ request: Bytes, from sender: PeerID, at senderKey: KademliaKey, group: IPGroup? = nil, now: WallTime,
        connected: (PeerID) -> KademliaContact? = { _ in nil }
    ) -> Answer {
        let message: KademliaMessage
        do { message = try KademliaMessage(request) } catch {
            switch error {
            case .limit, .value(field: 1): return refuse(.unsupported)
            default: return refuse(.malformed)
            }
        }
        switch message.kind {
        case .ping:
            state.withLock { $0.counters.pings += 1 }
            return .reply(request)
        case .findNode: return findNode(message, sender, senderKey, connected)
        case .getProviders: return getProviders(message, senderKey, now)
        case .addProvider: return addProvider(message, sender, group, now)
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
            state.table.closest(to: target, count: k, excluding: senderKey) { place in
                let (encoded, isConnected) = state.table.told(at: place)
                KademliaMessage.write(peer: encoded, isConnected: isConnected, field: KademliaMessage.closerField, &writer)
                if state.table.key(at: place) == target { isNamed = true }
            }
        }
        if !isNamed, let peer = message.targetPeer, let contact = connected(peer) {
            KademliaMessage.write(
                peer: KademliaMessage.encode(contact), isConnected: true, field: KademliaMessage.closerField, &writer)
        }
        return .reply(writer.finish())
    }

    /// Writes the closest peers as far as `room` bytes hold them.
    private func writeCloser(
        _ target: KademliaKey, _ senderKey: KademliaKey, _ state: borrowing State, room: Int, _ writer: inout ProtobufWriter
    ) {
        var room = room
        state.table.closest(to: target, count: k, excluding: senderKey) { place in
            let (encoded, isConnected) = state.table.told(at: place)
            room -= KademliaMessage.size(peer: encoded, isConnected: isConnected)
            guard room >= 0 else { return }
            KademliaMessage.write(peer: encoded, isConnected: isConnected, field: KademliaMessage.closerField, &writer)
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
            // Half for the providers, and what they leave for those who may know more.
            var room = KademliaLimits.answer.bytes - message.keyCount - 8
            let reserved = room / 2
            state.providers.forEach(of: target, at: now, turn: state.counters.getProviders) { provider, encoded in
                let isOwn = provider == peer
                let encoded = isOwn ? state.encodedSelf : encoded
                let size = KademliaMessage.size(peer: encoded, isConnected: isOwn)
                guard room - size >= reserved else { return }
                room -= size
                KademliaMessage.write(peer: encoded, isConnected: isOwn, field: KademliaMessage.providerField, &writer)
            }
            writeCloser(target, senderKey, state, room: room, &writer)
        }
        return .reply(writer.finish())
    }

    /// Only who provides may say so: providers other than the sender are left out.
    private func addProvider(_ message: KademliaMessage, _ sender: PeerID, _ group: IPGroup?, _ now: WallTime) -> Answer {
        guard (1...KademliaResponder.providerKeyBytes).contains(message.keyCount) else { return refuse(.noKey) }
        let own = message.contacts(providers: true).last { $0.peer == sender && !$0.addresses.isEmpty }
        guard let own else { return refuse(.foreignProvider) }
        // In memory of its own: it is kept for days.
        let addresses = scope.told(own.addresses).prefix(KademliaLimits.toldAddresses).map { $0.compacted() }
        let contact = KademliaContact(peer: sender, addresses: addresses)
        let target = message.place
        let isStored = state.withLock { state in
            state.counters.addProvider += 1
            do { try state.providers.add(contact, for: target, group: group, at: now) } catch { return false }
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
            } else if let ownKey = state.ownKey, key == PublicKeyValidator.key(of: peer) {
                KademliaMessage.write(record: ownKey, for: key, received: now, &writer)
            }
            writeCloser(target, senderKey, state, room: KademliaLimits.answer.bytes - key.count - 8, &writer)
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
        while true {
            let old = state.withLock { $0.values.row(of: place, at: now) }
            var owner = sender
            if let old {
                if old.value == value {
                    owner = old.sender
                } else if validator.best(of: [value, old.value], for: key) != 0, isValid(old.value, for: key, validator, now) {
                    throw .outdatedRecord
                }
            }
            let row = ValueTable.Row(key: Bytes(key.span), value: Bytes(value.span), received: now, sender: owner)
            let isKept: Bool? = state.withLock { state in
                // Another loop may have put one since: then it is weighed against that.
                guard state.values.row(of: place, at: now)?.value == old?.value else { return nil }
                do { try state.values.put(row, at: place) } catch { return false }
                return true
            }
            guard let isKept else { continue }
            if !isKept { throw .quota }
            return
        }
    }

    /// A record that has become invalid gives way to any valid one.
    private func isValid(_ value: Bytes, for key: Bytes, _ validator: any RecordValidator, _ now: WallTime) -> Bool {
        do { try validator.validate(value, for: key, at: now) } catch { return false }
        return true
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
