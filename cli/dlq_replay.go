package cli

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"os/signal"
	"path/filepath"

	"github.com/spf13/cobra"

	"turbo/internal/clock"
	"turbo/internal/vfs"
	"turbo/io/connector"
	"turbo/io/kafka"
	"turbo/job"
	"turbo/memory"
	"turbo/plan/physical"
)

// replay is one `turbo dlq replay`.
type replay struct {
	corrected string
	to        string
	again     bool
	mark      bool
	job       *job.Job // nil: only a directory was given

	changes map[string]*listed // by id; nil: all letters as they are
}

// replayBatch is how many letters are noted and sent at a time.
const replayBatch = 500

// outcome counts letters.
type outcome struct{ sent, before, unsure, failed, rendered int }

func (r *replay) run(c *cobra.Command, boxes []letterBox) (err error) {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if r.corrected != "" {
		if r.changes, err = readCorrected(r.corrected); err != nil {
			return misused(err)
		}
	}
	if r.to != "" && len(boxes) > 1 {
		return misused(fmt.Errorf("--to takes the letters of one source: give the directory of one of the %d", len(boxes)))
	}
	var o outcome
	found := map[string]bool{}
	for _, box := range boxes {
		if err := r.box(ctx, box, &o, found); err != nil {
			return err
		}
	}
	word := "sent back"
	if r.mark {
		word = "noted as sent"
	}
	fmt.Fprintf(c.OutOrStdout(), "%d %s", o.sent, word)
	if o.before > 0 {
		fmt.Fprintf(c.OutOrStdout(), ", %d left out: they were sent back before", o.before)
	}
	fmt.Fprintln(c.OutOrStdout())
	for id := range r.changes {
		if !found[id] {
			return failed(fmt.Errorf("%s: there is no dead letter %s", r.corrected, id))
		}
	}
	switch {
	case o.rendered > 0:
		return failed(fmt.Errorf("%d left out: max-future-skew has set rows aside as JSON, which the source does not read. Correct their times and write them as the source reads them (turbo dlq list --json, then --corrected), or take them with --to", o.rendered))
	case o.failed > 0:
		return failed(fmt.Errorf("%d letters could not be sent", o.failed))
	case o.unsure > 0:
		return failed(fmt.Errorf("%d letters were left out: an earlier replay was interrupted, and they may have arrived. Look for them where they were sent (in Kafka the header %s has their place), then use --again to send them once more or --mark to note them as sent", o.unsure, kafka.ReplayHeader))
	}
	return nil
}

// box replays the letters of one source.
func (r *replay) box(ctx context.Context, box letterBox, o *outcome, found map[string]bool) error {
	log, err := openReplayLog(box.dir)
	if err != nil {
		return failed(err)
	}
	defer log.Close()
	send, finish, err := r.target(ctx, box, log)
	if err != nil {
		return err
	}
	rendered := r.rendered(box.source)
	var batch []*letter
	flush := func() error {
		if len(batch) == 0 {
			return nil
		}
		ids := make([]string, len(batch))
		for i, l := range batch {
			ids[i] = l.id()
		}
		if r.mark {
			o.sent += len(batch)
			batch = batch[:0]
			return log.note(sent, "", ids...)
		}
		if err := log.note(sending, r.destination(box), ids...); err != nil {
			return err
		}
		n, err := send(batch)
		o.sent += n
		o.failed += len(batch) - n
		batch = batch[:0]
		return err
	}
	err = letters(box.dir, func(l *letter) error {
		id := l.id()
		if r.changes != nil {
			x := r.changes[id]
			if x == nil {
				return nil
			}
			found[id] = true
			l.Value = x.value()
		} else if rendered {
			if l.Position < 0 && stateOf(log.states, id) == waiting {
				o.rendered++
				return nil
			}
		}
		switch state := stateOf(log.states, id); {
		case state == sent && !r.again:
			o.before++
			return nil
		case state == sending && !r.again && !r.mark:
			o.unsure++
			return nil
		}
		copied := *l
		if batch = append(batch, &copied); len(batch) == replayBatch {
			return flush()
		}
		return nil
	})
	if err == nil {
		err = flush()
	}
	if err == nil && o.failed == 0 {
		err = finish(true)
	} else {
		err = errors.Join(err, finish(false))
	}
	if err != nil {
		return failed(err)
	}
	return nil
}

// rendered reports whether what turbo itself has set aside (rows from the future, with positions below zero) is JSON, and goes back to a source that reads something else.
func (r *replay) rendered(source string) bool {
	if r.job == nil || r.mark || r.to != "" {
		return false
	}
	for _, s := range r.job.Plan.Sources() {
		if s.Name != source {
			continue
		}
		for _, f := range s.Config.Fields() {
			if f.Type == connector.Format {
				given := s.Config.Format(f.Name)
				return given != nil && given.Spec.Name != "json"
			}
		}
	}
	return false
}

func (r *replay) destination(box letterBox) string {
	if r.to != "" {
		return r.to
	}
	return "source " + box.source
}

// target says how letters are sent. send returns how many have arrived or will; finish ends it, keeping what was done when all was well.
func (r *replay) target(ctx context.Context, box letterBox, log *replayLog) (send func([]*letter) (int, error), finish func(well bool) error, err error) {
	nothing := func(bool) error { return nil }
	switch {
	case r.mark:
		return nil, nothing, nil
	case r.to != "":
		return r.fileTarget(log)
	case r.job == nil:
		return nil, nil, misused(errors.New("sending to a topic needs the job spec in place of the directory; or use --to FILE"))
	}
	source, err := r.kafkaSource(box.source)
	if err != nil {
		return nil, nil, err
	}
	return func(batch []*letter) (int, error) { return r.produce(ctx, source, box, log, batch) }, nothing, nil
}

// kafkaSource makes the job's source, to write where it reads.
func (r *replay) kafkaSource(name string) (*kafka.Source, error) {
	s := r.job.Plan.Settings
	g, err := physical.Build(r.job.Plan, physical.Environment{Run: "replay", Parallelism: 1, Memory: memory.NewPool(memory.Plan(s.Memory).Pool()), FS: vfs.OS(),
		Clock: clock.Real(), Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		return nil, misused(err)
	}
	for _, n := range g.Nodes {
		if n.Source == nil || n.Label != "source "+name {
			continue
		}
		made, err := n.Source()
		if err != nil {
			return nil, failed(err)
		}
		if source, ok := made.(*kafka.Source); ok {
			return source, nil
		}
		break
	}
	return nil, misused(fmt.Errorf("source %s is not Kafka: use --to FILE and let it read that", name))
}

func (r *replay) produce(ctx context.Context, source *kafka.Source, box letterBox, log *replayLog, batch []*letter) (int, error) {
	records := make([]kafka.ReplayRecord, len(batch))
	for i, l := range batch {
		topic, partition, err := kafka.ParseSplitID(l.Split)
		if err != nil {
			return 0, err
		}
		records[i] = kafka.ReplayRecord{Topic: topic, Partition: partition, Offset: l.Position, Key: l.Key, Value: l.Value}
	}
	errs, err := source.Replay(ctx, records)
	if err != nil { // nothing was sent
		ids := make([]string, len(batch))
		for i, l := range batch {
			ids[i] = l.id()
		}
		return 0, errors.Join(err, log.undo(ids...))
	}
	var arrived, refused []string
	var first error
	for i, err := range errs {
		switch {
		case err == nil:
			arrived = append(arrived, batch[i].id())
			continue
		case errors.Is(err, kafka.ErrRefused):
			refused = append(refused, batch[i].id())
		}
		if first == nil {
			first = err
		}
	}
	err = errors.Join(log.note(sent, r.destination(box), arrived...), log.undo(refused...))
	return len(arrived), errors.Join(first, err)
}

// fileTarget writes the values into a new file, which gets its name when all are in it.
func (r *replay) fileTarget(log *replayLog) (func([]*letter) (int, error), func(bool) error, error) {
	if _, err := os.Lstat(r.to); !errors.Is(err, fs.ErrNotExist) {
		return nil, nil, misused(fmt.Errorf("--to %s: the file exists", r.to))
	}
	dir := filepath.Dir(r.to)
	f, err := os.CreateTemp(dir, ".turbo-replay-*")
	if err != nil {
		return nil, nil, misused(err)
	}
	w := bufio.NewWriter(f)
	var tried []string
	send := func(batch []*letter) (int, error) {
		for _, l := range batch {
			tried = append(tried, l.id())
		}
		for i, l := range batch {
			if bytes.IndexByte(l.Value, '\n') >= 0 {
				return i, fmt.Errorf("%s has more than one line, and --to writes one a letter", l.id())
			}
			if _, err := w.Write(append(l.Value, '\n')); err != nil {
				return i, err
			}
		}
		return len(batch), nil
	}
	finish := func(well bool) error {
		err := w.Flush()
		if err == nil {
			err = f.Chmod(0o644)
		}
		if err == nil {
			err = f.Sync()
		}
		err = errors.Join(err, f.Close())
		if err == nil && well && len(tried) > 0 {
			if err = vfs.OS().Rename(f.Name(), r.to); err == nil {
				return errors.Join(vfs.OS().SyncDir(dir), log.note(sent, r.to, tried...))
			}
		}
		return errors.Join(err, os.Remove(f.Name()), log.undo(tried...))
	}
	return send, finish, nil
}

// readCorrected reads what `dlq list --json` has printed and somebody has corrected.
func readCorrected(path string) (map[string]*listed, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	out := map[string]*listed{}
	r := bufio.NewScanner(f)
	r.Buffer(nil, 64<<20)
	for line := 1; r.Scan(); line++ {
		if len(bytes.TrimSpace(r.Bytes())) == 0 {
			continue
		}
		x := &listed{}
		d := json.NewDecoder(bytes.NewReader(r.Bytes()))
		d.DisallowUnknownFields()
		if err := d.Decode(x); err != nil {
			return nil, fmt.Errorf("%s, line %d: %w", path, line, err)
		}
		switch {
		case x.ID == "":
			return nil, fmt.Errorf("%s, line %d: it has no id", path, line)
		case out[x.ID] != nil:
			return nil, fmt.Errorf("%s, line %d: %s is there twice", path, line, x.ID)
		case x.Value != nil && x.ValueBase64 != nil:
			return nil, fmt.Errorf("%s, line %d: it has both value and value_base64", path, line)
		}
		out[x.ID] = x
	}
	if err := r.Err(); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return out, nil
}
