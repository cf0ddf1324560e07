/// What the process takes of its computer.
public struct ProcessUsage: Sendable, Equatable {
    /// Bytes of memory that are resident.
    public var residentMemory: Int
    /// Bytes of address space.
    public var virtualMemory: Int
    /// Open file descriptors, and how many there may be.
    public var descriptors: Int
    public var descriptorLimit: Int
    /// Time on processors, of user and system together.
    public var processorTime: Duration

    public init(
        residentMemory: Int = 0, virtualMemory: Int = 0, descriptors: Int = 0, descriptorLimit: Int = 0, processorTime: Duration = .zero
    ) {
        self.residentMemory = residentMemory
        self.virtualMemory = virtualMemory
        self.descriptors = descriptors
        self.descriptorLimit = descriptorLimit
        self.processorTime = processorTime
    }
}
