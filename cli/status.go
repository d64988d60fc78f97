package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"turbo/ckpt"
	"turbo/internal/vfs"
	"turbo/plan"
	"turbo/run"
	"turbo/server"
)

// stateDir finds the state directory that JOB|DIR means: a job spec, a directory, or the name of a job in ./.turbo.
func stateDir(c *cobra.Command, f *jobFlags, arg string) (string, error) {
	info, err := os.Stat(arg)
	here := err == nil && info.IsDir()
	if err == nil && !here {
		j, err := f.load(c, arg)
		if err != nil {
			return "", err
		}
		return run.StateDir(j.Plan.Settings), nil
	}
	if here && isStateDir(arg) {
		return arg, nil
	}
	named := filepath.Join(".turbo", arg)
	if info, err := os.Stat(named); err == nil && info.IsDir() && filepath.Base(arg) == arg && filepath.IsLocal(arg) && arg != "." {
		return named, nil
	}
	if here {
		return "", misused(fmt.Errorf("the directory %s is not the state directory of a job, and no job in ./.turbo has this name", arg))
	}
	return "", misused(fmt.Errorf("%s is no job spec, no state directory and no job in ./.turbo", arg))
}

// isStateDir reports whether a job has begun to keep its state in a directory.
func isStateDir(dir string) bool {
	for _, pattern := range []string{server.SocketName, server.SocketPathName, "run", "manifest-*"} {
		if found, err := filepath.Glob(filepath.Join(quoteGlob(dir), pattern)); err == nil && len(found) > 0 {
			return true
		}
	}
	return false
}

// quoteGlob makes a path a pattern that matches only itself.
func quoteGlob(path string) string {
	return strings.NewReplacer(`\`, `\\`, `*`, `\*`, `?`, `\?`, `[`, `\[`).Replace(path)
}

// jobOrDir explains the argument of commands that work on state.
const jobOrDir = `JOB|DIR is a job spec, a state directory, or the name of a job whose state is in ./.turbo.`

func newStatus() *cobra.Command {
	var f jobFlags
	var asJSON bool
	c := &cobra.Command{
		Use:   "status JOB|DIR",
		Short: "Show what a job is doing, or where it stands when it is not running",
		Long:  "Asks the job over the control socket in its state directory. A job that is not running is shown by its last checkpoint.\n\n" + jobOrDir,
		Args:  cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			dir, err := stateDir(c, &f, args[0])
			if err != nil {
				return err
			}
			ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
			defer cancel()
			report, err := server.Status(ctx, dir)
			switch {
			case err == nil && asJSON:
				return printJSON(c.OutOrStdout(), report)
			case err == nil:
				printReport(c.OutOrStdout(), report)
				return nil
			case !errors.Is(err, server.ErrNotRunning):
				return failed(err)
			}
			m, err := newestManifest(dir)
			if err != nil {
				return failed(err)
			}
			if asJSON {
				return printJSON(c.OutOrStdout(), standing(dir, m))
			}
			printStanding(c.OutOrStdout(), dir, m)
			if m != nil {
				printWhy(c.OutOrStdout(), server.Why(pastReport(m, plannedTimes(c, &f, args[0])), m.Time))
			}
			return nil
		},
	}
	f.add(c)
	c.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return c
}

func newStop() *cobra.Command {
	var f jobFlags
	var timeout time.Duration
	c := &cobra.Command{
		Use:   "stop JOB|DIR",
		Short: "Stop a running job with a last checkpoint",
		Long:  "Asks a running job for a last checkpoint and waits for its end. The next run goes on from there.\n\n" + jobOrDir,
		Args:  cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			dir, err := stateDir(c, &f, args[0])
			if err != nil {
				return err
			}
			ctx, cancel := context.WithTimeout(context.Background(), timeout)
			defer cancel()
			report, err := server.Status(ctx, dir)
			if err == nil {
				err = server.Stop(ctx, dir)
			}
			if errors.Is(err, context.DeadlineExceeded) {
				return failed(fmt.Errorf("%s: the job has not answered within %v; it may have been asked to stop, or not: see turbo status", dir, timeout))
			}
			if err != nil {
				return failed(fmt.Errorf("%s: %w", dir, err))
			}
			for {
				now, err := server.Status(ctx, dir)
				if errors.Is(err, server.ErrNotRunning) || err == nil && now.PID != report.PID {
					break
				}
				if ctx.Err() != nil {
					return failed(fmt.Errorf("job %s (process %d) has not ended within %v; it was asked and may still do so", report.Job, report.PID, timeout))
				}
				if err != nil {
					return failed(err)
				}
				time.Sleep(20 * time.Millisecond)
			}
			m, err := newestManifest(dir)
			if err != nil {
				return failed(err)
			}
			fmt.Fprintf(c.OutOrStdout(), "job %s (process %d) has ended\n", report.Job, report.PID)
			printStanding(c.OutOrStdout(), dir, m)
			return nil
		},
	}
	f.add(c)
	c.Flags().DurationVar(&timeout, "timeout", time.Minute, "how long to wait for the job's end")
	return c
}

// newestManifest is the last complete checkpoint of a state directory; nil when there is none.
func newestManifest(dir string) (*ckpt.Manifest, error) {
	m, err := ckpt.NewManifests(vfs.OS(), dir).Newest()
	if errors.Is(err, ckpt.ErrNoManifest) {
		return nil, nil
	}
	return m, err
}

func printReport(w io.Writer, r server.Report) {
	fmt.Fprintf(w, "job %s is %s (process %d, %d workers, since %s)\n", r.Job, r.State, r.PID, r.Parallelism, r.Since.Local().Format(time.DateTime))
	if r.Restarts > 0 {
		fmt.Fprintf(w, "  restarts %d; the last failure: %s\n", r.Restarts, r.LastError)
	}
	k := r.Checkpoints
	if k.LastTime != nil {
		fmt.Fprintf(w, "  checkpoint %d at %s took %d ms and wrote %s; state %s\n", k.Last, k.LastTime.Local().Format(time.DateTime), k.LastMillis, size(k.LastBytes), size(k.StateBytes))
	} else {
		fmt.Fprintln(w, "  no checkpoint of this attempt yet")
	}
	fmt.Fprintf(w, "  checkpoints completed %d, failed %d\n", k.Completed, k.Failed)
	if r.Lag != nil {
		fmt.Fprintf(w, "  lag %d records\n", *r.Lag)
	}
	fmt.Fprintf(w, "  memory %s of %s\n", size(r.Memory.Used), size(r.Memory.Limit))
	for _, n := range r.Nodes {
		fmt.Fprintf(w, "  %s: in %d, out %d", n.Label, n.In, n.Out)
		for _, x := range []struct {
			n    int64
			what string
		}{{n.Filtered, "filtered"}, {n.Deduplicated, "deduplicated"}, {n.Late, "late"}, {n.NoTime, "without event time"}, {n.Skipped, "skipped"}, {n.DeadLettered, "dead-lettered"}} {
			if x.n > 0 {
				fmt.Fprintf(w, ", %d %s", x.n, x.what)
			}
		}
		if n.Watermark != nil {
			fmt.Fprintf(w, ", watermark %s", n.Watermark.Format(time.RFC3339Nano))
		}
		fmt.Fprintln(w)
	}
	printWhy(w, server.Why(r, time.Now()))
}

// printWhy is the line of the status that says what stands in the way of results.
func printWhy(w io.Writer, why []server.Finding) {
	if len(why) > 0 {
		fmt.Fprintf(w, "  why: %s\n", why[0])
	}
	if len(why) > 1 {
		fmt.Fprintf(w, "       and %d more (turbo why)\n", len(why)-1)
	}
}

func printStanding(w io.Writer, dir string, m *ckpt.Manifest) {
	if m == nil {
		fmt.Fprintf(w, "%s: the job is not running and has no complete checkpoint\n", dir)
		return
	}
	state := "is not running; the next run goes on from its last checkpoint"
	if m.Finished {
		state = "has finished: its input was read to the end"
	}
	fmt.Fprintf(w, "job %s %s\n  checkpoint %d at %s, parallelism %d, state %s\n", m.Job, state, m.Checkpoint, m.Time.Local().Format(time.DateTime), m.Parallelism, size(m.Store.Bytes))
	for _, t := range labelled(m) {
		if c := t.Counters; t.part || drops(c) != "" {
			fmt.Fprintf(w, "  %s: in %d, out %d%s\n", t.label, c.In, c.Out, drops(c))
		}
	}
}

// total is what a manifest counts of an operator, with the label that the running job has for it.
type total struct {
	ckpt.OperatorCounters
	label string
	part  bool // of the signature: neither an exchange nor a calculation
	rank  int
}

// labelled returns the totals of a manifest in the order of its plan, which the signature knows.
func labelled(m *ckpt.Manifest) []total {
	var signature plan.Signature
	if json.Unmarshal(m.Plan.Signature, &signature) != nil {
		signature = plan.Signature{}
	}
	sinks := max(slices.IndexFunc(signature.Parts, func(p plan.SignaturePart) bool { return p.Kind == "sink" }), 0)
	out := make([]total, len(m.Totals))
	for i, t := range m.Totals {
		stream, _, _ := strings.Cut(t.Operator, "/")
		out[i] = total{OperatorCounters: t, label: "stream " + stream, rank: 2 * sinks}
		if strings.HasSuffix(t.Operator, "/exchange") {
			out[i].label = "exchange " + t.Operator
		}
		for n, p := range signature.Parts {
			of, _, _ := strings.Cut(p.ID, "/")
			if of == stream && out[i].rank == 2*sinks {
				out[i].rank = 2 * n // what comes before it: calculations, exchanges
			}
			if p.ID == t.Operator {
				out[i].label, out[i].part, out[i].rank = p.Kind+" "+of, true, 2*n+1
				break
			}
		}
	}
	if len(signature.Parts) == 0 { // then operators go by their identifiers
		for i, t := range m.Totals {
			out[i].label, out[i].part = t.Operator, true
		}
	}
	slices.SortStableFunc(out, func(a, b total) int { return a.rank - b.rank })
	return out
}

// standingReport is `status --json` of a job that is not running.
type standingReport struct {
	Job        string     `json:"job,omitempty"`
	State      string     `json:"state"` // "not running" or "finished"
	Dir        string     `json:"dir"`
	Checkpoint uint64     `json:"checkpoint,omitempty"`
	Time       *time.Time `json:"time,omitempty"`
}

func standing(dir string, m *ckpt.Manifest) standingReport {
	r := standingReport{State: "not running", Dir: dir}
	if m != nil {
		r.Job, r.Checkpoint, r.Time = m.Job, m.Checkpoint, &m.Time
		if m.Finished {
			r.State = "finished"
		}
	}
	return r
}

func printJSON(w io.Writer, v any) error {
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	return e.Encode(v)
}
