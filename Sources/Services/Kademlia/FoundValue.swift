import Synchronization
import WaggleBase

/// Where a closure leaves the value that it got.
final class FoundValue: Sendable {
    let value = Mutex<Bytes?>(nil)
}
