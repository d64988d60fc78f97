package server

import (
	"net/http"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"turbo/core"
	"turbo/core/supervisor"
	"turbo/memory"
)

// Metrics returns a handler that serves a job's figures in Prometheus's text format. Each scrape reads the job's status.
func Metrics(s *supervisor.Supervisor, pool *memory.Pool) http.Handler {
	r := prometheus.NewRegistry()
	r.MustRegister(&collector{s, pool}, collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return promhttp.HandlerFor(r, promhttp.HandlerOpts{})
}

type collector struct {
	job  *supervisor.Supervisor
	pool *memory.Pool
}

func desc(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc("turbo_"+name, help, append([]string{"job"}, labels...), nil)
}

var (
	descRows        = desc("rows_total", "Rows by node since the attempt began, by what happened to them.", "node", "what")
	descWatermark   = desc("watermark_seconds", "Watermark of the node's input, in seconds since 1970.", "node")
	descLag         = desc("lag_records", "Records that are still to be read.")
	descRestarts    = desc("restarts_total", "Restarts of this run.")
	descUp          = desc("running", "1 while the job's workers run.")
	descCheckpoints = desc("checkpoints_total", "Checkpoints of the attempt, by result.", "result")
	descLast        = desc("checkpoint_last_id", "Id of the last complete checkpoint.")
	descTime        = desc("checkpoint_last_timestamp_seconds", "When the last complete checkpoint completed.")
	descTook        = desc("checkpoint_last_duration_seconds", "From the start of the last complete checkpoint to its commit.")
	descBytes       = desc("checkpoint_last_bytes", "Bytes of state pages that the last complete checkpoint wrote.")
	descState       = desc("state_bytes", "Bytes of all state pages of the last complete checkpoint.")
	descMemory      = desc("memory_bytes", "Bytes that an account of the memory budget uses.", "account")
	descLimit       = desc("memory_limit_bytes", "The limit of the memory budget.")
	descHeld        = desc("memory_held_bytes", "Bytes that the memory budget holds, free slabs included.")
)

// Describe implements prometheus.Collector. What connectors publish of themselves is known at a scrape only.
func (c *collector) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{descRows, descWatermark, descLag, descRestarts, descUp, descCheckpoints, descLast, descTime, descTook, descBytes,
		descState, descMemory, descLimit, descHeld} {
		ch <- d
	}
}

// Collect implements prometheus.Collector.
func (c *collector) Collect(ch chan<- prometheus.Metric) {
	st := c.job.Status()
	gauge := func(d *prometheus.Desc, v float64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, append([]string{st.Job}, labels...)...)
	}
	counter := func(d *prometheus.Desc, v int64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, float64(v), append([]string{st.Job}, labels...)...)
	}
	for _, n := range st.Nodes {
		for _, x := range []struct {
			what string
			n    int64
		}{{"in", n.Counters.In}, {"out", n.Counters.Out}, {"filtered", n.Counters.Filtered}, {"deduplicated", n.Counters.Deduplicated}, {"late", n.Counters.Late}, {"no_time", n.Counters.NoTime},
			{"skipped", n.Counters.Skipped}, {"dead_lettered", n.Counters.DeadLettered}, {"retries", n.Counters.Retries}} {
			counter(descRows, x.n, n.Node, x.what)
		}
		if n.Watermark > core.MinTime && n.Watermark < core.MaxTime {
			gauge(descWatermark, float64(n.Watermark)/1e6, n.Node)
		}
	}
	if st.LagKnown {
		gauge(descLag, float64(st.Lag))
	}
	up := 0.0
	if st.State == supervisor.Running || st.State == supervisor.Stopping {
		up = 1
	}
	gauge(descUp, up)
	counter(descRestarts, int64(st.Restarts))
	k := st.Checkpoints
	counter(descCheckpoints, k.Completed, "completed")
	counter(descCheckpoints, k.Failed, "failed")
	gauge(descLast, float64(k.Last))
	if !k.LastTime.IsZero() {
		gauge(descTime, float64(k.LastTime.UnixMicro())/1e6)
	}
	gauge(descTook, k.LastTook.Seconds())
	gauge(descBytes, float64(k.LastBytes))
	gauge(descState, float64(k.StateBytes))
	for _, a := range c.pool.Accounts() {
		gauge(descMemory, float64(a.Used()), a.Name())
	}
	for _, n := range c.job.ConnectorMetrics() {
		for _, m := range n.Metrics {
			names, values := []string{"node"}, []string{st.Job, n.Node}
			for _, l := range m.Labels {
				names, values = append(names, l.Name), append(values, l.Value)
			}
			kind := prometheus.GaugeValue
			if m.Counter {
				kind = prometheus.CounterValue
			}
			d := desc(m.Name, m.Help, names...)
			if x, err := prometheus.NewConstMetric(d, kind, m.Value, values...); err != nil {
				ch <- prometheus.NewInvalidMetric(d, err) // a connector's mistake, which the scrape shows
			} else {
				ch <- x
			}
		}
	}
	gauge(descLimit, float64(c.pool.Limit()))
	gauge(descHeld, float64(c.pool.Held()))
}
