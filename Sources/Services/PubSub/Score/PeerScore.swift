import WaggleBase

/// What is counted of one peer in order to judge it.
struct PeerScore: Sendable {
    /// The counters of one topic.
    struct Topic: Sendable {
        let topic: Int
        var graftedAt: Instant?
        var firstDeliveries = 0.0
        var meshDeliveries = 0.0
        var isActive = false
        var meshFailure = 0.0
        var invalid = 0.0

        init(_ topic: Int) { self.topic = topic }

        func deficit(_ parameters: ScoreParameters.Topic) -> Double {
            guard isActive, meshDeliveries < parameters.meshDeliveriesThreshold else { return 0 }
            return parameters.meshDeliveriesThreshold - meshDeliveries
        }

        /// The weighted sum of P1 to P4.
        func value(_ parameters: ScoreParameters.Topic, at now: Instant) -> Double {
            var sum = 0.0
            if let graftedAt {
                let quantum = Double(max(parameters.timeInMeshQuantum.wholeNanoseconds, 1))
                let time = Double((now - graftedAt).wholeNanoseconds) / quantum
                sum += min(time, parameters.timeInMeshCap) * parameters.timeInMeshWeight
            }
            sum += firstDeliveries * parameters.firstDeliveriesWeight
            let missing = deficit(parameters)
            sum += missing * missing * parameters.meshDeliveriesWeight
            sum += meshFailure * parameters.meshFailureWeight
            sum += invalid * invalid * parameters.invalidWeight
            return sum * parameters.weight
        }
    }

    private(set) var topics: [Topic] = []
    var behaviour = 0.0
    var application = 0.0

    /// The counters of a topic; made when they are not there.
    subscript(topic: Int) -> Topic {
        get { topics.first { $0.topic == topic } ?? Topic(topic) }
        set {
            if let index = topics.firstIndex(where: { $0.topic == topic }) { topics[index] = newValue } else { topics.append(newValue) }
        }
    }

    mutating func forget(_ topic: Int) { topics.removeAll { $0.topic == topic } }

    /// Leaves every mesh.
    mutating func leaveMeshes() {
        for index in topics.indices {
            topics[index].graftedAt = nil
            topics[index].isActive = false
        }
    }

    /// The score without P6, which needs to know the others.
    func value(_ parameters: ScoreParameters, _ topicParameters: (Int) -> ScoreParameters.Topic?, at now: Instant) -> Double {
        var sum = 0.0
        for topic in topics {
            if let parameters = topicParameters(topic.topic) { sum += topic.value(parameters, at: now) }
        }
        if parameters.topicCap > 0 { sum = min(sum, parameters.topicCap) }
        sum += application * parameters.applicationWeight
        if behaviour > parameters.behaviourThreshold {
            let excess = behaviour - parameters.behaviourThreshold
            sum += excess * excess * parameters.behaviourWeight
        }
        return sum
    }

    /// One interval of decay.
    mutating func decay(_ parameters: ScoreParameters, _ topicParameters: (Int) -> ScoreParameters.Topic?, at now: Instant) {
        func decayed(_ value: Double, _ factor: Double) -> Double {
            let next = value * factor
            return next < parameters.decayToZero ? 0 : next
        }
        for index in topics.indices {
            guard let rule = topicParameters(topics[index].topic) else { continue }
            topics[index].firstDeliveries = decayed(topics[index].firstDeliveries, rule.firstDeliveriesDecay)
            topics[index].meshDeliveries = decayed(topics[index].meshDeliveries, rule.meshDeliveriesDecay)
            topics[index].meshFailure = decayed(topics[index].meshFailure, rule.meshFailureDecay)
            topics[index].invalid = decayed(topics[index].invalid, rule.invalidDecay)
            if let graftedAt = topics[index].graftedAt, now - graftedAt > rule.meshDeliveriesActivation { topics[index].isActive = true }
        }
        behaviour = decayed(behaviour, parameters.behaviourDecay)
    }
}
