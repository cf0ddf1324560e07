import WaggleBase

/// The large blocks of memory that a loop's connections read into and seal into, taken in turns.
///
/// Only on its loop. Windows onto a chunk (`Bytes`) may travel anywhere; the pool keeps the chunks it gave out and takes one back into use when
/// nobody else holds it. So chunks are neither freed nor faulted in again and again, which `malloc` would do above its mmap threshold.
package final class ChunkPool: @unchecked Sendable {
    /// Four of the largest records (65,537 bytes), rounded up to pages.
    static let chunkBytes = 260 << 10
    /// The least room that is worth a read, in bytes: one record of the largest size.
    static let smallestRoom = 66 << 10
    /// Chunks in use by slow readers before payload is copied instead of kept in place: bounds the memory that windows can pin (16 MiB).
    static let pinnedChunks = 64
    /// Free chunks kept when the loop is idle.
    static let idleChunks = 2
    /// How long a loop must be quiet before chunks are let go.
    static let trimDelay = Duration.seconds(5)

    /// Chunks given out and filled; oldest first.
    private var retired: [ByteStorage] = []
    /// The chunk to read into next, and how much of it is filled.
    private var current: (storage: ByteStorage, used: Int)?
    private var alarm: Alarm?
    private let loop: any EventLoop
    private var isUsed = false

    /// Where small frames are put together before they are sealed: one record's worth, used within one call only.
    let staging = ByteStorage(capacity: 66 << 10)

    /// Chunks that idle connections keep because half a large record lies in them.
    var held = 0
    /// How many may (8 MiB); beyond that such a beginning is copied out.
    static let heldChunks = 32

    /// Whether readers hold so many chunks that payload has to be copied out of them.
    private(set) var isPressed = false

    package init(on loop: any EventLoop) { self.loop = loop }

    /// A chunk to read into behind its first `used` bytes, with `smallestRoom` at least.
    func take() -> (storage: ByteStorage, used: Int) {
        isUsed = true
        if var chunk = current {
            current = nil
            if isKnownUniquelyReferenced(&chunk.storage) { return (chunk.storage, 0) }
            if ChunkPool.chunkBytes - chunk.used >= ChunkPool.smallestRoom { return chunk }
            retire(chunk.storage)
        }
        return (takeFree(), 0)
    }

    /// Gives back a chunk of `take`, filled up to `used`.
    func give(_ storage: ByteStorage, used: Int) {
        if current == nil { current = (storage, used) } else { retire(storage) }
    }

    /// A whole chunk that nobody looks into.
    func takeFree() -> ByteStorage {
        isUsed = true
        // The latest first: it is the likeliest to be in the cache.
        for index in retired.indices.reversed() where isKnownUniquelyReferenced(&retired[index]) {
            isPressed = false
            return retired.remove(at: index)
        }
        isPressed = retired.count >= ChunkPool.pinnedChunks
        return ByteStorage(capacity: ChunkPool.chunkBytes)
    }

    /// Gives back a chunk that is full or may still be looked into.
    func retire(_ storage: ByteStorage) {
        guard storage.capacity == ChunkPool.chunkBytes else { return }
        // Beyond the bound the readers alone keep it alive.
        if retired.count >= ChunkPool.pinnedChunks { retired.removeFirst() }
        retired.append(storage)
        guard alarm == nil else { return }
        alarm = Alarm(on: loop) { [weak self] in self?.trim() }
        alarm?.set(loop.now + ChunkPool.trimDelay)
    }

    private func trim() {
        alarm?.stop()
        alarm = nil
        if isUsed {
            isUsed = false
        } else {
            var free = 0
            var kept: [ByteStorage] = []
            while var chunk = retired.popLast() {
                if isKnownUniquelyReferenced(&chunk) {
                    free += 1
                    if free > ChunkPool.idleChunks { continue }
                }
                kept.append(chunk)
            }
            retired = kept.reversed()
            isPressed = false
        }
        guard retired.count > ChunkPool.idleChunks else { return }
        alarm = Alarm(on: loop) { [weak self] in self?.trim() }
        alarm?.set(loop.now + ChunkPool.trimDelay)
    }

    /// Chunks that the pool knows of and nobody reads into.
    var chunkCount: Int { retired.count + (current == nil ? 0 : 1) }

    /// Lets go of everything, at the end of the loop's connections.
    package func close() {
        alarm?.stop()
        alarm = nil
        retired = []
        current = nil
    }
}
