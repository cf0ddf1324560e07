import WaggleContent
import WaggleFormats

/// How CIDs are written in a command's output: `--cid-base` and `--upgrade-cidv0-in-output`.
package struct CIDText: Sendable {
    private let base: Multibase?
    private let upgrades: Bool

    package init(_ request: Request) throws(CommandError) {
        base = try request.string("cid-base").map { (name) throws(CommandError) in
            if name.unicodeScalars.count == 1, let scalar = name.unicodeScalars.first, let base = Multibase(prefix: scalar) { return base }
            guard let base = Multibase(name: name) else { throw .client("unsupported multibase encoding: \(name)") }
            return base
        }
        // A base other than base58 can only be shown for version 1, unless that was declined.
        upgrades = request.flagIfGiven("upgrade-cidv0-in-output") ?? false
    }

    package func callAsFunction(_ cid: CID) -> String {
        let shown = upgrades ? cid.v1 : cid
        guard let base, shown.version == .v1 else { return shown.description }
        return shown.text(base: base)
    }
}
