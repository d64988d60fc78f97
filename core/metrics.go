package core

// Metric is one figure that a connector publishes of itself, besides the counters that the engine keeps for every node.
type Metric struct {
	// Name begins with the connector's name and, as is usual in Prometheus, ends with the unit, and with "_total" when it is a counter:
	// kafka_read_bytes_total. It is served with "turbo_" before it.
	Name string
	// Help is one sentence. It is the same for all metrics of a name.
	Help string
	// Labels go with the labels job and node. All metrics of a name have the same ones, in the same order.
	Labels []MetricLabel
	// Counter says that the value only grows while the process runs its current attempt; otherwise it is a gauge.
	Counter bool
	Value   float64
}

// TroubleReporter is a source or sink that knows what keeps it from its input or output now: an error that says since when, or nil. Trouble is called by any
// goroutine at any time after New; it does not block.
type TroubleReporter interface {
	Trouble() error
}

// MetricLabel tells metrics of the same name apart, such as the partitions of a topic.
type MetricLabel struct{ Name, Value string }

// MetricsReporter is a source or sink that publishes figures of its own. ReportMetrics is called by any goroutine at any time after New,
// also while Open or Close runs; it does not block.
type MetricsReporter interface {
	ReportMetrics() []Metric
}
