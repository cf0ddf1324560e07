import WaggleBase
import WaggleContent
import WaggleFormats

/// `pin add`, `rm`, `ls`, `update`, `verify`.
enum PinCommands {
    static let command: Command = Command(
        "pin", "Pin (and unpin) objects to local storage.", description: "Pinned objects are kept when the repository is cleaned up.",
        example: "> waggle pin add <cid>\n> waggle pin ls --type=recursive", subcommands: [add, remove, list, update, verify])

    private static let add = Command(
        "add", "Pin objects to local storage.",
        description: "Stores the objects from the given paths locally to disk, fetching what is missing, and keeps them until they are unpinned.",
        example: "> waggle pin add --name=photos <cid>",
        arguments: [.string("ipfs-path", "Path to object(s) to be pinned.", variadic: true, input: true)],
        options: [
            .flag("recursive", "r", about: "Recursively pin the object linked to by the specified object(s).", default: true),
            .string("name", "n", about: "An optional name for created pin(s)."),
            .flag("progress", about: "Show progress."),
        ],
        present: { request, console in PinPresenter(request, console) }
    ) { request, session, emitter in
        let show = try CIDText(request)
        let mode: Pin.Mode = request.flag("recursive") ? .recursive : .direct
        let name = request.string("name") ?? ""
        try PinNames.check(name)
        var pinned: [String] = []
        let counter = PinProgress(emitter, on: session.system.home, enabled: request.flag("progress"))
        for argument in request.arguments {
            let cid = try await session.resolve(argument, request)
            try await session.repository.pins.add(Pin(cid, mode, name: name), from: session.source(request)) { counter.seen($0) }
            pinned.append(show(cid))
            try await counter.report()
        }
        try await emitter.emitOnce(["Pins": .strings(pinned)])
    }

    private static let remove = Command(
        "rm", "Remove object from pin-list.",
        description: "Removes the pin from the given object allowing it to be garbage collected if needed. (By default, recursively. Use -r=false for direct pins.)",
        example: "> waggle pin rm <cid>",
        arguments: [.string("ipfs-path", "Path to object(s) to be unpinned.", variadic: true, input: true)],
        options: [.flag("recursive", "r", about: "Recursively unpin the object linked to by the specified object(s).", default: true)],
        text: { value, _ in (value["Pins"]?.array ?? []).compactMap(\.string).map { "unpinned \($0)\n" }.joined() }
    ) { request, session, emitter in
        let show = try CIDText(request)
        var unpinned: [String] = []
        for argument in request.arguments {
            let cid = try await session.resolve(argument, request)
            // A recursive removal also takes a direct pin away, as in Kubo.
            try await removePin(cid, session, recursive: request.flag("recursive"), show)
            unpinned.append(show(cid))
        }
        try await emitter.emitOnce(["Pins": .strings(unpinned)])
    }

    private static func removePin(_ cid: CID, _ session: Session, recursive: Bool, _ show: CIDText) async throws {
        let pins = try session.repository.pins
        do {
            try await pins.remove(cid, mode: recursive ? nil : .direct)
        } catch PinError.notPinned {
            guard case .indirect(let root) = try await pins.status(of: [cid])[0] else { throw CommandError("not pinned or pinned indirectly") }
            throw CommandError("\(show(cid)) is pinned indirectly under \(show(root))")
        } catch PinError.pinnedAs {
            throw CommandError("\(show(cid)) is pinned recursively")
        }
    }

    private static let list = Command(
        "ls", "List objects pinned to local storage.",
        description: """
            Returns a list of objects that are pinned locally. By default, all pinned objects are returned, but the '--type' flag or
            arguments can restrict that to a specific pin type or to some specific objects respectively.
            """,
        example: "> waggle pin ls --type=recursive --names",
        arguments: [.string("ipfs-path", "Path to object(s) to be listed.", required: false, variadic: true)],
        options: [
            .string("type", "t", about: "The type of pinned keys to list. Can be \"direct\", \"indirect\", \"recursive\", or \"all\".", default: "all"),
            .flag("quiet", "q", about: "Output only the CIDs of pins."),
            .string("name", "n", about: "Limit returned pins to ones with names that contain the value provided (case-sensitive, partial match). Implies --names=true."),
            .flag("stream", "s", about: "Enable streaming of pins as they are discovered."),
            .flag("names", about: "Include pin names in the output (slower, disabled by default)."),
        ],
        text: { value, request in
            func line(_ cid: String, _ pin: JSON) -> String {
                if request.flag("quiet") { return "\(cid)\n" }
                let name = pin["Name"]?.string ?? ""
                return name.isEmpty ? "\(cid) \(pin["Type"]?.string ?? "")\n" : "\(cid) \(pin["Type"]?.string ?? "") \(name)\n"
            }
            if let cid = value["Cid"]?.string { return line(cid, value) }
            return (value["Keys"]?.object?.entries ?? []).map { line($0.key, $0.value) }.joined()
        }
    ) { request, session, emitter in
        let listing = try PinListing(request)
        var keys = OrderedMap<JSON>()
        func tell(_ cid: String, _ type: String, _ name: String) async throws {
            if request.flag("stream") {
                try await emitter.emit(["Cid": .string(cid), "Name": .string(name), "Type": .string(type)])
            } else {
                keys[cid] = ["Type": .string(type), "Name": .string(name)]
            }
        }
        if request.arguments.isEmpty {
            try await listing.all(session, tell)
        } else {
            try await listing.some(request.arguments, session, request, tell)
        }
        if !request.flag("stream") { try await emitter.emitOnce(keys.isEmpty ? [:] : ["Keys": .object(keys)]) }
    }

    private static let update = Command(
        "update", "Update a recursive pin.",
        description: "Pins a new object as an old one was pinned and, by default, removes the old pin, in one step.",
        example: "> waggle pin update <old-cid> <new-cid>",
        arguments: [.string("from-path", "Path to old object."), .string("to-path", "Path to a new object to be pinned.")],
        options: [.flag("unpin", about: "Remove the old pin.", default: true)],
        text: { value, _ in
            let pins = (value["Pins"]?.array ?? []).compactMap(\.string)
            return pins.count == 2 ? "updated \(pins[0]) to \(pins[1])\n" : ""
        }
    ) { request, session, emitter in
        let show = try CIDText(request)
        let old = try await session.resolve(request.arguments[0], request)
        let new = try await session.resolve(request.arguments[1], request)
        do {
            try await session.repository.pins.update(old, to: new, unpin: request.flag("unpin"), from: session.source(request))
        } catch PinError.notPinned {
            throw CommandError("'from' cid was not recursively pinned already")
        }
        try await emitter.emitOnce(["Pins": [.string(show(old)), .string(show(new))]])
    }

    private static let verify = Command(
        "verify", "Verify that recursive pins are complete.", description: "Looks for every block of every recursive pin.",
        example: "> waggle pin verify --verbose",
        options: [
            .flag("verbose", about: "Also write the hashes of non-broken pins."), .flag("quiet", "q", about: "Write just hashes of broken pins."),
        ],
        text: { value, request in
            let cid = value["Cid"]?.string ?? ""
            if value["Ok"] == true { return request.flag("quiet") ? "" : "\(cid) ok\n" }
            if request.flag("quiet") { return "\(cid)\n" }
            let bad = (value["BadNodes"]?.array ?? []).map { "  \($0["Cid"]?.string ?? ""): \($0["Err"]?.string ?? "")\n" }.joined()
            return "\(cid) broken\n" + bad
        }
    ) { request, session, emitter in
        guard !(request.flag("verbose") && request.flag("quiet")) else {
            throw CommandError("the --verbose and --quiet options can not be used at the same time")
        }
        let show = try CIDText(request)
        for broken in try await session.repository.pins.verify() {
            if broken.missing == nil, !request.flag("verbose") { continue }
            let bad: JSON = broken.missing.map { [["Cid": .string(show($0)), "Err": .string("ipld: could not find \($0)")]] } ?? []
            var value: JSON = ["Cid": .string(show(broken.root)), "Ok": .bool(broken.missing == nil)]
            if broken.missing != nil { value["BadNodes"] = bad }
            try await emitter.emit(value)
        }
    }
}

/// Pins as `pin ls` shows them.
private struct PinListing {
    private let type: String
    private let filter: String?
    private let showsNames: Bool
    private let show: CIDText

    init(_ request: Request) throws {
        type = request.string("type") ?? "all"
        guard ["all", "direct", "indirect", "recursive"].contains(type) else {
            throw CommandError("invalid type '\(type)', must be one of {direct, indirect, recursive, all}")
        }
        filter = request.string("name").flatMap { $0.isEmpty ? nil : $0 }
        try PinNames.check(filter ?? "")
        showsNames = request.flag("names") || filter != nil
        show = try CIDText(request)
    }

    func all(_ session: Session, _ tell: (String, String, String) async throws -> Void) async throws {
        let pins = try await session.repository.pins.pins()
        for pin in pins where type == "all" || type == Self.name(pin.mode) {
            if let filter, !pin.name.contains(filter) { continue }
            try await tell(show(pin.cid), Self.name(pin.mode), showsNames ? pin.name : "")
        }
        guard type == "all" || type == "indirect", filter == nil else { return }
        let direct = Set(pins.map(\.cid))
        try await session.repository.pins.forEachIndirect { cid, _ in
            if type == "indirect" || !direct.contains(cid) { try await tell(show(cid), "indirect", "") }
            return true
        }
    }

    func some(
        _ paths: [String], _ session: Session, _ request: Request, _ tell: (String, String, String) async throws -> Void
    ) async throws {
        var cids: [CID] = []
        for path in paths { cids.append(try await session.resolve(path, request)) }
        let statuses = try await session.repository.pins.status(of: cids)
        for (index, status) in statuses.enumerated() {
            switch status {
            case .pinned(let pin) where type == "all" || type == Self.name(pin.mode):
                try await tell(show(cids[index]), Self.name(pin.mode), showsNames ? pin.name : "")
            case .indirect(let root) where type == "all" || type == "indirect":
                try await tell(show(cids[index]), "indirect through \(show(root))", "")
            case .pinned where type == "indirect":
                guard let root = try await root(above: cids[index], session) else { throw CommandError("path '\(paths[index])' is not pinned") }
                try await tell(show(cids[index]), "indirect through \(show(root))", "")
            default: throw CommandError("path '\(paths[index])' is not pinned")
            }
        }
    }

    /// A recursive pin below whose root `cid` is.
    private func root(above cid: CID, _ session: Session) async throws -> CID? {
        var found: CID?
        try await session.repository.pins.forEachIndirect { indirect, root in
            if indirect.multihash == cid.multihash { found = root }
            return found == nil
        }
        return found
    }

    static func name(_ mode: Pin.Mode) -> String { mode == .recursive ? "recursive" : "direct" }
}

enum PinNames {
    static func check(_ name: String) throws(CommandError) {
        guard name.utf8.count <= PinLimits.nameBytes else {
            throw CommandError("pin name is \(name.utf8.count) bytes (max \(PinLimits.nameBytes) bytes)")
        }
    }
}

/// Counts what a pin has seen, for `--progress`.
private final class PinProgress: @unchecked Sendable {
    private let emitter: any Emitter
    private let enabled: Bool
    private let home: any EventLoop
    private var count = 0

    init(_ emitter: any Emitter, on home: any EventLoop, enabled: Bool) {
        self.emitter = emitter
        self.enabled = enabled
        self.home = home
    }

    func seen(_ total: Int) { home.execute { self.count = total } }

    func report() async throws { if enabled { try await emitter.emit(["Progress": JSON(count)]) } }
}

private final class PinPresenter: Presenter, @unchecked Sendable {
    private let request: Request
    private let console: any Console

    init(_ request: Request, _ console: any Console) {
        self.request = request
        self.console = console
    }

    func value(_ value: JSON) async throws {
        if let progress = value["Progress"]?.integer, progress > 0 {
            let size = value["Bytes"]?.integer.map { " (\(ByteSize.human(UInt64(clamping: $0))))" } ?? ""
            console.writeError("Fetched/Processed \(progress) nodes\(size)\r")
        }
        let how = request.flag("recursive") ? "recursively" : "directly"
        for cid in (value["Pins"]?.array ?? []).compactMap(\.string) { try console.print("pinned \(cid) \(how)\n") }
    }
}
