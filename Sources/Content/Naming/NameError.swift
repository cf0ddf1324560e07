import WaggleBase

/// Why a name leads nowhere, or cannot be published.
public enum NameError: Error, Hashable, Sendable {
    /// Nobody has a record of the name.
    case notFound
    /// The name leads to names without end.
    case tooDeep
    /// Neither a key nor a domain; the text tells what it could be.
    case notAName(String)
    /// No TXT record of the domain links to content.
    case noLink(domain: String)
    /// More than one does.
    case ambiguousLink(domain: String)
    /// The domain cannot be looked up.
    case lookUp(domain: String, detail: String)
    /// A record with this sequence number or a higher one was published already.
    case sequenceTooLow
    case record(IPNSError)
}

extension NameError: CustomStringConvertible {
    public var description: String {
        switch self {
        case .notFound: "could not resolve name"
        case .tooDeep: "could not resolve name (recursion limit exceeded)"
        case .notAName(let text): text
        case .noLink(let domain):
            "DNSLink lookup for \(quoted(domain)) failed: could not resolve name: DNSLink lookup could not find a TXT record (https://docs.ipfs.tech/concepts/dnslink/)"
        case .ambiguousLink(let domain):
            "DNSLink lookup for \(quoted(domain)) failed: could not resolve name: DNSLink lookup returned more than one IPFS content path; ask domain owner to remove duplicate TXT records"
        case .lookUp(let domain, let detail): "DNSLink lookup for \(quoted(domain)) failed: \(detail)"
        case .sequenceTooLow: "sequence number must be greater than the current record sequence"
        case .record(let error): error.description
        }
    }
}
