import WaggleBase
import WaggleNetwork

/// What becomes of a proposal.
enum Treatment {
    /// The listener sees this name in its place.
    case forward(String)
    /// The dialer is told `na`, the listener hears nothing.
    case refuse
    /// The dialer is told `na` while the listener sees the proposal, and its answer disappears.
    case race
}

/// Plays the listener towards the dialer and the dialer towards the listener, as long as the channel is negotiated; then lets handshake
/// and records pass through `frames`.
final class NegotiationTampering: Tampering {
    private let treat: (String) -> Treatment
    private let frames: any FrameTampering
    private var fromDialer: [UInt8] = []
    private var fromListener: [UInt8] = []
    private var pending: (proposal: String, sent: String)?
    private var headerSeen = (dialer: false, listener: false)
    private var swallowed = 0
    private var isSpliced = false

    init(_ treat: @escaping (String) -> Treatment, _ frames: any FrameTampering = Untouched()) {
        self.treat = treat
        self.frames = frames
    }

    func begin() -> RelayOutput { RelayOutput(toListener: line("/multistream/1.0.0")) }

    func receive(_ bytes: [UInt8], fromDialer isDialer: Bool) -> RelayOutput {
        if isDialer { fromDialer += bytes } else { fromListener += bytes }
        var output = RelayOutput()
        var moved = true
        while moved, !isSpliced {
            moved = stepListener(&output)
            if stepDialer(&output) { moved = true }
        }
        if isSpliced { splice(&output) }
        return output
    }

    private func splice(_ output: inout RelayOutput) {
        if frames is Untouched {
            // As it comes: not every channel has frames like those of Noise.
            output.toListener += fromDialer
            output.toDialer += fromListener
            (fromDialer, fromListener) = ([], [])
            return
        }
        for isDialer in [true, false] {
            while let frame = isDialer ? takeFrame(&fromDialer) : takeFrame(&fromListener) {
                let (back, on) = frames.treat(frame, fromDialer: isDialer)
                output.toDialer += isDialer ? back : on
                output.toListener += isDialer ? on : back
            }
        }
    }

    /// A handshake message or record with its two bytes of length.
    private func takeFrame(_ buffer: inout [UInt8]) -> [UInt8]? {
        guard buffer.count >= 2 else { return nil }
        let length = 2 + Int(buffer[0]) << 8 + Int(buffer[1])
        guard buffer.count >= length else { return nil }
        defer { buffer.removeFirst(length) }
        return Array(buffer[..<length])
    }

    private func stepDialer(_ output: inout RelayOutput) -> Bool {
        guard !isSpliced, pending == nil, let text = takeLine(&fromDialer) else { return false }
        if !headerSeen.dialer {
            headerSeen.dialer = true
            output.toDialer += line(text)
            return true
        }
        switch treat(text) {
        case .forward(let name):
            pending = (text, name)
            output.toListener += line(name)
        case .refuse: output.toDialer += line("na")
        case .race:
            swallowed += 1
            output.toListener += line(text)
            output.toDialer += line("na")
        }
        return true
    }

    private func stepListener(_ output: inout RelayOutput) -> Bool {
        guard let text = takeLine(&fromListener) else { return false }
        if !headerSeen.listener {
            headerSeen.listener = true
        } else if swallowed > 0 {
            swallowed -= 1
        } else if let (proposal, sent) = pending {
            pending = nil
            output.toDialer += line(text == sent ? proposal : text)
            isSpliced = text == sent
        }
        return true
    }

    private func takeLine(_ buffer: inout [UInt8]) -> String? {
        guard let length = buffer.first.map(Int.init), (1..<128).contains(length), buffer.count > length else { return nil }
        defer { buffer.removeFirst(1 + length) }
        return String(decoding: buffer[1..<length], as: UTF8.self)
    }

    private func line(_ text: String) -> [UInt8] { [UInt8(text.utf8.count + 1)] + Array(text.utf8) + [0x0a] }
}

/// What the attacker does with handshake messages and records: what goes back to the sender, and what goes on.
protocol FrameTampering: AnyObject {
    func treat(_ frame: [UInt8], fromDialer: Bool) -> (back: [UInt8], on: [UInt8])
}

final class Untouched: FrameTampering {
    func treat(_ frame: [UInt8], fromDialer: Bool) -> (back: [UInt8], on: [UInt8]) { ([], frame) }
}

/// Does something to one frame of one side.
final class FrameAttack: FrameTampering, @unchecked Sendable {
    enum Kind: Hashable, Sendable, CaseIterable {
        case drop, duplicate, reflect, flipEarly, flipLate, swapWithNext, replayFirst
    }

    private let kind: Kind
    private let index: Int
    private let side: Bool
    private var counts = (dialer: 0, listener: 0)
    private var kept: [UInt8] = []

    /// Frames are counted from 0 for each side.
    init(_ kind: Kind, frame index: Int, ofDialer side: Bool) {
        self.kind = kind
        self.index = index
        self.side = side
    }

    func treat(_ frame: [UInt8], fromDialer: Bool) -> (back: [UInt8], on: [UInt8]) {
        let number = fromDialer ? counts.dialer : counts.listener
        if fromDialer { counts.dialer += 1 } else { counts.listener += 1 }
        guard fromDialer == side else { return ([], frame) }
        if number == 0, kind == .replayFirst { kept = frame }
        if number == index + 1, kind == .swapWithNext {
            defer { kept = [] }
            return ([], frame + kept)
        }
        guard number == index else { return ([], frame) }
        switch kind {
        case .drop: return ([], [])
        case .duplicate: return ([], frame + frame)
        case .reflect: return (frame, frame)
        case .flipEarly, .flipLate:
            var frame = frame
            frame[kind == .flipEarly ? 2 : frame.count - 20] ^= 1
            return ([], frame)
        case .swapWithNext:
            kept = frame
            return ([], [])
        case .replayFirst: return ([], kept)
        }
    }
}
