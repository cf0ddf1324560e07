@main
struct Waggle {
    nonisolated static func main() {}
}
