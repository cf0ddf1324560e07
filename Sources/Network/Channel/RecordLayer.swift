/// The keys of one connection at work: turns plaintext into records and back, in the order in which they travel.
///
/// Belongs to one loop. Neither direction allocates.
public protocol RecordLayer: AnyObject {
    /// What a record is longer than its plaintext, in bytes.
    var overhead: Int { get }
    /// The most plaintext that one record carries, in bytes.
    var maximumPlaintext: Int { get }

    /// Writes one whole record (length, ciphertext, tag) of `header` followed by `payload`, and returns its size in bytes.
    ///
    /// `output` has room for both and `overhead`; it must not overlap the plaintext. Throws `tooLong` above `maximumPlaintext` and
    /// `exhausted` when the key has sealed all it may; nothing is sent then.
    func seal(
        _ header: UnsafeRawBufferPointer, _ payload: UnsafeRawBufferPointer, into output: UnsafeMutableRawPointer
    ) throws(RecordError) -> Int

    /// Looks at the start of `input` and decrypts the first record there in place, if it is all there.
    ///
    /// After an error the connection is over: nothing of the record is readable and later records cannot be opened.
    func open(_ input: UnsafeMutableRawBufferPointer) throws(RecordError) -> RecordOutcome
}

/// What `RecordLayer.open` found at the start of its input.
public enum RecordOutcome: Hashable, Sendable {
    /// The record is not complete; it takes at least `need` bytes in total, counted from the start of the input.
    case incomplete(need: Int)
    /// A record of `consumed` bytes, whose plaintext (possibly empty) now lies at `plaintext`, an offset range in the input.
    case record(plaintext: Range<Int>, consumed: Int)
}

/// Why a record cannot be sealed or opened.
public enum RecordError: Error, Hashable, Sendable {
    /// Too short to be a record.
    case malformed
    /// Changed, replayed, reordered or made with another key.
    case notAuthentic
    /// More plaintext than a record may carry.
    case tooLong(bytes: Int)
    /// The key has been used as often as it may be.
    case exhausted
}
