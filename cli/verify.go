package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/signal"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"turbo/internal/vfs"
	"turbo/io/file"
	"turbo/io/kafka"
	"turbo/io/ledger"
	"turbo/job"
)

func newVerify() *cobra.Command {
	var f jobFlags
	var source string
	var asJSON bool
	c := &cobra.Command{
		Use:   "verify DIR",
		Short: "Check a file sink's directory against its delivery ledger, and against the broker with --source",
		Long: `Reads the delivery ledger of a directory that a file sink has written (DIR/_turbo/ledger.jsonl) and then every file, and says what was
checked and whether it holds: every delivered file is there with its bytes, checksum and rows; nothing else is visible; what was read equals
what was written, filtered and dropped; and the source ranges have no gap.

With --source JOB.yaml it reads the job's Kafka topics too: every offset in the ranges is on the broker, or is a gap that a log may have (compaction,
transaction markers, aborted transactions); and the rows that these records give by the job's filters and projections are compared with the rows
in the files, one by one when the offset (and the partition) are among the columns.

Exit codes: 0 everything holds, 1 something is wrong, 2 usage or a mistake in the spec.`,
		Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			var j *job.Job
			if source != "" {
				var err error
				if j, err = f.load(c, source); err != nil {
					return err
				}
			}
			ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
			defer stop()
			v := &verification{Dir: args[0], out: c.OutOrStdout()}
			if asJSON {
				v.out = io.Discard
			}
			if err := v.run(ctx, j); err != nil {
				return failed(err)
			}
			if asJSON {
				e := json.NewEncoder(c.OutOrStdout())
				e.SetIndent("", "  ")
				if err := e.Encode(v); err != nil {
					return failed(err)
				}
			}
			v.verdict()
			if v.Wrong > 0 {
				return &codeError{exitFailed, nil}
			}
			return nil
		},
	}
	f.add(c)
	c.Flags().StringVar(&source, "source", "", "the job spec: compare with its Kafka source too")
	c.Flags().BoolVar(&asJSON, "json", false, "print the whole result as JSON")
	return c
}

// verification is one check of a directory. Lines are printed as they are found.
type verification struct {
	Dir    string         `json:"dir"`
	OK     bool           `json:"ok"`
	Wrong  int            `json:"wrong"`
	Lines  []finding      `json:"lines"`
	Ledger *ledger.Report `json:"ledger,omitempty"`
	Broker []kafka.Audit  `json:"broker,omitempty"`
	Rows   *rowResult     `json:"rows,omitempty"`

	out io.Writer
}

// finding is one line. Kind is ok, WRONG or note: something that could not be checked, or that is good to know.
type finding struct {
	Kind string `json:"kind"`
	Text string `json:"text"`
}

// rowResult is the comparison of rows.
type rowResult struct {
	ByOffset  bool   `json:"by_offset"` // each row by itself; otherwise all together
	Expected  int64  `json:"expected"`  // rows that the broker's records give
	Found     int64  `json:"found"`     // rows in the files that were read
	Unchecked int64  `json:"unchecked"` // of them: their records are gone from the broker
	Missing   sample `json:"missing"`
	Doubled   sample `json:"doubled"`
	Altered   sample `json:"altered"`
	Strange   sample `json:"not_expected"`
	Outside   sample `json:"outside_ranges"`
}

func (v *verification) say(kind, format string, args ...any) {
	l := finding{kind, fmt.Sprintf(format, args...)}
	if kind == "WRONG" {
		v.Wrong++
	}
	v.Lines = append(v.Lines, l)
	fmt.Fprintf(v.out, "%-5s  %s\n", l.Kind, l.Text)
}

func (v *verification) ok(format string, args ...any)    { v.say("ok", format, args...) }
func (v *verification) wrong(format string, args ...any) { v.say("WRONG", format, args...) }
func (v *verification) note(format string, args ...any)  { v.say("note", format, args...) }

// run checks everything; j may be nil. An error means that it could not be checked.
func (v *verification) run(ctx context.Context, j *job.Job) error {
	r, err := file.Verify(vfs.OS(), v.Dir)
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%s has no delivery ledger (%s): no file sink of turbo has written here, or the ledger was removed", v.Dir, ledger.Path(v.Dir))
	}
	if err != nil {
		return err
	}
	v.Ledger = r
	fmt.Fprintf(v.out, "%s: written by job %s, sink %s, as %s; %s of %s in the ledger\n", v.Dir, r.Header.Job, r.Header.Sink, r.Header.Format, many(int64(r.Commits), "checkpoint"), many(int64(r.Runs), "run"))
	v.ledger(r)
	if j != nil {
		if err := v.source(ctx, j); err != nil {
			return err
		}
	}
	v.OK = v.Wrong == 0
	return nil
}

// ledger tells what the comparison of ledger and files has found.
func (v *verification) ledger(r *ledger.Report) {
	found := map[ledger.ProblemKind]int{}
	for _, p := range r.Problems {
		found[p.Kind]++
		v.wrong("%s", p)
	}
	if r.Files == 0 && len(r.Problems) == 0 {
		v.note("no file is visible yet")
	} else if found[ledger.Missing]+found[ledger.Changed]+found[ledger.Rows]+found[ledger.Pending] == 0 {
		v.ok("every delivered file is there with its bytes, checksum and rows: %s, %s, %s", many(int64(r.Files), "file"), many(r.Rows, "row"), size(r.Bytes))
	}
	if found[ledger.Extra] == 0 {
		v.ok("no visible file that no checkpoint has delivered")
	}
	if b := r.Balance; b != nil && found[ledger.Unbalanced] == 0 {
		text := fmt.Sprintf("%s read = %s written", number(b.Read), number(b.Written))
		for _, x := range []struct {
			n    int64
			what string
		}{{b.Filtered, "filtered"}, {b.Deduplicated, "deduplicated"}, {b.DeadLettered, "dead-lettered"}, {b.Skipped, "skipped"}, {b.Late, "late"}} {
			if x.n > 0 {
				text += fmt.Sprintf(" + %s %s", number(x.n), x.what)
			}
		}
		v.ok("the balance holds at every checkpoint, and the files have what was written: %s", text)
	}
	if r.Balance == nil && r.Commits > 0 {
		v.note("there is no balance of rows: rows out of this job are not rows in (an aggregate, or two ways to the sink)")
	}
	if found[ledger.Gap] == 0 && len(r.Sources) > 0 {
		v.ok("each source range begins where the one of the checkpoint before ended: %s", many(int64(len(r.Sources)), "split"))
	}
	if r.OpenFiles > 0 {
		v.note("%s in %s still open: durable, and visible after a later checkpoint", many(r.OpenRows, "row"), many(int64(r.OpenFiles), "file"))
	}
	switch {
	case r.Commits == 0:
		v.note("no checkpoint is in the ledger yet: nothing was delivered by the newest run")
	case !r.Final:
		v.note("the job has not ended: the newest checkpoint is %d", r.Checkpoint)
	}
	if r.Withdrawals > 0 {
		v.note("%s of the ledger was withdrawn in a recovery and delivered again", many(int64(r.Withdrawals), "end"))
	}
	if r.Torn > 0 {
		v.note("the ledger's last entry was being written when the job stopped (%s); the job cuts it off when it starts again", size(r.Torn))
	}
}

// verdict is the last line.
func (v *verification) verdict() {
	switch {
	case v.Wrong > 0:
		fmt.Fprintf(v.out, "%s: %s wrong\n", v.Dir, map[bool]string{true: "1 thing is", false: strconv.Itoa(v.Wrong) + " things are"}[v.Wrong == 1])
	case v.Broker != nil:
		fmt.Fprintf(v.out, "%s: everything that was checked holds, in the files and against the broker\n", v.Dir)
	default:
		fmt.Fprintf(v.out, "%s: everything that was checked holds; with --source JOB.yaml the broker is compared too\n", v.Dir)
	}
}

// number renders a count with thousands separated.
func number(n int64) string {
	s := strconv.FormatInt(n, 10)
	for i := len(s) - 3; i > 0 && s[i-1] != '-'; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}

// many is a number of things.
func many(n int64, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return number(n) + " " + strings.TrimSuffix(what, "s") + "s"
}
