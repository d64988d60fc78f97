package cli

import (
	"fmt"
	"io"
	"strings"
	"time"

	"turbo/core"
	"turbo/core/supervisor"
	"turbo/internal/vfs"
	"turbo/io/ledger"
	"turbo/plan"
	"turbo/run"
)

// summary says how a job ended and what went through it. Totals are those of the job since it began, up to its last checkpoint: what came
// after that is not committed, and said so.
func summary(w io.Writer, p *run.Process, r supervisor.Result, err error) {
	st := p.Supervisor.Status()
	name := p.Job.Plan.Settings.Name
	took := time.Since(st.Since)
	switch {
	case err != nil && r.Checkpoint == 0 && len(r.Uncommitted) == 0: // nothing ran
		fmt.Fprintf(w, "job %s ended after %s\n", name, round(took))
		return
	case err != nil && r.Checkpoint > 0:
		fmt.Fprintf(w, "job %s ended after %s; the last complete checkpoint is %d, and up to there\n", name, round(took), r.Checkpoint)
	case err != nil:
		fmt.Fprintf(w, "job %s ended after %s; no checkpoint is complete, so nothing is committed\n", name, round(took))
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
	for _, n := range p.Job.Plan.Nodes() {
		c := totals[n.Common().ID]
		switch n := n.(type) {
		case *plan.Source:
			fmt.Fprintf(w, "  source %s: %d rows read%s\n", n.Name, c.In, drops(c))
		case *plan.Sink:
			fmt.Fprintf(w, "  sink %s: %d rows written%s\n", n.Name, c.Out, hidden(n, c.Out))
		default:
			if d := drops(c); d != "" {
				fmt.Fprintf(w, "  %s: %d rows%s\n", labelOf(n), c.In, d)
			}
		}
	}
	if r.Already {
		return
	}
	if read, written := uncommitted(p, r); read+written > 0 {
		fmt.Fprintf(w, "  not committed: %d rows read and %d written since; files do not show them, and the next run reads them again\n", read, written)
	}
	flow := flow(st)
	fmt.Fprintf(w, "  this run: %s rows/s read; %s, %d failed; %s", count(rate(flow.read, took)), many(st.Checkpoints.Completed, "checkpoint"), st.Checkpoints.Failed, many(int64(st.Restarts), "restart"))
	if r.Restored > 0 {
		fmt.Fprintf(w, "; began at checkpoint %d", r.Restored)
	}
	fmt.Fprintln(w)
}

// hidden says how many rows of a file sink are in files that are still open.
func hidden(n *plan.Sink, written int64) string {
	if n.Spec.Name != "file" {
		return ""
	}
	state, err := ledger.Read(vfs.OS(), n.Config.String("path"))
	if err != nil || state.Last == nil {
		return ""
	}
	rows := int64(0)
	for _, f := range state.Last.Open {
		rows += f.Rows
	}
	if rows == 0 {
		return ""
	}
	if rows >= written {
		return ", all of them to files that are still open, and hidden until they roll"
	}
	return fmt.Sprintf(", the last %d of them to files that are still open, and hidden until they roll", rows)
}

// uncommitted sums up what was read and written after the last checkpoint.
func uncommitted(p *run.Process, r supervisor.Result) (read, written int64) {
	of := map[string]core.Counters{}
	for _, c := range r.Uncommitted {
		of[c.Operator] = c.Counters
	}
	for _, n := range p.Job.Plan.Nodes() {
		switch n := n.(type) {
		case *plan.Source:
			read += of[n.ID].In
		case *plan.Sink:
			written += of[n.ID].Out
		}
	}
	return read, written
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

// labelOf is what status calls a node that is neither a source nor a sink.
func labelOf(n plan.Node) string {
	name := n.Common().Name
	switch n := n.(type) {
	case *plan.Aggregate:
		return "aggregate " + name
	case *plan.Deduplicate:
		return "deduplicate " + name
	case *plan.Operator:
		return n.Kind + " " + name
	}
	return "stream " + name
}
