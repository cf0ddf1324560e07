import CLinux
import Glibc
import WaggleBase

/// What the kernel tells of this process.
enum LinuxProcess {
    /// Bytes of address space, and how many of them are resident.
    static var memory: (size: Int, resident: Int) {
        let descriptor = clinux_open("/proc/self/statm", O_RDONLY, 0)
        guard descriptor >= 0 else { return (0, 0) }
        defer { close(descriptor) }
        var buffer = [UInt8](repeating: 0, count: 128)
        let count = read(descriptor, &buffer, buffer.count)
        let fields = String(decoding: buffer.prefix(max(0, count)), as: UTF8.self).split(separator: " ")
        guard fields.count > 1, let size = Int(fields[0]), let resident = Int(fields[1]) else { return (0, 0) }
        let page = sysconf(Int32(_SC_PAGESIZE))
        return (size * page, resident * page)
    }

    static var usage: ProcessUsage {
        let memory = memory
        var time = timespec()
        clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time)
        var limit = rlimit()
        getrlimit(__rlimit_resource_t(UInt32(RLIMIT_NOFILE.rawValue)), &limit)
        return ProcessUsage(
            residentMemory: memory.resident, virtualMemory: memory.size, descriptors: descriptors, descriptorLimit: Int(clamping: limit.rlim_cur),
            processorTime: .seconds(Int64(time.tv_sec)) + .nanoseconds(Int64(time.tv_nsec)))
    }

    /// Open descriptors, without the one that counts them.
    private static var descriptors: Int {
        guard let folder = opendir("/proc/self/fd") else { return 0 }
        defer { closedir(folder) }
        var count = -3  // ".", ".." and this folder itself.
        while readdir(folder) != nil { count += 1 }
        return max(0, count)
    }
}
