package task

import "turbo/core"

// NodeStats are the published figures of one node, summed over its instances.
type NodeStats struct {
	Node     string
	Label    string
	Inputs   []string // the nodes that it reads
	Counters core.Counters
	// Watermark is the least of its tasks' watermarks; core.MinTime when there is none yet.
	Watermark core.Time
	// Trouble is what keeps a source or a sink from its input or output; nil: nothing that it knows of.
	Trouble error
}

// Stats returns the published figures of every node in the graph's order. They are at most some tens of milliseconds old.
// Any goroutine may call it.
func (a *Attempt) Stats() []NodeStats {
	out := make([]NodeStats, len(a.graph.Nodes))
	index := map[string]int{}
	for i, n := range a.graph.Nodes {
		out[i] = NodeStats{Node: n.ID, Label: n.Label, Watermark: core.MaxTime}
		for _, in := range n.Inputs {
			out[i].Inputs = append(out[i].Inputs, in.From.ID)
		}
		if r, is := a.end(n).(core.TroubleReporter); is {
			out[i].Trouble = r.Trouble()
		}
		index[n.ID] = i
	}
	for _, t := range a.tasks {
		mark := core.Time(t.metrics.watermark.Load())
		for i := range t.metrics.nodes {
			s := &out[index[t.metrics.nodes[i].node]]
			s.Counters.Add(t.metrics.nodes[i].load())
			s.Watermark = min(s.Watermark, mark)
		}
	}
	return out
}

// NodeMetrics are the figures that the connector of a node publishes of itself.
type NodeMetrics struct {
	Node    string
	Metrics []core.Metric
}

// ConnectorMetrics returns what sources and sinks publish of themselves, in the graph's order. Any goroutine may call it.
func (a *Attempt) ConnectorMetrics() []NodeMetrics {
	var out []NodeMetrics
	for _, n := range a.graph.Nodes {
		if r, is := a.end(n).(core.MetricsReporter); is {
			out = append(out, NodeMetrics{n.ID, r.ReportMetrics()})
		}
	}
	return out
}

// end is the source or sink of a node, if it is one.
func (a *Attempt) end(n *Node) any {
	if n.Sink != nil {
		return a.sinks[n.ID]
	}
	return a.sources[n.ID]
}

// Lag returns the records that are still to be read, over the sources that know; ok is false when none does.
func (a *Attempt) Lag() (records int64, ok bool) {
	for _, s := range a.sources {
		if r, is := s.(core.LagReporter); is {
			if n, known := r.Lag(); known {
				records, ok = records+n, true
			}
		}
	}
	return records, ok
}
