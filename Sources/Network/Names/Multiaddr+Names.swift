import WaggleBase
import WaggleFormats

extension Multiaddr {
    /// The host name that must be resolved before this address can be dialed: the first one in front of a relay's end. Its place among the components
    /// and the component.
    var nameToResolve: (place: Int, component: Component)? {
        for (place, component) in components.enumerated() {
            switch component.kind {
            case .dns, .dns4, .dns6, .dnsaddr: return (place, component)
            case .p2pCircuit: return nil
            default: continue
            }
        }
        return nil
    }

    /// Whether a host name must be resolved before this address can be dialed.
    public var hasName: Bool { nameToResolve != nil }
}

/// What has to be asked for one step of resolving an address, and what the answers make of it.
///
/// Spec: multiformats/multiaddr, protocols/DNSADDR; libp2p specs, addressing, section "IP and Name Resolution".
struct NameStep {
    enum Question: Hashable {
        case addresses(String, AddressFamily)
        case texts(String)
    }

    let question: Question
    private let before: [Multiaddr.Component]
    private let after: [Multiaddr.Component]

    /// Nil where there is no name.
    init?(_ address: Multiaddr) {
        guard let (place, component) = address.nameToResolve else { return nil }
        let components = Array(address.components)
        before = Array(components[..<place])
        after = Array(components[(place + 1)...])
        // Names know no case.
        let name = component.text.lowercased()
        switch component.kind {
        case .dnsaddr: question = .texts("_dnsaddr." + name)
        case .dns4: question = .addresses(name, .v4)
        case .dns6: question = .addresses(name, .v6)
        default: question = .addresses(name, .any)
        }
    }

    /// The addresses with each of `ips` in the name's place.
    func addresses(for ips: [IPAddress]) -> [Multiaddr] {
        var found: [Multiaddr] = []
        for ip in ips.prefix(NameLimits.recordsPerName) {
            let kind: MultiaddrProtocol = if case .v4 = ip { .ip4 } else { .ip6 }
            do { found.append(try Multiaddr(before + [Multiaddr.Component(kind, value: ip.bytes)] + after)) } catch { continue }
        }
        return found
    }

    /// The addresses that `texts` hold and that end as ours does: `/dnsaddr/name/p2p/X` takes only those of X.
    func addresses(for texts: [String]) -> [Multiaddr] {
        var found: [Multiaddr] = []
        for text in texts.prefix(NameLimits.textsPerName) {
            guard text.hasPrefix("dnsaddr="), text.utf8.count <= NameLimits.textLength, let address = Multiaddr(String(text.dropFirst(8))) else { continue }
            let components = Array(address.components)
            guard components.count >= after.count, components.suffix(after.count).elementsEqual(after) else { continue }
            if before.isEmpty {
                found.append(address)
            } else {
                do { found.append(try Multiaddr(before + components)) } catch { continue }
            }
            if found.count == NameLimits.recordsPerName { break }
        }
        return found
    }
}
