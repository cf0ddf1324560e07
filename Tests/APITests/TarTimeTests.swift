import Testing

@testable import WaggleAPI

@Suite struct TarTimeTests {
    @Test(arguments: [
        (0, 1, "0.000000001"), (5, 0, "5"), (1_603_539_720, 54_321, "1603539720.000054321"), (-5, 0, "-5"), (-5, 54_321, "-4.999945679"),
        (-1, 500_000_000, "-0.500000000"), (Int64.min, 0, "-9223372036854775808"),
    ] as [(Int64, UInt32, String)]) func timesKeepTheirFractions(_ seconds: Int64, _ nanoseconds: UInt32, _ text: String) {
        let time = TarFormat.Metadata(seconds: seconds, nanoseconds: nanoseconds)
        #expect(time.decimal == text)
        var read = TarFormat.Metadata()
        let isTime = read.setTime(text)
        #expect(isTime)
        #expect(read == time)
    }

    @Test func otherFormsAreReadOrRefused() {
        func read(_ text: String) -> TarFormat.Metadata? {
            var time = TarFormat.Metadata()
            return time.setTime(text) ? time : nil
        }
        #expect(read("7.5") == TarFormat.Metadata(seconds: 7, nanoseconds: 500_000_000))
        #expect(read("7.1234567899") == TarFormat.Metadata(seconds: 7, nanoseconds: 123_456_789))
        #expect(read("7.") == TarFormat.Metadata(seconds: 7))
        for bad in ["", "x", "1.x", "1.2.3", "1.-5", "99999999999999999999", "-9223372036854775808.5", "1.\u{661}"] {
            #expect(read(bad) == nil, "\(bad)")
        }
    }
}
