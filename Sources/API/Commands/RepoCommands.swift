import WaggleBase
import WaggleContent
import WaggleFormats

/// `repo stat`, `gc`, `verify`, `version`, `ls`.
enum RepoCommands {
    static let command: Command = Command(
        "repo", "Manipulate the IPFS repo.", description: "Plumbing commands to look at and clean up the repository.",
        example: "> waggle repo stat --human\n> waggle repo gc", subcommands: [stat, collect, verify, version, list])

    static let stat = Command(
        "stat", "Get stats for the currently used repo.",
        description: """
            Outputs information about the local set of stored objects:

            NumObjects      int Number of objects in the local repo.
            RepoSize        int Size in bytes that the repo is currently taking.
            StorageMax      string Maximum datastore size (from configuration)
            RepoPath        string The path to the repo being currently used.
            Version         string The repo version.
            """,
        example: "> waggle repo stat --human",
        options: [
            .flag("size-only", "s", about: "Only report RepoSize and StorageMax."),
            .flag("human", "H", about: "Print sizes in human readable format (e.g., 1K 234M 2G)."),
        ],
        text: { value, request in
            var rows: [(String, String)] = []
            func size(_ name: String) -> String {
                let bytes = UInt64(value[name]?.integer ?? 0)
                return request.flag("human") ? ByteSize.human(bytes) : bytes.description
            }
            if !request.flag("size-only") { rows.append(("NumObjects:", (value["NumObjects"]?.integer ?? 0).description)) }
            rows += [("RepoSize:", size("RepoSize")), ("StorageMax:", size("StorageMax"))]
            if !request.flag("size-only") { rows += [("RepoPath:", value["RepoPath"]?.string ?? ""), ("Version:", value["Version"]?.string ?? "")] }
            let column = rows.map(\.0.count).max() ?? 0
            return rows.map { $0.0 + String(repeating: " ", count: column + 1 - $0.0.count) + $0.1 + "\n" }.joined()
        }
    ) { request, session, emitter in
        let statistics = try session.repository.statistics()
        let maximum = JSON(try session.configuration.storageMaximum)
        if request.flag("size-only") {
            return try await emitter.emitOnce(["RepoSize": JSON(statistics.bytesOnDevice), "StorageMax": maximum, "NumObjects": 0, "RepoPath": "", "Version": ""])
        }
        try await emitter.emitOnce([
            "RepoSize": JSON(statistics.bytesOnDevice), "StorageMax": maximum, "NumObjects": JSON(statistics.objects),
            "RepoPath": .string(statistics.path), "Version": .string(statistics.version),
        ])
    }

    private static let collect = Command(
        "gc", "Perform a garbage collection sweep on the repo.",
        description: "Sweeps the local set of stored objects and removes ones that are not pinned in order to reclaim hard disk space.",
        example: "> waggle repo gc --quiet",
        options: [
            .flag("stream-errors", about: "Stream errors."), .flag("quiet", "q", about: "Write minimal output."),
            .flag("silent", about: "Write no output."),
        ],
        text: { value, request in
            if request.flag("silent") { return "" }
            if let error = value["Error"]?.string, !error.isEmpty { return "Error: \(error)\n" }
            return "\(request.flag("quiet") ? "" : "removed ")\(value["Key"]?["/"]?.string ?? "")\n"
        }
    ) { request, session, emitter in
        let show = try CIDText(request)
        do {
            try await session.repository.collector.collect { keys in
                if request.flag("silent") { return }
                for key in keys { try await emitter.emit(["Key": ["/": .string(show(try CID(codec: .raw, hash: key)))]]) }
            }
        } catch let error as GarbageCollector.Failure {
            guard request.flag("stream-errors") else { throw error }
            try await emitter.emit(["Error": .string(error.description)])
            throw CommandError("encountered errors during gc run")
        }
    }

    private static let verify = Command(
        "verify", "Verify all blocks in repo are not corrupted.",
        description: "Reads every block and checks it against its hash. Without '--drop' nothing is changed.",
        example: "> waggle repo verify", options: [.flag("drop", about: "Remove corrupt blocks from datastore (destructive operation).")],
        present: { _, console in VerifyPresenter(console) }
    ) { request, session, emitter in
        let repository = try session.repository
        var done = 0
        var corrupt = 0
        var removed = 0
        try await repository.blocks.verifyAll { step in
            done += step.checked
            for key in step.corrupted {
                corrupt += 1
                let cid = try CID(codec: .raw, hash: key)
                var message = "block \(cid) was corrupt"
                if request.flag("drop") {
                    try await repository.blocks.drop(corrupted: key)
                    removed += 1
                    message += ", removed"
                }
                try await emitter.emit(["Msg": .string(message), "Progress": 0])
            }
            try await emitter.emit(["Msg": "", "Progress": JSON(done)])
        }
        if corrupt > removed { throw CommandError("verify complete, \(corrupt) blocks corrupt") }
        try await emitter.emit(["Msg": .string(corrupt == 0 ? "verify complete, all blocks validated." : "verify complete, \(corrupt) blocks corrupt, \(removed) removed"), "Progress": 0])
    }

    private static let version = Command(
        "version", "Show the repo version.", description: "Prints the version of the repository's layout.", example: "> waggle repo version --quiet",
        options: [.flag("quiet", "q", about: "Write minimal output.")], needs: .nothing,
        text: { value, request in
            let version = value["Version"]?.string ?? ""
            return request.flag("quiet") ? "fs-repo@\(version)\n" : "ipfs repo version fs-repo@\(version)\n"
        }
    ) { _, _, emitter in
        try await emitter.emitOnce(["Version": .string(WaggleVersion.repository)])
    }

    private static let list = Command(
        "ls", "List all local references.", description: "Displays the CIDs of all local objects, as 'refs local' does.", example: "> waggle repo ls",
        text: { value, _ in "\(value["Ref"]?.string ?? "")\n" },
        run: { request, session, emitter in
            try await RefsCommands.command.descend(["local"])?.run?(request, session, emitter)
        })
}

private final class VerifyPresenter: Presenter, @unchecked Sendable {
    private let console: any Console

    init(_ console: any Console) { self.console = console }

    func value(_ value: JSON) async throws {
        if let message = value["Msg"]?.string, !message.isEmpty {
            if console.errorIsTerminal { console.writeError("\r\u{1b}[2K") }
            try console.print(message + "\n")
        } else if console.errorIsTerminal {
            console.writeError("\r\(value["Progress"]?.integer ?? 0) blocks processed")
        }
    }
}
