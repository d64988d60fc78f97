package ckpt

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/zeebo/xxh3"

	"turbo/core"
)

// Trigger says why a checkpoint was taken.
type Trigger string

// The triggers.
const (
	Periodic  Trigger = "periodic"
	Requested Trigger = "requested" // on demand, such as a savepoint
	Stop      Trigger = "stop"      // the last one before the job stops; its input has not ended
	End       Trigger = "end"       // the last one: the input has ended
)

// Final reports whether no row follows the checkpoint's barrier.
func (t Trigger) Final() bool { return t == Stop || t == End }

// Manifest is a completed checkpoint, but for the pages. That it is durable is what makes the checkpoint complete.
type Manifest struct {
	Job         string    `json:"job"`
	Checkpoint  uint64    `json:"checkpoint"`
	Previous    uint64    `json:"previous"` // the complete checkpoint before; 0: none
	Trigger     Trigger   `json:"trigger"`
	Finished    bool      `json:"finished"` // the bounded input is done: there is nothing to restart
	Time        time.Time `json:"time"`     // when the last task had acknowledged
	Parallelism int       `json:"parallelism"`
	KeyGroups   int       `json:"key_groups"`
	Plan        Plan      `json:"plan"`
	Store       Summary   `json:"store"` // what the page store must have
	// Sources is the state of every split of every source.
	Sources []SourceState `json:"sources,omitempty"`
	// Operators is what operators and gates keep beside pages.
	Operators []OperatorState `json:"operators,omitempty"`
	// Sinks holds what the sinks' commits need.
	Sinks []SinkState `json:"sinks,omitempty"`
	// Ranges is what each split contributed since Previous, for the ledger.
	Ranges []core.SourceRange `json:"ranges,omitempty"`
	// Counters are the rows counted since Previous, Totals those since the job began, by operator and summed over workers.
	Counters []OperatorCounters `json:"counters,omitempty"`
	Totals   []OperatorCounters `json:"totals,omitempty"`
}

// Plan identifies the dataflow that the state belongs to.
type Plan struct {
	Fingerprint string `json:"fingerprint"` // of what state depends on: equal ones fit
	// Signature describes the dataflow, for Expect.Differences. It is the caller's; the manifest only keeps it.
	Signature json.RawMessage `json:"signature,omitempty"`
}

// SourceState is the state of a source's splits.
type SourceState struct {
	Source string            `json:"source"`
	Splits []core.SplitState `json:"splits"`
}

// OperatorState is a small piece of state of one operator instance that is not in pages, such as a gate's watermark.
type OperatorState struct {
	Operator string `json:"operator"`
	Worker   int    `json:"worker"`
	Name     string `json:"name"`
	Data     []byte `json:"data"`
}

// SinkState holds the committables of one sink, ordered by checkpoint, then worker. Those of checkpoints before the
// manifest's own come from attempts that were abandoned after the writer had prepared them.
type SinkState struct {
	Sink         string        `json:"sink"`
	Committables []Committable `json:"committables"`
}

// Committable is what a sink writer's Prepare returned.
type Committable struct {
	Sink       string `json:"-"`
	Worker     int    `json:"worker"`
	Checkpoint uint64 `json:"checkpoint"`
	Data       []byte `json:"data"`
}

// OperatorCounters are the counters of one operator, source or sink.
type OperatorCounters struct {
	Operator string        `json:"operator"`
	Counters core.Counters `json:"counters"`
}

// Has reports whether the operator, source or sink was there when the checkpoint was taken.
func (m *Manifest) Has(operator string) bool {
	return slices.ContainsFunc(m.Totals, func(c OperatorCounters) bool { return c.Operator == operator })
}

// CommitInfo is what Sink.Commit gets; the caller adds the balance.
func (m *Manifest) CommitInfo() core.CommitInfo {
	return core.CommitInfo{
		Checkpoint: m.Checkpoint,
		Previous:   m.Previous,
		Time:       core.TimeOf(m.Time),
		Final:      m.Trigger == End,
		Sources:    m.Ranges,
	}
}

// Committables returns the data of one sink's committables, in order; nil when the sink has none.
func (m *Manifest) Committables(sink string) [][]byte {
	var all [][]byte
	for _, s := range m.Sinks {
		if s.Sink == sink {
			for _, c := range s.Committables {
				all = append(all, c.Data)
			}
		}
	}
	return all
}

// Source returns the splits of one source; nil when it has none.
func (m *Manifest) Source(name string) []core.SplitState {
	for _, s := range m.Sources {
		if s.Source == name {
			return s.Splits
		}
	}
	return nil
}

// A manifest file is a JSON object on one or more lines, then a line with the format's version, the number of bytes
// before that line and their checksum. So a person can read it, and a truncated or changed one is recognised.
const manifestTrailer = "turbo-manifest"

const manifestVersion = 1

// EncodeManifest renders a manifest file.
func EncodeManifest(m *Manifest) ([]byte, error) {
	var buffer bytes.Buffer
	encoder := json.NewEncoder(&buffer) // ends with a new line
	encoder.SetEscapeHTML(false)        // conditions stay readable
	encoder.SetIndent("", " ")
	if err := encoder.Encode(m); err != nil {
		return nil, fmt.Errorf("manifest %d: %w", m.Checkpoint, err)
	}
	body := buffer.Bytes()
	return fmt.Appendf(body, "%s %d %d %016x\n", manifestTrailer, manifestVersion, len(body), xxh3.Hash(body)), nil
}

// DecodeManifest parses a manifest file. The error wraps ErrDamaged unless the file is sound and of a newer turbo.
func DecodeManifest(file []byte) (*Manifest, error) {
	bad := func(why string) error { return fmt.Errorf("%w (%s)", ErrDamaged, why) }
	text := bytes.TrimSuffix(file, []byte("\n"))
	if len(text) == len(file) {
		return nil, bad("no end of line at the end")
	}
	start := bytes.LastIndexByte(text, '\n') + 1
	fields := strings.Fields(string(text[start:]))
	if len(fields) != 4 || fields[0] != manifestTrailer {
		return nil, bad("no trailer")
	}
	version, err := strconv.Atoi(fields[1])
	if err != nil {
		return nil, bad("trailer")
	}
	if size, err := strconv.Atoi(fields[2]); err != nil || size != start {
		return nil, bad("length")
	}
	if sum, err := strconv.ParseUint(fields[3], 16, 64); err != nil || sum != xxh3.Hash(file[:start]) {
		return nil, bad("checksum")
	}
	if version != manifestVersion {
		return nil, fmt.Errorf("format %d is not known here (this is format %d): use the turbo that wrote it", version, manifestVersion)
	}
	m := new(Manifest)
	if err := json.Unmarshal(file[:start], m); err != nil {
		return nil, bad(err.Error())
	}
	return m, nil
}
