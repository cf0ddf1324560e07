import WaggleBase
import WaggleContent
import WaggleFormats

/// `ls`: the entries of directories, or the links of files.
enum LsCommand {
    static let command: Command = Command(
        "ls", "List directory contents for Unix filesystem objects.",
        description: """
            Displays the contents of IPFS objects at the given paths, with the following format:

              <cid> <size> <name>

            With --long (-l), display optional file mode (permissions) and modification time in a format similar to Unix 'ls -l':

              <mode> <cid> <size> <mtime> <name>
            """,
        example: "> waggle ls -v <cid>",
        arguments: [.string("ipfs-path", "The path to the IPFS object(s) to list links from.", variadic: true, input: true)],
        options: [
            .flag("headers", "v", about: "Print table headers (Hash, Size, Name)."),
            .flag("resolve-type", about: "Resolve linked objects to find out their types.", default: true),
            .flag("size", about: "Resolve linked objects to find out their file size.", default: true),
            .flag("stream", "s", about: "Enable experimental streaming of directory entries as they are traversed."),
            .flag("long", "l", about: "Use a long listing format, showing file mode and modification time."),
        ],
        present: { request, console in LsPresenter(request, console) }
    ) { request, session, emitter in
        let lister = try await Lister(request, source: session.source(request))
        var objects: [JSON] = []
        for argument in request.arguments {
            let root = try await session.resolve(argument, request)
            if request.flag("stream") {
                try await lister.each(root) { link in
                    try await emitter.emit(["Objects": [["Hash": .string(argument), "Links": [link]]]])
                }
            } else {
                var links: [(name: String, value: JSON)] = []
                try await lister.each(root) { links.append(($0["Name"]?.string ?? "", $0)) }
                links.sort { $0.name.utf8.lexicographicallyPrecedes($1.name.utf8) }
                objects.append(["Hash": .string(argument), "Links": .array(links.map(\.value))])
            }
        }
        if !request.flag("stream") { try await emitter.emitOnce(["Objects": .array(objects)]) }
    }
}

/// Reads entries and, if asked to, the first block of each for its type and size.
private struct Lister {
    /// Entries looked at ahead.
    private static let ahead = 32
    private let source: any BlockSource
    private let show: CIDText
    private let resolves: Bool

    init(_ request: Request, source: any BlockSource) throws {
        self.source = source
        show = try CIDText(request)
        resolves = request.flag("resolve-type") || request.flag("size")
    }

    func each(_ root: CID, _ tell: (JSON) async throws -> Void) async throws {
        let node = try await UnixFSNode.load(root, from: source)
        guard node.isDirectory else {
            // A file has links without names; a leaf has none.
            for link in node.links { try await tell(try await describe("", link.hash, link.size ?? 0)) }
            return
        }
        var reader = try DirectoryReader(node, from: source)
        while let page = try await reader.next() {
            if resolves { source.prefetch(page.prefix(Self.ahead).filter { $0.cid.codec != .raw }.map(\.cid)) }
            for entry in page { try await tell(try await describe(entry.name, entry.cid, entry.size)) }
        }
    }

    private func describe(_ name: String, _ cid: CID, _ size: UInt64) async throws -> JSON {
        var link: JSON = ["Name": .string(name), "Hash": .string(show(cid)), "Size": 0, "Type": 0, "Target": ""]
        if cid.codec == .raw {
            link["Type"] = 2
            link["Size"] = JSON(size)
        } else if resolves {
            let node = try await UnixFSNode.load(cid, from: source)
            switch node.kind {
            case .directory, .shard: link["Type"] = 1
            case .file:
                link["Type"] = 2
                link["Size"] = JSON(node.content)
            case .symlink:
                link["Type"] = 4
                link["Target"] = .string(node.target ?? "")
            }
            if let mode = node.metadata.mode { link["Mode"] = JSON(mode) }
            if let time = node.metadata.modified { link["ModTime"] = .string(Clock.rfc3339(time.seconds)) }
        }
        return link
    }
}

private final class LsPresenter: Presenter, @unchecked Sendable {
    private let request: Request
    private let console: any Console
    private var lastObject = ""

    init(_ request: Request, _ console: any Console) {
        self.request = request
        self.console = console
    }

    func value(_ value: JSON) async throws {
        var rows: [[String]] = []
        var text = ""
        let minimum = request.flag("stream") ? 10 : 1
        for object in value["Objects"]?.array ?? [] {
            let hash = object["Hash"]?.string ?? ""
            if hash != lastObject {
                if request.arguments.count > 1 {
                    text += TextTable.render(rows, minimum: minimum) + (lastObject.isEmpty ? "" : "\n") + "\(hash):\n"
                    rows = []
                }
                if request.flag("headers") { rows.append(headers) }
                lastObject = hash
            }
            rows += (object["Links"]?.array ?? []).map(row)
        }
        try console.print(text + TextTable.render(rows, minimum: minimum))
    }

    private var headers: [String] {
        (request.flag("long") ? ["Mode"] : []) + ["Hash"] + (request.flag("size") ? ["Size"] : []) + (request.flag("long") ? ["ModTime"] : []) + ["Name"]
    }

    private func row(_ link: JSON) -> [String] {
        let isDirectory = link["Type"]?.integer == 1 || link["Type"]?.integer == 5
        let name = TerminalText.visible(link["Name"]?.string ?? "") + (isDirectory ? "/" : "")
        let size = isDirectory ? "-" : "\(link["Size"]?.integer ?? 0)"
        var row: [String] = []
        if request.flag("long") { row.append(link["Mode"]?.integer.map { FileModeText.of(UInt32(truncatingIfNeeded: $0), isDirectory: isDirectory) } ?? "-") }
        row.append(link["Hash"]?.string ?? "")
        if request.flag("size") { row.append(size) }
        if request.flag("long") { row.append(link["ModTime"]?.string.flatMap { Clock.listing($0, now: (request.startedAt?.nanoseconds ?? 0) / 1_000_000_000) } ?? "-") }
        return row + [name]
    }
}

/// Columns padded to the widest cell, a blank between them; the last is not padded.
enum TextTable {
    static func render(_ rows: [[String]], minimum: Int) -> String {
        var widths: [Int] = []
        for row in rows {
            for (index, cell) in row.enumerated().dropLast() {
                if index == widths.count { widths.append(minimum) }
                widths[index] = max(widths[index], cell.count + 1)
            }
        }
        return rows.map { row in
            row.enumerated().map { index, cell in
                index < row.count - 1 ? cell + String(repeating: " ", count: max(0, widths[index] - cell.count)) : cell
            }.joined() + "\n"
        }.joined()
    }
}

/// `drwxr-xr-x`.
enum FileModeText {
    static func of(_ mode: UInt32, isDirectory: Bool) -> String {
        var text = isDirectory ? "d" : "-"
        for shift in [6, 3, 0] as [UInt32] {
            let bits = mode >> shift
            text += bits & 4 != 0 ? "r" : "-"
            text += bits & 2 != 0 ? "w" : "-"
            text += bits & 1 != 0 ? "x" : "-"
        }
        return text
    }
}

/// Dates without a library: the civil calendar, UTC.
package enum Clock {
    /// `2023-11-20T10:30:00Z` for seconds since 1970.
    package static func rfc3339(_ seconds: Int64) -> String {
        // Any number is a time: a block says what it likes.
        var (days, rest) = seconds.quotientAndRemainder(dividingBy: 86_400)
        if rest < 0 { (days, rest) = (days - 1, rest + 86_400) }
        let (year, month, day) = civil(days)
        func two(_ value: Int64) -> String { value < 10 ? "0\(value)" : "\(value)" }
        let yearText = year >= 0 && year < 1000 ? String(repeating: "0", count: 4 - "\(year)".count) + "\(year)" : "\(year)"
        return "\(yearText)-\(two(month))-\(two(day))T\(two(rest / 3600)):\(two(rest / 60 % 60)):\(two(rest % 60))Z"
    }

    private static let months = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"]
    /// Seconds after which a file counts as old: half a year.
    private static let recent: Int64 = 182 * 86_400

    /// As `ls -l` shows a time given in RFC 3339: `Jun 15 10:30` for recent ones, `Jun 15  2020` for others; nil for other text.
    package static func listing(_ text: String, now: Int64) -> String? {
        let parts = text.split { !$0.isNumber }.compactMap { Int64($0) }
        guard parts.count >= 6, (1...12).contains(parts[1]) else { return nil }
        func two(_ value: Int64) -> String { value < 10 ? "0\(value)" : "\(value)" }
        let day = "\(months[Int(parts[1]) - 1]) \(two(parts[2]))"
        guard parts[0] < 1_000_000, parts[2...5].allSatisfy({ $0 < 100 }) else { return "\(day)  \(parts[0])" }
        let seconds = seconds(parts[0], parts[1], parts[2]) + parts[3] * 3600 + parts[4] * 60 + parts[5]
        let isRecent = seconds > now - recent && seconds < now + 86_400
        return isRecent ? "\(day) \(two(parts[3])):\(two(parts[4]))" : "\(day)  \(parts[0])"
    }

    /// Seconds since 1970 at the beginning of a day.
    static func seconds(_ year: Int64, _ month: Int64, _ day: Int64) -> Int64 {
        let shifted = month > 2 ? year : year - 1
        let era = (shifted >= 0 ? shifted : shifted - 399) / 400
        let yearOfEra = shifted - era * 400
        let dayOfYear = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1
        return (era * 146_097 + yearOfEra * 365 + yearOfEra / 4 - yearOfEra / 100 + dayOfYear - 719_468) * 86_400
    }

    /// Year, month and day of a day counted from 1970-01-01 (proleptic Gregorian, in eras of 400 years).
    private static func civil(_ days: Int64) -> (Int64, Int64, Int64) {
        let shifted = days + 719_468
        let era = (shifted >= 0 ? shifted : shifted - 146_096) / 146_097
        let dayOfEra = shifted - era * 146_097
        let yearOfEra = (dayOfEra - dayOfEra / 1460 + dayOfEra / 36_524 - dayOfEra / 146_096) / 365
        let dayOfYear = dayOfEra - (365 * yearOfEra + yearOfEra / 4 - yearOfEra / 100)
        let month = (5 * dayOfYear + 2) / 153
        let day = dayOfYear - (153 * month + 2) / 5 + 1
        return (yearOfEra + era * 400 + (month >= 10 ? 1 : 0), month < 10 ? month + 3 : month - 9, day)
    }
}
