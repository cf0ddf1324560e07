import CKernels

/// The sets of kernels this processor can run; tests run on each.
enum KernelLevel: Int32, CaseIterable, Sendable {
    case portable = 0, avx2, avx512

    static var available: [KernelLevel] {
        ck_limit_level(KernelLevel.avx512.rawValue)
        let most = ck_current_level()
        return allCases.filter { $0.rawValue <= most }
    }

    /// Holds the process to this level while `body` runs. Results never depend on the level, so tests beside this one do not mind.
    func held<R>(_ body: () throws -> R) rethrows -> R {
        ck_limit_level(rawValue)
        defer { ck_limit_level(KernelLevel.avx512.rawValue) }
        return try body()
    }
}
