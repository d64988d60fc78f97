package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"turbo/ckpt"
	"turbo/core"
	"turbo/plan"
	"turbo/server"
)

func newWhy() *cobra.Command {
	var f jobFlags
	var asJSON bool
	c := &cobra.Command{
		Use:   "why JOB|DIR",
		Short: "Say why results do not come",
		Long: "Asks a running job what stands in the way of its results: a split that holds back the watermark, rows that are late, a filter that drops everything. " +
			"A job that is not running is judged by its last checkpoint.\n\n" + jobOrDir,
		Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			dir, err := stateDir(c, &f, args[0])
			if err != nil {
				return err
			}
			ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
			defer cancel()
			now := time.Now()
			report, err := server.Status(ctx, dir)
			where := ""
			if errors.Is(err, server.ErrNotRunning) {
				m, err := newestManifest(dir)
				if err != nil {
					return failed(err)
				}
				if m == nil {
					return failed(fmt.Errorf("%s: the job is not running and has no complete checkpoint: there is nothing to judge by", dir))
				}
				report, now = pastReport(m, plannedTimes(c, &f, args[0])), m.Time
				where = fmt.Sprintf("is not running; at its last checkpoint, %d of %s", m.Checkpoint, m.Time.Local().Format(time.DateTime))
				if m.Finished {
					where = "has finished"
				}
			} else if err != nil {
				return failed(err)
			} else {
				where = fmt.Sprintf("is %s (process %d)", report.State, report.PID)
			}
			findings := server.Why(report, now)
			if asJSON {
				if findings == nil {
					findings = []server.Finding{}
				}
				return printJSON(c.OutOrStdout(), findings)
			}
			fmt.Fprintf(c.OutOrStdout(), "job %s %s\n", report.Job, where)
			printFindings(c.OutOrStdout(), findings)
			return nil
		},
	}
	f.add(c)
	c.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return c
}

func printFindings(w io.Writer, findings []server.Finding) {
	if len(findings) == 0 {
		fmt.Fprintln(w, "  nothing stands in the way of results")
	}
	for _, f := range findings {
		fmt.Fprintf(w, "  %s\n", f)
	}
}

// plannedTimes are the watermark settings of a job specification by source node; nil when arg is none.
func plannedTimes(c *cobra.Command, f *jobFlags, arg string) map[string]*plan.Watermark {
	j, err := f.load(c, arg)
	if err != nil {
		return nil // a directory or a name: the settings are not known
	}
	out := map[string]*plan.Watermark{}
	for _, s := range j.Plan.Sources() {
		out[s.ID] = s.Watermark
	}
	return out
}

// pastReport is a report of a job as its last checkpoint saw it.
func pastReport(m *ckpt.Manifest, marks map[string]*plan.Watermark) server.Report {
	r := server.Report{Job: m.Job, Parallelism: m.Parallelism, Finished: m.Finished}
	for _, t := range labelled(m) {
		k := t.Counters
		r.Nodes = append(r.Nodes, server.Node{Node: t.Operator, Label: t.label, In: k.In, Out: k.Out, Filtered: k.Filtered, Deduplicated: k.Deduplicated,
			Late: k.Late, NoTime: k.NoTime, Skipped: k.Skipped, DeadLettered: k.DeadLettered})
	}
	for _, s := range m.Sources {
		w, known := marks[s.Source]
		if known && w == nil {
			continue
		}
		x := server.SourceTimes{Node: s.Source}
		if w != nil {
			x.IdleTimeout, x.MaxDelay, x.MaxFutureSkew = w.IdleTimeout, w.MaxOutOfOrderness, w.MaxFutureSkew
		}
		newest := core.MinTime
		for _, p := range s.Splits {
			newest = max(newest, p.Watermark)
		}
		for _, p := range s.Splits {
			y := server.SplitTime{ID: p.ID, Idle: p.Idle, Ended: m.Finished}
			if p.Watermark != core.MinTime && p.Watermark != core.MaxTime {
				at := p.Watermark.Std()
				y.Watermark = &at
				y.Silent = newest.Std().Sub(at) // in event time: a checkpoint does not say when its rows came
			} else if newest != core.MinTime {
				y.Silent = time.Hour
			}
			x.Splits = append(x.Splits, y)
		}
		r.Sources = append(r.Sources, x)
	}
	return r
}
