import WaggleContent
import WaggleFormats

/// How CIDs are written in a command's output: `--cid-base` and `--upgrade-cidv0-in-output`.
package struct CIDText: Sendable {
    private var base: Multibase?
    private var upgrades: Bool

    package init(_ request: Request) throws(CommandError) {
        let name = request.string("cid-base") ?? ""
        base = name.isEmpty ? nil : try Self.base(named: name)
        // Version 0 has only one base; for another one it is written as version 1.
        upgrades = request.flagIfGiven("upgrade-cidv0-in-output") ?? (base.map { $0 != .base58btc } ?? false)
    }

    /// As the CIDs of `path` are written, where `--cid-base` does not say otherwise.
    package init(_ request: Request, like path: ContentPath) throws(CommandError) {
        try self.init(request)
        if request.string("cid-base") == nil, let cid = path.cid, cid.version == .v1, let first = path.root.unicodeScalars.first {
            base = Multibase(prefix: first)
            upgrades = base.map { $0 != .base58btc } ?? false
        }
    }

    /// A base by its name or its one-letter prefix.
    package static func base(named name: String) throws(CommandError) -> Multibase {
        if name.unicodeScalars.count == 1, let scalar = name.unicodeScalars.first, let base = Multibase(prefix: scalar) { return base }
        guard let base = Multibase(name: name) else { throw CommandError("unsupported multibase encoding: \(name)") }
        return base
    }

    package func callAsFunction(_ cid: CID) -> String {
        let shown = upgrades ? cid.v1 : cid
        guard let base, shown.version == .v1 else { return shown.description }
        return shown.text(base: base)
    }
}
