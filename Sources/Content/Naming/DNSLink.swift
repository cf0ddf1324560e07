import WaggleBase
import WaggleFormats
import WaggleNetwork

/// Domains that stand for content: a TXT record `dnslink=/ipfs/…` of `_dnslink.<domain>`. Spec: dnslink.dev.
enum DNSLink {
    /// The path in one text; nil where it is about something else.
    static func path(in text: String) -> ContentPath? {
        let value = text.hasPrefix("dnslink=") ? String(text.dropFirst(8)) : text
        let path: ContentPath
        do { path = try ContentPath(parsing: value) } catch { return nil }
        // A bare CID is an old form of the same; other words never are.
        guard path.namespace != .ipld, value.hasPrefix("/") || path.cid != nil else { return nil }
        return path
    }

    /// Whether `name` can be a domain: labels of letters, digits, hyphens and underscores. One label alone is none here.
    static func isDomain(_ name: String) -> Bool {
        let bare = name.hasSuffix(".") ? name.dropLast() : Substring(name)
        let labels = bare.split(separator: ".", omittingEmptySubsequences: false)
        return bare.utf8.count <= 253 && labels.count >= 2
            && labels.allSatisfy { (1...63).contains($0.utf8.count) && $0.unicodeScalars.allSatisfy(isAllowed) }
    }

    private static func isAllowed(_ scalar: Unicode.Scalar) -> Bool {
        switch scalar {
        case "a"..."z", "A"..."Z", "0"..."9", "-", "_": true
        default: false
        }
    }

    /// The one path among the texts of a domain.
    static func path(of domain: String, in texts: [String]) throws(NameError) -> ContentPath {
        let paths = texts.prefix(NamingLimits.textRecords).compactMap(path(in:))
        guard let first = paths.first else { throw .noLink(domain: domain) }
        guard paths.count == 1 else { throw .ambiguousLink(domain: domain) }
        return first
    }
}

extension NameSystem {
    /// What a domain links to.
    func link(of domain: String, asking others: Bool) async throws -> Resolution {
        guard DNSLink.isDomain(domain) else {
            if let cid = CID(domain), cid.version == .v1, cid.codec != .libp2pKey, let fixed = CID.key(cid.multihash) {
                throw NameError.notAName("peer ID represented as CIDv1 require libp2p-key multicodec: retry with /ipns/\(fixed)")
            }
            throw NameError.notAName("cannot resolve: \(quoted("/ipns/" + domain))")
        }
        guard others, let lookUpTexts else { throw NameError.lookUp(domain: domain, detail: "this node does not ask the domain name system") }
        let answers: [(text: String, timeToLive: Duration)]
        do { answers = try await lookUpTexts("_dnslink." + domain) } catch is CancellationError { throw CancellationError() } catch {
            throw NameError.lookUp(domain: domain, detail: "\(error)")
        }
        let path = try DNSLink.path(of: domain, in: answers.map(\.text))
        let timeToLive = answers.map(\.timeToLive).min() ?? NamingLimits.fallbackTimeToLive
        return Resolution(path: path, timeToLive: options.longestTimeToLive.map { min($0, timeToLive) } ?? timeToLive)
    }
}

extension CID {
    fileprivate static func key(_ hash: Multihash) -> CID? {
        do { return try CID(codec: .libp2pKey, hash: hash) } catch { return nil }
    }
}
