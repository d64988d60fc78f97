package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"turbo/core/supervisor"
	"turbo/internal/spec"
	"turbo/io/print"
	"turbo/run"
)

func newRun() *cobra.Command {
	var f jobFlags
	var fresh bool
	var logFormat, logLevel, profileKind, metrics string
	c := &cobra.Command{
		Use:   "run JOB.yaml",
		Short: "Run a job, from its last checkpoint when it has one",
		Long: `Runs a job until its input ends, it is stopped, or it fails for good. A job with state goes on where its last complete checkpoint was.

The spec of a job with state may change: filters, expressions, new sources, streams and sinks. A log line and turbo explain say what has changed since
the state was written. New aggregates begin empty, new sinks with the rows after the checkpoint. What keeps state must stay, with the same keys, columns and
output; else the job is refused with the difference. The columns of a join are those that its readers read, so a stream that reads one more changes it.

The first SIGINT or SIGTERM takes a last checkpoint and stops; a second one ends the process at once, as a crash would.
Exit codes: 0 done, 1 the job failed, 2 usage or a mistake in the spec, 130 and 143 after SIGINT and SIGTERM.`,
		Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			j, err := f.load(c, args[0])
			if err != nil {
				return err
			}
			stop, err := startProfile(profileKind)
			if err != nil {
				return err
			}
			defer stop()
			line := newStatusLine(c.ErrOrStderr())
			print.Output = line.rows(print.Output)
			log, err := newLog(line, logFormat, logLevel)
			if err != nil {
				return err
			}
			p, err := run.New(j, run.Options{Fresh: fresh, Log: log})
			if err != nil {
				return misused(err)
			}
			return runJob(c, p, line, metrics)
		},
	}
	f.add(c)
	c.Flags().BoolVar(&fresh, "fresh", false, "forget the job's state and start again; file sinks replace their earlier output unless the spec sets existing")
	c.Flags().StringVar(&metrics, "metrics", "", "serve Prometheus metrics at ADDR/metrics, such as localhost:9464")
	c.Flags().StringVar(&profileKind, "profile", "", "write a profile to the current directory: cpu, mem, trace or block")
	c.Flags().StringVar(&logFormat, "log-format", "text", "text or json")
	c.Flags().StringVar(&logLevel, "log-level", "warn", "debug, info, warn or error")
	return c
}

// signalEcho is how soon a signal that follows another counts as the same one: who signals a process and then its group sends two.
const signalEcho = 100 * time.Millisecond

// runJob runs a prepared job with signals, status line, metrics and control socket, and prints its summary.
func runJob(c *cobra.Command, p *run.Process, line *statusLine, metrics string) error {
	ctx, cancel := context.WithCancelCause(context.Background())
	defer cancel(nil)
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	defer signal.Stop(signals)
	var got atomic.Int32
	go func() {
		var first time.Time
		for s := range signals {
			code := int32(exitSIGINT)
			if s == syscall.SIGTERM {
				code = exitTerm
			}
			if time.Since(first) < signalEcho {
				continue
			}
			first = time.Now()
			if !got.CompareAndSwap(0, code) {
				cancel(errors.New("stopped at once by a second signal; the next run goes on from the last complete checkpoint"))
				return
			}
			line.Note("stopping with a last checkpoint; another signal stops at once")
			p.Supervisor.Stop()
		}
	}()
	if p.Volatile {
		line.Note("checkpoint: off. Nothing is guaranteed: after a crash the job starts again from the beginning, and output may be missing or doubled")
	}
	closeMetrics, err := serveMetrics(metrics, p, line)
	if err != nil {
		return misused(err)
	}
	defer closeMetrics()
	finish := line.Follow(p)
	result, err := p.Run(ctx)
	finish()
	if mistakes := specMistakes(err); mistakes != nil { // what only a connector could check
		return specError(c.ErrOrStderr(), "the job spec", mistakes)
	}
	summary(c.ErrOrStderr(), p, result, err)
	code := int(got.Load())
	switch {
	case err != nil && code != 0 && (ctx.Err() != nil || errors.Is(err, supervisor.ErrStoppedWaiting) || errors.Is(err, supervisor.ErrStoppedStarting)): // at once, between two attempts, or before the first
		return &codeError{code, err}
	case err != nil:
		return failed(fmt.Errorf("job %s failed: %w", p.Job.Plan.Settings.Name, err))
	case code != 0:
		return &codeError{code, nil}
	}
	return nil
}

// specMistakes returns the mistakes in the spec that err is about, if it is about any.
func specMistakes(err error) spec.Errors {
	var list spec.Errors
	var one *spec.Error
	switch {
	case errors.As(err, &list):
		return list
	case errors.As(err, &one):
		return spec.Errors{one}
	}
	return nil
}

// asErrors is errors.As for a spec's list of mistakes.
func asErrors(err error, into *spec.Errors) bool { return errors.As(err, into) }
