import WaggleFormats

extension JSON {
    package static func strings(_ values: some Sequence<String>) -> JSON { .array(values.map(JSON.string)) }

    /// The integer, where it fits.
    package var integer: Int64? { if case .integer(let value) = self { Int64(exactly: value) } else { nil } }
}
