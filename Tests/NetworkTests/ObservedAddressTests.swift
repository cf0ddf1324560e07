import Testing
import WaggleBase
import WaggleFormats
@testable import WaggleNetwork
import WaggleSimulation

@Suite struct ObservedAddressTests {
    private final class Token {}

    private func address(_ text: String) throws -> Multiaddr { try #require(Multiaddr(text)) }

    @Test func fourNetworksMustAgree() throws {
        var observed = ObservedAddresses()
        let listening = try [address("/ip4/192.168.1.7/tcp/4701"), address("/ip4/127.0.0.1/tcp/4701")]
        let tokens = (0..<20).map { _ in Token() }
        func note(_ index: Int, _ seen: String, from observer: String, local: String = "/ip4/192.168.1.7/tcp/4701") throws -> Bool {
            try observed.note(
                address(seen), by: ObjectIdentifier(tokens[index]), local: address(local), remote: address(observer), listening: listening)
        }
        let ours = "/ip4/8.8.4.4/tcp/31000"
        // A whole network of liars has one voice.
        for index in 0..<10 { #expect(try !note(index, "/ip4/9.9.9.9/tcp/4701", from: "/ip4/5.5.5.\(index)/tcp/1")) }
        for index in 10..<13 { #expect(try !note(index, ours, from: "/ip4/6.6.\(index).1/tcp/1")) }
        #expect(observed.active.isEmpty)
        #expect(try note(13, ours, from: "/ip4/6.6.13.1/tcp/1"))
        #expect(observed.active == [try address(ours)])
        // What does not count: private addresses and observers, other ports, other transports, what we listen on.
        for (seen, observer, local) in [
            ("/ip4/10.0.0.1/tcp/1", "/ip4/7.7.7.7/tcp/1", "/ip4/192.168.1.7/tcp/4701"), (ours, "/ip4/10.0.0.9/tcp/1", "/ip4/192.168.1.7/tcp/4701"),
            (ours, "/ip4/7.7.7.7/tcp/1", "/ip4/192.168.1.7/tcp/50000"), ("/ip4/8.8.4.4/udp/31000", "/ip4/7.7.7.7/tcp/1", "/ip4/192.168.1.7/tcp/4701"),
            ("/ip4/192.168.1.7/tcp/4701", "/ip4/7.7.7.7/tcp/1", "/ip4/192.168.1.7/tcp/4701"),
        ] { #expect(try !note(14, seen, from: observer, local: local)) }
        // Voices end with their connections.
        let first = observed.forget(ObjectIdentifier(tokens[13]))
        let second = observed.forget(ObjectIdentifier(tokens[13]))
        #expect(first && !second)
        #expect(observed.active.isEmpty)
    }

    @Test func addressesOfAPortAreFew() throws {
        var observed = ObservedAddresses()
        let listening = [try address("/ip4/192.168.1.7/tcp/4701")]
        var tokens: [Token] = []
        for mapped in 0..<6 {
            for observer in 0..<(4 + mapped) {
                tokens.append(Token())
                _ = try observed.note(
                    address("/ip4/8.8.4.4/tcp/\(31000 + mapped)"), by: ObjectIdentifier(tokens[tokens.count - 1]), local: listening[0],
                    remote: address("/ip4/20.\(mapped).\(observer).1/tcp/1"), listening: listening)
            }
        }
        #expect(try observed.active == [address("/ip4/8.8.4.4/tcp/31003"), address("/ip4/8.8.4.4/tcp/31004"), address("/ip4/8.8.4.4/tcp/31005")])
    }

    @Test func swarmsTellWhatIsObserved() throws {
        let world = World(seed: 1)
        try world.run {
            let node = try await world.listening("node")
            let outside = try address("/ip4/8.8.4.4/tcp/31000")
            var observers: [Swarm] = []
            for index in 0..<4 {
                _ = world.host("observer\(index)", addresses: [.v4(0x0505_0001 + UInt32(index) << 8)])
                let observer = try await world.listening("observer\(index)")
                observers.append(observer)
                let connection = try await node.connect(observer.dialable)
                var information = PeerInformation(peer: observer.localPeer, protocolVersion: "", agentVersion: "", protocols: [], listenAddresses: [], observedAddress: nil)
                information.observedAddress = outside
                node.identified(information, over: connection)
                #expect(node.announcedAddresses.contains(outside) == (index == 3))
            }
            await node.disconnect(observers[0].localPeer)
            #expect(!node.announcedAddresses.contains(outside))
            for swarm in observers + [node] { await swarm.close() }
        }
    }
}
