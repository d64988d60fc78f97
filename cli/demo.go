package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/signal"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"turbo/core"
	"turbo/internal/devbroker"
	"turbo/internal/vfs"
	"turbo/io/ledger"
	"turbo/job"
	"turbo/memory"
)

func newDemo() *cobra.Command {
	d := demo{second: time.Second}
	c := &cobra.Command{
		Use:   "demo",
		Short: "Run the main job against an embedded broker, kill it, and prove that nothing is lost or doubled",
		Long: `Starts an embedded Kafka broker, produces seeded taxi rides, and runs a job in a process of its own that reads them, filters, and writes Parquet
files with a checkpoint every 250 ms. The process is killed with SIGKILL in the middle and started again. At the end the files are compared with the
broker, row by row. Nothing but this program is needed.`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
			defer stop()
			d.out, d.line = c.OutOrStdout(), newStatusLine(c.ErrOrStderr())
			if d.rows < endsBegin || d.kills < 0 || d.parallelism < 1 {
				return misused(fmt.Errorf("the demo needs --rows of at least %d, --kills of at least 0 and --parallelism of at least 1", endsBegin))
			}
			if err := d.run(ctx); err != nil {
				if ctx.Err() != nil {
					return &codeError{exitSIGINT, errors.New("the demo was stopped")}
				}
				return failed(err)
			}
			return nil
		},
	}
	c.Flags().StringVar(&d.dir, "dir", "", "work in this directory, which must be empty or missing, and leave it; default: a temporary one that is removed")
	c.Flags().Int64Var(&d.rows, "rows", 1_000_000, "rides to produce")
	c.Flags().IntVar(&d.kills, "kills", 1, "how often to kill the job")
	c.Flags().BoolVar(&d.keep, "keep", false, "keep the temporary directory")
	c.Flags().IntVarP(&d.parallelism, "parallelism", "p", min(runtime.NumCPU(), 4), "workers of the job")
	c.Flags().Lookup("parallelism").DefValue = "the number of CPUs, up to 4"
	c.AddCommand(newDemoTaxi())
	return c
}

// endsBegin is the number of rides from which on surely some pass the filter before the part that is held back.
const endsBegin = 20_000

type demo struct {
	dir         string
	rows        int64
	kills       int
	keep        bool
	parallelism int
	second      time.Duration // a second of the producer's pace

	out      io.Writer
	line     *statusLine
	paths    demoPaths
	rides    *rideProducer
	done     chan error // the producer's end
	peak     atomic.Int64
	first    time.Duration // from exec to the first file of the sink
	broker   *devbroker.Broker
	restarts int
	held     atomic.Bool // the last part of the rides is held back
}

// tell prints a line of the story.
func (d *demo) tell(format string, args ...any) {
	d.progress("")
	fmt.Fprintf(d.out, format+"\n", args...)
}

func (d *demo) progress(format string, args ...any) {
	if d.line.live {
		d.line.show(fmt.Sprintf(format, args...))
	}
}

func (d *demo) run(ctx context.Context) (err error) {
	began := time.Now()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	remove, err := d.prepare()
	if err != nil {
		return err
	}
	defer remove()
	defer d.progress("")
	config := devbroker.Config{Topics: []devbroker.Topic{{Name: demoTopic, Partitions: demoPartitions}}}
	if d.keep {
		config.Dir = d.paths.broker
	}
	if d.broker, err = devbroker.Start(config); err != nil {
		return err
	}
	defer d.broker.Close()
	d.rides = newRideProducer(d.rows)
	if err := d.paths.write(d.broker.Address(), d.parallelism, d.rides.per); err != nil {
		return err
	}
	d.tell("1. An embedded Kafka broker runs at %s, topic %s with %d partitions.", d.broker.Address(), demoTopic, demoPartitions)
	if err := d.produce(ctx); err != nil {
		return err
	}
	if err := d.work(ctx); err != nil {
		return err
	}
	if err := d.prove(ctx); err != nil {
		return err
	}
	d.figures(time.Since(began))
	return nil
}

// prepare makes the directory; remove takes it away at the end unless it is to stay.
func (d *demo) prepare() (remove func(), err error) {
	if d.dir == "" {
		if d.dir, err = os.MkdirTemp("", "turbo-demo-"); err != nil {
			return nil, err
		}
		if !d.keep {
			dir := d.dir
			remove = func() { _ = os.RemoveAll(dir) } // what stays is in the temporary directory
		}
	} else {
		d.keep = true
		if d.dir, err = filepath.Abs(d.dir); err != nil {
			return nil, err
		}
		if err := os.MkdirAll(d.dir, 0o755); err != nil {
			return nil, err
		}
		list, err := os.ReadDir(d.dir)
		if err != nil {
			return nil, err
		}
		if len(list) > 0 {
			return nil, misused(fmt.Errorf("%s is not empty: the demo needs a directory of its own", d.dir))
		}
	}
	d.paths = newDemoPaths(d.dir)
	if remove == nil {
		remove = func() {}
	}
	return remove, nil
}

// heldBack is the part of the rides that is produced only after the last kill, so that each kill comes with input left.
func (d *demo) heldBack() int64 {
	if d.kills == 0 {
		return 0
	}
	return d.rows / 5
}

// produce starts the producer. With a kill to come it is slowed down, or the job would be through before the first checkpoint; it is
// not when there is none. It returns when there is something to read.
func (d *demo) produce(ctx context.Context) error {
	began := time.Now()
	d.done = make(chan error, 1)
	go func() { d.done <- d.rides.run(ctx, d.broker.Address()) }()
	if d.kills == 0 {
		d.rides.allow(d.rows)
		if err := d.produced(ctx); err != nil {
			return err
		}
		took := time.Since(began).Seconds()
		d.tell("2. %s seeded taxi rides were produced as CSV in %.1f s (%s a second).", number(d.rows), took, count(float64(d.rows)/took))
		return nil
	}
	d.held.Store(true)
	start := d.rows / 20
	d.rides.allow(start)
	for d.rides.produced.Load() < start-demoPartitions*512 {
		select {
		case err := <-d.done:
			d.done <- err
			return err
		case <-time.After(time.Millisecond):
		}
	}
	go d.pace(ctx, start)
	d.tell("2. %s seeded taxi rides are being produced as CSV, slowed down to %s a second so that there is time for a kill; the last %s come only after it.",
		number(d.rows), number(int64(float64(d.rows)/d.span().Seconds())), number(d.heldBack()))
	return nil
}

// span is how long producing takes when it is slowed down.
func (d *demo) span() time.Duration { return d.second * time.Duration(3+d.kills) }

// pace lets the producer go on step by step.
func (d *demo) pace(ctx context.Context, start int64) {
	began, span := time.Now(), d.span()
	for allowed := start; allowed < d.rows && ctx.Err() == nil; time.Sleep(5 * time.Millisecond) {
		allowed = min(start+int64(float64(d.rows)*time.Since(began).Seconds()/span.Seconds()), d.rows)
		if d.held.Load() {
			allowed = min(allowed, d.rows-d.heldBack())
		}
		d.rides.allow(allowed)
	}
}

// produced waits for the producer's end.
func (d *demo) produced(ctx context.Context) error {
	for {
		select {
		case err := <-d.done:
			d.done <- err // it may be asked again
			return err
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(20 * time.Millisecond):
			d.progress("producing: %s of %s rides", number(d.rides.produced.Load()), number(d.rows))
		}
	}
}

// work runs the job, kills it as often as asked, and lets it come to its end.
func (d *demo) work(ctx context.Context) error {
	for n := 0; ; n++ {
		last := n == d.kills
		if last {
			d.held.Store(false)
		}
		p, err := startDemoProcess(d.paths.spec, &d.peak)
		if err != nil {
			return err
		}
		if n == 0 {
			d.tell("3. The job runs in a process of its own (pid %d): Kafka -> filter -> Parquet files, and a count per cell; a checkpoint every 250 ms.", p.command.Process.Pid)
		} else {
			d.restarts = n
			d.tell("   The job was started again (pid %d).", p.command.Process.Pid)
		}
		if last {
			return d.end(ctx, p)
		}
		if err := d.kill(ctx, p, n); err != nil {
			p.kill()
			return err
		}
	}
}

// kill waits until the job has committed and is well on its way, and kills it.
func (d *demo) kill(ctx context.Context, p *demoProcess, n int) error {
	before := d.state()
	goal := (d.rows - d.heldBack()) * int64(n+1) / int64(d.kills+1)
	var s *ledger.State
	for {
		d.look(p)
		if s = d.state(); s != nil && s.Last != nil && s.Balance.Read >= goal && s.Rows > 0 && (before == nil || before.Last == nil || s.Last.Checkpoint > before.Last.Checkpoint) {
			break
		}
		if !p.running() {
			return p.failure()
		}
		if time.Since(p.started) > 2*time.Minute {
			return errors.New("the job does not get on: two minutes without the checkpoint that was waited for")
		}
		if err := d.pause(ctx, "running", s); err != nil {
			return err
		}
	}
	if err := d.wait(ctx, p, 125*time.Millisecond); err != nil { // into the next checkpoint: work that is not committed yet must be there to be lost
		return err
	}
	p.kill()
	produced, after, hidden := d.rides.produced.Load(), d.state(), hiddenFiles(d.paths.out)
	d.tell("4. Kill -9 (%d of %d) %.1f s after its start, with %s of the rides produced. The newest checkpoint in the ledger was %d: %s read, %s visible in %s.",
		n+1, d.kills, time.Since(p.started).Seconds(), number(produced), after.Last.Checkpoint, many(after.Balance.Read, "ride"), many(after.Rows, "row"), many(int64(len(after.Visible)), "file"))
	if hidden > 0 {
		d.tell("   %s, invisible to readers, died with it: what the job had read since that checkpoint.", many(int64(hidden), "unfinished file"))
	}
	v := &verification{Dir: d.paths.out, out: io.Discard}
	if err := v.run(ctx, nil); err != nil {
		return err
	}
	if only := pendingOnly(v.Ledger.Problems); !only {
		return fmt.Errorf("what is visible after the kill is not what the ledger says: %v", v.Ledger.Problems)
	}
	d.tell("   The visible files were checked against the ledger: whole, unchanged, and nothing beside them.")
	return nil
}

// pendingOnly reports whether nothing worse was found than files whose rename the kill has prevented.
func pendingOnly(problems []ledger.Problem) bool {
	for _, p := range problems {
		if p.Kind != ledger.Pending {
			return false
		}
	}
	return true
}

// end waits for the job's end.
func (d *demo) end(ctx context.Context, p *demoProcess) error {
	for p.running() {
		d.look(p)
		if err := d.pause(ctx, "running", d.state()); err != nil {
			p.kill()
			return err
		}
	}
	if p.err != nil {
		return p.failure()
	}
	if err := <-d.done; err != nil {
		return err
	}
	s := d.state()
	if s == nil || s.Last == nil || !s.Last.Final {
		return fmt.Errorf("the job ended without a final checkpoint: %w", p.failure())
	}
	d.tell("5. The job ended by itself %.1f s after its start: %s read, %s written.", time.Since(p.started).Seconds(), many(s.Balance.Read, "ride"), many(s.Balance.Written, "row"))
	if d.kills > 0 {
		if from := restoredFrom.FindStringSubmatch(p.output.String()); from != nil {
			d.tell("   It had begun at checkpoint %s, removed the files that no checkpoint covered, and read again from the offsets of that checkpoint.", from[1])
		}
	}
	return nil
}

// restoredFrom is in the summary of a run that began at a checkpoint.
var restoredFrom = regexp.MustCompile(`began at checkpoint (\d+)`)

// wait lets the job run on for a while.
func (d *demo) wait(ctx context.Context, p *demoProcess, t time.Duration) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-p.ended:
		return p.failure()
	case <-time.After(t):
		return nil
	}
}

// look notes when the sink has begun its first file.
func (d *demo) look(p *demoProcess) {
	if d.restarts == 0 && d.first == 0 && hiddenFiles(d.paths.out) > 0 {
		d.first = time.Since(p.started)
	}
}

func (d *demo) pause(ctx context.Context, doing string, s *ledger.State) error {
	wait := 10 * time.Millisecond
	if d.first == 0 {
		wait = time.Millisecond
	}
	if s != nil && s.Last != nil {
		d.progress("%s: checkpoint %d, %s of %s rides read, %s rows visible", doing, s.Last.Checkpoint, number(s.Balance.Read), number(d.rows), number(s.Rows))
	}
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(wait):
		return nil
	}
}

// state is what the ledger adds up to now; nil while there is none. A line that is being written does not count.
func (d *demo) state() *ledger.State {
	s, err := ledger.Read(vfs.OS(), d.paths.out)
	if err != nil {
		return nil
	}
	return s
}

// hiddenFiles counts the files of a sink that are not visible yet.
func hiddenFiles(dir string) (n int) {
	_ = filepath.WalkDir(dir, func(_ string, e fs.DirEntry, err error) error {
		if err == nil && !e.IsDir() && strings.HasSuffix(e.Name(), ".turbo-open") {
			n++
		}
		return nil // what goes away meanwhile is no matter
	})
	return n
}

// prove verifies the files against the broker, and the totals against the files.
func (d *demo) prove(ctx context.Context) error {
	d.tell("6. turbo verify %s --source %s:", d.paths.out, d.paths.spec)
	j, err := job.Load(d.paths.spec, job.Options{})
	if err != nil {
		return err
	}
	d.progress("verifying")
	v := &verification{Dir: d.paths.out, out: &indent{w: d.out, clear: func() { d.progress("") }}}
	if err := v.run(ctx, j); err != nil {
		return err
	}
	switch {
	case v.Wrong > 0:
		return fmt.Errorf("the proof has failed: %d findings", v.Wrong)
	case v.Rows == nil || !v.Rows.ByOffset || v.Rows.Found != v.Rows.Expected || v.Ledger.Balance.Read != d.rows:
		return errors.New("the proof has failed: not all rows were compared")
	}
	counted, err := d.totals(ctx, j)
	if err != nil {
		return err
	}
	if counted != v.Rows.Found {
		return fmt.Errorf("the proof has failed: the counts per cell add up to %d, and the files have %d rows", counted, v.Rows.Found)
	}
	across := ""
	if d.kills > 0 {
		across = " across the kill"
	}
	d.tell("   The counts per cell, which lived in the job's state%s, add up to the same %s.", across, number(counted))
	d.tell("7. Proven: of %s produced, the %s that pass the filter are in the files, each exactly once; nothing is missing, nothing is twice.", many(d.rows, "ride"), number(v.Rows.Found))
	return nil
}

// totals adds up the last count of each cell in the changelog that the job's second sink has written.
func (d *demo) totals(ctx context.Context, j *job.Job) (int64, error) {
	report, err := ledger.Read(vfs.OS(), d.paths.totals)
	if err != nil {
		return 0, err
	}
	var schema *core.Schema
	for _, s := range j.Plan.Sinks {
		if s.Name == "totals" {
			schema = core.NewSchema(s.Schema.Fields...)
		}
	}
	newest := map[int32]int64{} // a count only grows
	pool := memory.NewPool(verifyMemory)
	for name := range report.Visible {
		err := readFile(ctx, pool, report.Header, filepath.Join(d.paths.totals, filepath.FromSlash(name)), schema, func(b *core.Batch) error {
			defer b.Release()
			cells, rides := b.Columns[0].Int32s(), b.Columns[1].Int64s()
			for i := range b.Rows() {
				at := b.Row(i)
				newest[cells[at]] = max(newest[cells[at]], rides[at])
			}
			return nil
		})
		if err != nil {
			return 0, err
		}
	}
	sum := int64(0)
	for _, n := range newest {
		sum += n
	}
	return sum, nil
}

// figures are the last lines.
func (d *demo) figures(took time.Duration) {
	text := fmt.Sprintf("   %.1f s in all", took.Seconds())
	if d.first > 0 {
		text += fmt.Sprintf("; %d ms from exec to the sink's first write", d.first.Milliseconds())
	}
	if peak := d.peak.Load(); peak > 0 {
		text += fmt.Sprintf("; the job's anonymous memory peaked at %s", size(peak))
	}
	d.tell("%s.", text)
	if d.keep {
		d.tell("   Everything is in %s. To look at it with the broker: turbo dev kafka --dir %s --port 0, then turbo verify %s --source %s.", d.dir, d.paths.broker, d.paths.out, d.paths.spec)
	}
}

// indent writes lines behind three blanks.
type indent struct {
	w     io.Writer
	clear func()
}

// Write implements io.Writer; fmt.Fprintf hands over whole lines.
func (i *indent) Write(p []byte) (int, error) {
	i.clear()
	_, err := fmt.Fprintf(i.w, "   %s", p)
	return len(p), err
}
