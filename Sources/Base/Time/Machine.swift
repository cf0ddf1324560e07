/// A protocol's logic as a value: input and the current time go in, outputs and one deadline come out.
///
/// A machine reads no clock, socket, random source or task. Whoever drives it obeys one law, *handle, drain, arm*: after every
/// `handle`, take outputs from `next` until it says nil, then arm an `Alarm` for `deadline` and call `handle` with the machine's
/// tick input when it fires.
public protocol Machine<Input, Output>: ~Copyable {
    associatedtype Input
    associatedtype Output
    associatedtype Failure: Error

    /// Takes one input. A peer's misbehaviour is an output; a failure means that the machine is at its end.
    mutating func handle(_ input: consuming Input, at now: Instant) throws(Failure)

    /// The next output, or nil when all have been taken.
    mutating func next() -> Output?

    /// When `handle` wants to be called even if nothing arrives; nil for never.
    var deadline: Instant? { get }
}
