import WaggleBase

/// Reads small documents from the web.
package enum HTTPFetch {
    /// Redirections that are followed.
    private static let redirections = 3

    /// The body at `url`, at most `limit` bytes. Throws for any other status than 200. Ends when the task is cancelled.
    package static func get(_ url: String, limit: Int, accept: String = "*/*", system: any System) async throws -> Bytes {
        var request = HTTPClientExchange.Request("GET", url)
        request.headers = [("Accept", accept)]
        request.redirects = redirections
        return try await system.home.run { [request] in
            try await HTTPClientExchange.send(request, system: system) { exchange in
                let head = try await exchange.head()
                guard head.status == 200 else { throw HTTPClientError.failed("the server answers with status \(head.status)") }
                var document: [UInt8] = []
                while let bytes = try await exchange.read() {
                    guard document.count + bytes.count <= limit else { throw HTTPClientError.failed("the document is longer than \(limit) bytes") }
                    document += bytes.array
                }
                return Bytes(document)
            }
        }
    }
}
