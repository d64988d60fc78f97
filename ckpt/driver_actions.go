package ckpt

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"sort"
	"strings"
	"time"

	"turbo/core"
	"turbo/internal/killpoint"
)

// do carries out one action. What blocks goes to the I/O goroutine: the Coordinator has at most one such action out, and
// one Abort, so the channel never blocks for long.
func (d *Driver) do(ctx context.Context, action Action) {
	store := d.config.Store
	switch a := action.(type) {
	case Begin:
		d.begun = d.clock.Nanos()
		d.io <- func() Event { return d.begin() }
	case Inject:
		d.config.Runtime.InjectBarrier(a.Barrier)
	case Seal:
		d.io <- func() Event {
			sum, err := store.Seal(a.ID)
			return Sealed{a.ID, sum, err}
		}
	case WriteManifest:
		m, err := d.build(a.Content)
		d.building, d.bytes = m, 0
		for _, ack := range a.Content.Acks {
			d.bytes += ack.Bytes
		}
		d.io <- func() Event { return d.write(a.Content.ID, m, err) }
	case Commit:
		d.manifest = d.building
		m := d.manifest
		d.io <- func() Event {
			killpoint.Reach(PhaseCommit)
			return Committed{a.ID, d.config.Committer.Commit(ctx, m)}
		}
	case Notify:
		killpoint.Reach(PhaseNotify)
		d.complete()
		d.config.Runtime.CheckpointComplete(d.manifest)
	case Retain:
		d.io <- func() Event { return Retained{d.retain()} }
	case Abort:
		d.log.Warn("checkpoint abandoned; it will be tried again", "checkpoint", a.ID, "error", a.Cause)
		d.config.Runtime.AbortCheckpoint(a.ID, a.Cause)
		d.io <- func() Event {
			store.Abandon(a.ID)
			return Aborted{a.ID}
		}
	case Wake:
		d.timer.Reset(time.Duration(a.At - d.clock.Nanos()))
	case Reply:
		d.reply(a)
	}
}

func (d *Driver) begin() Event {
	id, err := d.config.Restart.IDs.Take()
	if err == nil {
		err = d.config.Store.Begin(id, 0)
	}
	if err != nil {
		d.log.Warn("checkpoint not started; it will be tried again", "error", err)
		return Begun{Err: err}
	}
	killpoint.Reach(PhaseBegin)
	return Begun{ID: id}
}

// write makes the manifest durable and tells the store.
func (d *Driver) write(id uint64, m *Manifest, err error) Event {
	if err == nil {
		err = d.config.Manifests.Write(m)
	}
	if err == nil {
		if err := d.config.Store.Complete(id); err != nil {
			return Written{id, fmt.Errorf("%w: %w", ErrUnknown, err), true}
		}
	}
	return Written{id, err, errors.Is(err, ErrUnknown)}
}

func (d *Driver) retain() error {
	oldest, err := d.config.Manifests.Retain(d.config.Retain)
	if err != nil || oldest == 0 {
		return err
	}
	return d.config.Store.Retain(oldest)
}

func (d *Driver) reply(a Reply) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, token := range a.Tokens {
		if ch, ok := d.tokens[token]; ok {
			ch <- reply{a.ID, a.Err}
			delete(d.tokens, token)
		}
	}
}

// build assembles the manifest of a checkpoint. It refuses reports that contradict each other.
func (d *Driver) build(c Content) (*Manifest, error) {
	m := &Manifest{
		Job: d.config.Expect.Job, Checkpoint: c.ID, Trigger: c.Trigger, Finished: c.Trigger == End, Time: d.clock.Now().UTC(),
		Parallelism: d.config.Parallelism, KeyGroups: d.config.Expect.KeyGroups, Plan: d.config.Expect.Plan, Store: c.Store,
	}
	var err error
	if m.Sources, err = mergeSources(d.manifest, c.Acks); err != nil {
		return nil, fmt.Errorf("checkpoint %d: %w", c.ID, err)
	}
	for _, a := range c.Acks {
		m.Operators = append(m.Operators, a.Operators...)
	}
	sort.SliceStable(m.Operators, func(i, j int) bool {
		a, b := m.Operators[i], m.Operators[j]
		if n := strings.Compare(a.Operator, b.Operator); n != 0 {
			return n < 0
		}
		if a.Worker != b.Worker {
			return a.Worker < b.Worker
		}
		return a.Name < b.Name
	})
	m.Sinks = groupSinks(c.Committables)
	m.Ranges = ranges(d.manifest, m.Sources)
	d.count(m, c.Acks)
	return m, nil
}

// mergeSources joins what the readers of each source report; every split is reported by one reader, or by several with
// the same position (it moved between workers at a restart). A split of the manifest before that nobody reports any more keeps its state:
// a file that is gone today and back tomorrow must not be read again.
func mergeSources(before *Manifest, acks []Ack) ([]SourceState, error) {
	splits := map[string]map[string]core.SplitState{}
	for _, a := range acks {
		for _, s := range a.Sources {
			if splits[s.Source] == nil {
				splits[s.Source] = map[string]core.SplitState{}
			}
			for _, split := range s.Splits {
				if other, twice := splits[s.Source][split.ID]; twice && !bytes.Equal(other.Position, split.Position) {
					return nil, fmt.Errorf("split %s of source %s was reported twice, at %x and at %x", split.ID, s.Source, other.Position, split.Position)
				}
				splits[s.Source][split.ID] = split
			}
		}
	}
	if before != nil {
		for _, s := range before.Sources {
			for _, split := range s.Splits {
				if reported := splits[s.Source]; reported != nil {
					if _, ok := reported[split.ID]; !ok {
						reported[split.ID] = split
					}
				}
			}
		}
	}
	var all []SourceState
	for _, source := range sortedKeys(splits) {
		state := SourceState{Source: source, Splits: []core.SplitState{}}
		for _, id := range sortedKeys(splits[source]) {
			state.Splits = append(state.Splits, splits[source][id])
		}
		all = append(all, state)
	}
	return all, nil
}

func groupSinks(committables []Committable) []SinkState {
	bySink := map[string][]Committable{}
	for _, c := range committables {
		bySink[c.Sink] = append(bySink[c.Sink], c)
	}
	var all []SinkState
	for _, sink := range sortedKeys(bySink) {
		list := bySink[sink]
		sort.SliceStable(list, func(i, j int) bool {
			if list[i].Checkpoint != list[j].Checkpoint {
				return list[i].Checkpoint < list[j].Checkpoint
			}
			return list[i].Worker < list[j].Worker
		})
		all = append(all, SinkState{sink, list})
	}
	return all
}

// count fills in the counters: reports are cumulative since the tasks started, totals since the job began.
func (d *Driver) count(m *Manifest, acks []Ack) {
	totals := map[string]core.Counters{}
	add := func(list []OperatorCounters) {
		for _, c := range list {
			sum := totals[c.Operator]
			sum.Add(c.Counters)
			totals[c.Operator] = sum
		}
	}
	if r := d.config.Restart.Manifest; r != nil {
		add(r.Totals)
	}
	for _, a := range acks {
		add(a.Counters)
	}
	before := map[string]core.Counters{}
	if d.manifest != nil {
		m.Previous = d.manifest.Checkpoint
		for _, c := range d.manifest.Totals {
			before[c.Operator] = c.Counters
		}
	}
	for _, name := range sortedKeys(totals) {
		m.Totals = append(m.Totals, OperatorCounters{name, totals[name]})
		m.Counters = append(m.Counters, OperatorCounters{name, totals[name].Sub(before[name])})
	}
}

func sortedKeys[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}
