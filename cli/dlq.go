package cli

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"turbo/io/ledger"
	"turbo/job"
	"turbo/plan/physical"
)

const dlqArgument = `JOB|DIR is a job spec, a directory of dead letters (of one source, or of a job), or the name of a job whose dead letters are in
./dead-letters.`

func newDLQ() *cobra.Command {
	c := &cobra.Command{
		Use:   "dlq",
		Short: "List dead letters, and feed corrected ones back",
		Long: `Records that "on-error: dead-letter" has set aside are in files of a directory for each source, with their bytes, their place and the error.
These commands read them, also while the job runs, up to its last checkpoint.`,
	}
	c.AddCommand(newDLQList(), newDLQReplay())
	return c
}

// letterBox is the directory of the dead letters of one source.
type letterBox struct {
	source string
	dir    string
}

// letterBoxes finds what JOB|DIR means. The job is nil unless a spec was given.
func letterBoxes(c *cobra.Command, f *jobFlags, arg string) ([]letterBox, *job.Job, error) {
	info, err := os.Stat(arg)
	if err == nil && !info.IsDir() {
		j, err := f.load(c, arg)
		if err != nil {
			return nil, nil, err
		}
		var boxes []letterBox
		for _, s := range j.Plan.Sources() {
			if s.HasDeadLetters() {
				boxes = append(boxes, letterBox{s.Name, physical.DeadLetterDir(j.Plan.Settings, s.Name)})
			}
		}
		if len(boxes) == 0 {
			return nil, nil, misused(fmt.Errorf("%s: no source has on-error: dead-letter, or a watermark with max-future-skew", arg))
		}
		return boxes, j, nil
	}
	dir := arg
	if err != nil {
		if !errors.Is(err, fs.ErrNotExist) {
			return nil, nil, misused(err)
		}
		dir = filepath.Join("dead-letters", arg)
	}
	if _, err := os.Stat(ledger.Path(dir)); err == nil {
		return []letterBox{{filepath.Base(dir), dir}}, nil, nil
	}
	var boxes []letterBox
	entries, err := os.ReadDir(dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, nil, misused(err)
	}
	for _, e := range entries {
		if box := filepath.Join(dir, e.Name()); e.IsDir() {
			if _, err := os.Stat(ledger.Path(box)); err == nil {
				boxes = append(boxes, letterBox{e.Name(), box})
			}
		}
	}
	if len(boxes) == 0 {
		return nil, nil, misused(fmt.Errorf("%s is no job spec, no directory of dead letters and no job with dead letters in ./dead-letters", arg))
	}
	return boxes, nil, nil
}

func newDLQList() *cobra.Command {
	var f jobFlags
	var asJSON, all bool
	c := &cobra.Command{
		Use:   "list JOB|DIR",
		Short: "List dead letters",
		Long: `Prints the dead letters that were not sent back yet: their id (SOURCE:SPLIT@POSITION), the error, and the value. With --json each is one line with
the fields id, error, time, state, key and value (key_base64 and value_base64 where the bytes are not UTF-8): correct the values in it and give
the file to "turbo dlq replay --corrected".

` + dlqArgument,
		Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			boxes, _, err := letterBoxes(c, &f, args[0])
			if err != nil {
				return err
			}
			out := c.OutOrStdout()
			encoder := json.NewEncoder(out)
			encoder.SetEscapeHTML(false)
			counts := map[string]int{}
			for _, box := range boxes {
				states, _, err := readReplays(box.dir)
				if err != nil {
					return failed(err)
				}
				err = letters(box.dir, func(l *letter) error {
					state := stateOf(states, l.id())
					counts[state]++
					if state == sent && !all {
						return nil
					}
					if asJSON {
						return encoder.Encode(listedLetter(l, state))
					}
					note := ""
					if state != waiting {
						note = " (" + state + ")"
					}
					_, err := fmt.Fprintf(out, "%s%s: %s\n  %s\n", l.id(), note, l.Error, shown(l.Value))
					return err
				})
				if err != nil {
					return failed(err)
				}
			}
			if !asJSON {
				fmt.Fprintf(out, "%d waiting, %d sent back", counts[waiting], counts[sent])
				if n := counts[sending]; n > 0 {
					fmt.Fprintf(out, ", %d in an interrupted replay: they may have arrived", n)
				}
				fmt.Fprintln(out)
			}
			return nil
		},
	}
	f.add(c)
	c.Flags().BoolVar(&asJSON, "json", false, "one JSON object a line, to be corrected")
	c.Flags().BoolVar(&all, "all", false, "also those that were sent back")
	return c
}

// shown renders a value on one line.
func shown(value []byte) string {
	const most = 200
	if value == nil {
		return "(no value)"
	}
	cut := ""
	if len(value) > most {
		cut = fmt.Sprintf("... (%d bytes)", len(value))
		value = value[:most]
	}
	quoted := strconv.Quote(string(value))
	if !strings.ContainsRune(quoted, '\\') {
		quoted = string(value)
	}
	return quoted + cut
}

func newDLQReplay() *cobra.Command {
	var f jobFlags
	var r replay
	c := &cobra.Command{
		Use:   "replay JOB|DIR",
		Short: "Feed dead letters back",
		Long: `Sends dead letters back to where the job reads: by default all that were not sent back yet, as they are (after a correction of the spec); with
--corrected FILE those that FILE has, with the values that it has (what "turbo dlq list --json" has printed, edited).

Records of a Kafka source are appended to the topic and partition that they came from, with their key, the time of now and the header
turbo-replay-of: TOPIC/PARTITION@OFFSET; this needs the job spec. With --to FILE the values are written into a new file instead, one a line; let
the job's file source find it, or run a job over it.

What was sent is remembered in the directory (_turbo/replay/log.jsonl) and not sent twice. Each letter is noted before it is sent and after it has
arrived: one for which the process ended in between may have arrived or not. It is then left out, and the command says so, until --again sends it
once more or --mark notes it as sent.

` + dlqArgument,
		Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			boxes, j, err := letterBoxes(c, &f, args[0])
			if err != nil {
				return err
			}
			r.job = j
			return r.run(c, boxes)
		},
	}
	f.add(c)
	c.Flags().StringVar(&r.corrected, "corrected", "", "file of corrected letters, as dlq list --json prints them")
	c.Flags().StringVar(&r.to, "to", "", "write the values into this new file instead of the topic")
	c.Flags().BoolVar(&r.again, "again", false, "also send those that were sent back, or may have been")
	c.Flags().BoolVar(&r.mark, "mark", false, "send nothing, only note the letters as sent")
	return c
}
