import WaggleBase
import WaggleFormats

/// `multibase encode`, `decode`, `transcode`, `list`. Needs no repository.
enum MultibaseCommands {
    /// Bytes that are held while they are converted, at most.
    private static let limit = ByteCount.mebibytes(64)

    static let command: Command = Command(
        "multibase", "Encode and decode files or stdin with multibase format.", description: "The first character of a text says its base.",
        example: "> echo hello | waggle multibase encode -b base16", subcommands: [encode, decode, transcode, list], needs: .nothing)

    private static let base: Option = .string("b", about: "multibase encoding", default: "base64url")

    private static let encode = Command(
        "encode", "Encode data into multibase string.", description: "Reads a file or standard input.",
        example: "> echo hello | waggle multibase encode -b base16", arguments: [.file("file", "data to encode", input: true)], options: [base],
        needs: .nothing
    ) { request, _, emitter in
        let base = try CIDText.base(named: request.string("b") ?? "")
        try await emitter.write(Bytes(utf8: base.encode(try await input(request, "file"))))
    }

    private static let decode = Command(
        "decode", "Decode multibase string.", description: "Reads a file or standard input.",
        example: "> echo -n uaGVsbG8 | waggle multibase decode", arguments: [.file("encoded_file", "encoded data to decode", input: true)],
        needs: .nothing
    ) { request, _, emitter in
        try await emitter.write(try decoded(try await input(request, "encoded_file")))
    }

    private static let transcode = Command(
        "transcode", "Transcode multibase string between bases.", description: "Reads a file or standard input.",
        example: "> echo -n uaGVsbG8 | waggle multibase transcode -b base16",
        arguments: [.file("encoded_file", "encoded data to decode", input: true)], options: [base], needs: .nothing
    ) { request, _, emitter in
        let base = try CIDText.base(named: request.string("b") ?? "")
        try await emitter.write(Bytes(utf8: base.encode(try decoded(try await input(request, "encoded_file")))))
    }

    private static let list = Command(
        "list", "List available multibase encodings.", example: "> waggle multibase list --prefix",
        options: [
            .flag("prefix", about: "also include the single letter prefixes in addition to the code"),
            .flag("numeric", about: "also include numeric codes"),
        ],
        needs: .nothing, text: { value, request in BaseTable.text(value, request) }
    ) { _, _, emitter in try await emitter.emitOnce(BaseTable.json) }

    private static func input(_ request: Request, _ name: String) async throws -> Bytes {
        guard let files = request.files, try await files.next() != nil else { throw CommandError.client("file argument '\(name)' is required") }
        return try await files.readAll(limit: limit)
    }

    private static func decoded(_ bytes: Bytes) throws -> Bytes {
        guard let text = bytes.utf8 else { throw CommandError("failed to decode multibase: not UTF-8") }
        do {
            return try Multibase.decode(text).bytes
        } catch {
            guard let first = text.unicodeScalars.first, Multibase(prefix: first) == nil else {
                throw CommandError("failed to decode multibase: \(error)")
            }
            throw CommandError("failed to decode multibase: selected encoding not supported")
        }
    }
}
