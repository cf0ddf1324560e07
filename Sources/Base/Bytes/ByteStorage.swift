/// A block of raw memory with reference-counted lifetime, shared by every `Bytes` that looks into it.
///
/// The owner that allocates it may write until it publishes a window; after that the published part never changes.
public final class ByteStorage: @unchecked Sendable {
    /// The first byte of the block.
    public let base: UnsafeMutableRawPointer
    /// Size of the block in bytes.
    public let capacity: Int

    /// Allocates `capacity` uninitialised bytes, aligned to 16.
    public init(capacity: Int) {
        self.capacity = capacity
        base = .allocate(byteCount: max(capacity, 1), alignment: 16)
    }

    deinit { base.deallocate() }

    /// The whole block, for filling it before a window is published.
    @inlinable public var buffer: UnsafeMutableRawBufferPointer { .init(start: base, count: capacity) }
}
