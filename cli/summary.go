package cli

import (
	"fmt"
	"io"
	"strings"
	"time"

	"turbo/core"
	"turbo/core/supervisor"
	"turbo/plan"
	"turbo/run"
)

// summary says how a job ended and what went through it. Totals are those of the job since it began, up to its last checkpoint; after
// a failure they are those of the last attempt.
func summary(w io.Writer, p *run.Process, r supervisor.Result, err error) {
	st := p.Supervisor.Status()
	name := p.Job.Plan.Settings.Name
	took := time.Since(st.Since)
	switch {
	case err != nil:
		fmt.Fprintf(w, "job %s ended after %s\n", name, round(took))
	case r.Already:
		fmt.Fprintf(w, "job %s has finished before: its input was read to the end (checkpoint %d in %s). Use --fresh to run it again\n", name, r.Checkpoint, p.StateDir)
	case r.Finished:
		fmt.Fprintf(w, "job %s finished in %s\n", name, round(took))
	default:
		fmt.Fprintf(w, "job %s stopped after %s at checkpoint %d; run it again and it goes on from there\n", name, round(took), r.Checkpoint)
	}
	totals := map[string]core.Counters{}
	for _, t := range r.Totals {
		totals[t.Operator] = t.Counters
	}
	if len(totals) == 0 {
		for _, n := range st.Nodes {
			totals[n.Node] = n.Counters
		}
	}
	for _, n := range p.Job.Plan.Nodes() {
		c := totals[n.Common().ID]
		switch n := n.(type) {
		case *plan.Source:
			fmt.Fprintf(w, "  source %s: %d rows read%s\n", n.Name, c.In, drops(c))
		case *plan.Sink:
			fmt.Fprintf(w, "  sink %s: %d rows written\n", n.Name, c.Out)
		default:
			if d := drops(c); d != "" {
				fmt.Fprintf(w, "  %s: %d rows%s\n", n.Common().ID, c.In, d)
			}
		}
	}
	if r.Already {
		return
	}
	flow := flow(st)
	fmt.Fprintf(w, "  this run: %s rows/s read; %d checkpoints, %d failed; %d restarts", count(rate(flow.read, took)), st.Checkpoints.Completed, st.Checkpoints.Failed, st.Restarts)
	if r.Restored > 0 {
		fmt.Fprintf(w, "; began at checkpoint %d", r.Restored)
	}
	fmt.Fprintln(w)
}

// drops lists what did not go on, where there is any.
func drops(c core.Counters) string {
	var parts []string
	for _, x := range []struct {
		n    int64
		what string
	}{{c.Filtered, "filtered"}, {c.Deduplicated, "deduplicated"}, {c.Late, "late"}, {c.NoTime, "without event time"}, {c.Skipped, "skipped"}, {c.DeadLettered, "dead-lettered"}} {
		if x.n > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", x.n, x.what))
		}
	}
	if len(parts) == 0 {
		return ""
	}
	return ", " + strings.Join(parts, ", ")
}

func round(d time.Duration) time.Duration {
	if d > 10*time.Second {
		return d.Round(100 * time.Millisecond)
	}
	return d.Round(time.Millisecond)
}
