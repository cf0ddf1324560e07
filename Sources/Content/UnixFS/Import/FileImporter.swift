import WaggleBase
import WaggleFormats

/// Adds files of any size with bounded memory: reads, cuts, hashes on several threads and writes blocks at the same time.
///
/// ```swift
/// let importer = try FileImporter(ImportOptions(), on: system, into: store)
/// let root = try await importer.add { try await body.read() }
/// ```
public struct FileImporter: Sendable {
    private let options: ImportOptions
    private let system: any System
    private let sink: (any BlockSink)?

    /// Without a sink nothing is kept: only the CID comes out.
    public init(_ options: ImportOptions, on system: any System, into sink: (any BlockSink)?) throws(ImportOptionError) {
        try options.validate()
        self.options = options
        self.system = system
        self.sink = sink
    }

    /// Adds one file, whose bytes `read` gives in pieces of any size until it says nil.
    ///
    /// Pieces of about a mebibyte, read into fresh memory, are best: their chunks are not copied with raw leaves and once otherwise.
    /// `progress` is told how many bytes were taken in all, after each piece. Throws what `read` and the sink throw.
    public func add(
        metadata: UnixFSMetadata = .none, progress: (UInt64) throws -> Void = { _ in }, reading read: () async throws -> Bytes?
    ) async throws -> ImportedNode {
        var machine = try FileImportMachine(options, metadata: metadata)
        while machine.waiting < UnixFSLimits.hashInPlaceBytes {
            guard let bytes = try await read() else { return try await finishSmall(&machine) }
            machine.append(bytes)
            try progress(machine.received)
        }
        let started = machine
        return try await withThrowingTaskGroup(of: LeafJob.Result.self) { group in
            var pipeline = Pipeline(machine: started)
            while let bytes = try await read() {
                try await append(bytes, &pipeline)
                try progress(pipeline.machine.received)
                try await start(&pipeline, &group)
            }
            pipeline.machine.end()
            try await start(&pipeline, &group)
            while pipeline.running > 0, let result = try await group.next() { try await place(result, &pipeline) }
            let root = try pipeline.machine.finish()
            let blocks = pipeline.machine.takeBlocks()
            if let sink, !blocks.isEmpty { try await sink.write(blocks) }
            return root
        }
    }

    private struct Pipeline {
        var machine: FileImportMachine
        var running = 0
        /// Results that came before those of earlier jobs.
        var early: [Int: [FileLink]] = [:]
        var next = 0

        init(machine: FileImportMachine) { self.machine = machine }
    }

    /// Finding cuts by content takes longer than a loop may stand still.
    private func append(_ bytes: Bytes, _ pipeline: inout Pipeline) async throws {
        guard options.chunker.readsContent else { return pipeline.machine.append(bytes) }
        let machine = pipeline.machine
        pipeline.machine = try await system.offload {
            var machine = machine
            machine.append(bytes)
            return machine
        }
    }

    private func start(_ pipeline: inout Pipeline, _ group: inout ThrowingTaskGroup<LeafJob.Result, any Error>) async throws {
        while let job = pipeline.machine.nextJob() {
            if pipeline.running == UnixFSLimits.hashJobs, let result = try await group.next() { try await place(result, &pipeline) }
            pipeline.running += 1
            let (system, sink) = (system, sink)
            group.addTask {
                var result = try await system.offload { try job.run(keepingBlocks: sink != nil) }
                if let sink, !result.blocks.isEmpty { try await sink.write(result.blocks) }
                result.blocks = []
                return result
            }
        }
    }

    private func place(_ result: LeafJob.Result, _ pipeline: inout Pipeline) async throws {
        pipeline.running -= 1
        pipeline.early[result.index] = result.links
        while let links = pipeline.early.removeValue(forKey: pipeline.next) {
            try pipeline.machine.place(links)
            pipeline.next += 1
        }
        let blocks = pipeline.machine.takeBlocks()
        if let sink, !blocks.isEmpty { try await sink.write(blocks) }
    }

    /// The whole file at once.
    private func finishSmall(_ machine: inout FileImportMachine) async throws -> ImportedNode {
        machine.end()
        let keepsBlocks = sink != nil
        var blocks: [Block] = []
        while let job = machine.nextJob() {
            let result =
                job.bytes <= UnixFSLimits.hashInPlaceBytes
                ? try job.run(keepingBlocks: keepsBlocks) : try await system.offload { try job.run(keepingBlocks: keepsBlocks) }
            blocks += result.blocks
            try machine.place(result.links)
        }
        let root = try machine.finish()
        if let sink {
            blocks += machine.takeBlocks()
            if !blocks.isEmpty { try await sink.write(blocks) }
        }
        return root
    }
}
