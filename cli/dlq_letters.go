package cli

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"time"
	"unicode/utf8"

	"turbo/internal/dirlock"
	"turbo/internal/vfs"
	"turbo/io/ledger"
)

// letter is a dead letter as it stands in the files.
type letter struct {
	Source   string `json:"source"`
	Split    string `json:"split"`
	Position int64  `json:"position"`
	Error    string `json:"error"`
	Key      []byte `json:"key"`
	Value    []byte `json:"value"`
	Time     string `json:"time"`
}

// id names the record that a letter is about: SOURCE:SPLIT@POSITION.
func (l *letter) id() string {
	return l.Source + ":" + l.Split + "@" + strconv.FormatInt(l.Position, 10)
}

// listed is a letter as `dlq list --json` prints it and `dlq replay --corrected` reads it. Bytes that are no UTF-8 are base64.
type listed struct {
	ID          string  `json:"id"`
	Error       string  `json:"error"`
	Time        string  `json:"time,omitempty"`
	State       string  `json:"state"` // waiting, sending or sent
	Key         *string `json:"key,omitempty"`
	KeyBase64   []byte  `json:"key_base64,omitempty"`
	Value       *string `json:"value,omitempty"`
	ValueBase64 []byte  `json:"value_base64,omitempty"`
}

func listedLetter(l *letter, state string) listed {
	x := listed{ID: l.id(), Error: l.Error, Time: l.Time, State: state}
	text := func(b []byte) (*string, []byte) {
		switch {
		case b == nil:
			return nil, nil
		case utf8.Valid(b):
			s := string(b)
			return &s, nil
		}
		return nil, b
	}
	x.Key, x.KeyBase64 = text(l.Key)
	x.Value, x.ValueBase64 = text(l.Value)
	return x
}

// value is the corrected value; nil: a record without one.
func (x *listed) value() []byte {
	if x.Value != nil {
		return []byte(*x.Value)
	}
	return x.ValueBase64
}

// letters gives the dead letters of a directory to each, every record once, in the order of the files: those in visible files, and those
// in files that are still open, up to what the last checkpoint covers.
func letters(dir string, each func(*letter) error) error {
	state, err := ledger.Read(vfs.OS(), dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil // no checkpoint yet
	}
	if err != nil {
		return err
	}
	seen := map[string]bool{}
	once := func(l *letter) error {
		if id := l.id(); !seen[id] {
			seen[id] = true
			return each(l)
		}
		return nil
	}
	files := make([]ledger.File, 0, len(state.Visible))
	for _, f := range state.Visible {
		files = append(files, f)
	}
	slices.SortFunc(files, func(a, b ledger.File) int {
		if a.Modified != b.Modified {
			return int(min(max(a.Modified-b.Modified, -1), 1))
		}
		return bytes.Compare([]byte(a.Path), []byte(b.Path))
	})
	if state.Last != nil {
		files = append(files, state.Last.Open...)
	}
	for _, f := range files {
		if err := lettersOf(dir, f, once); err != nil {
			return err
		}
	}
	return nil
}

func lettersOf(dir string, f ledger.File, each func(*letter) error) error {
	path := filepath.Join(dir, filepath.FromSlash(f.Path))
	file, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) && f.Temp != "" { // still open, or about to get its visible name
		if file, err = os.Open(filepath.Join(dir, filepath.FromSlash(f.Temp))); errors.Is(err, fs.ErrNotExist) {
			file, err = os.Open(path)
		}
	}
	if err != nil {
		return fmt.Errorf("dead letters: %w (turbo verify %s says what is missing)", err, dir)
	}
	defer file.Close()
	r := bufio.NewReaderSize(io.LimitReader(file, f.Bytes), 1<<16)
	for line := 1; ; line++ {
		text, err := r.ReadBytes('\n')
		if len(bytes.TrimSpace(text)) > 0 {
			var l letter
			if err := json.Unmarshal(text, &l); err != nil {
				return fmt.Errorf("%s, line %d: %w", path, line, err)
			}
			if err := each(&l); err != nil {
				return err
			}
		}
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return fmt.Errorf("%s: %w", path, err)
		}
	}
}

// The states of a dead letter.
const (
	waiting = "waiting"
	sending = "sending" // a replay was interrupted: it may have arrived
	sent    = "sent"
)

// replayDir is where a directory of dead letters remembers its replays.
func replayDir(dir string) string { return filepath.Join(dir, ledger.Dir, "replay") }

// replayNote is a line of the log of replays.
type replayNote struct {
	ID    string    `json:"id"`
	State string    `json:"state"`
	To    string    `json:"to,omitempty"`
	Time  time.Time `json:"time"`
}

// readReplays returns the state of every letter that was replayed, and the length of the log without a torn tail.
func readReplays(dir string) (states map[string]string, length int64, err error) {
	states = map[string]string{}
	path := filepath.Join(replayDir(dir), "log.jsonl")
	data, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return states, 0, nil
	}
	if err != nil {
		return nil, 0, err
	}
	for len(data) > 0 {
		line, rest, whole := bytes.Cut(data, []byte("\n"))
		var n replayNote
		if !whole { // it was being written when the process ended
			break
		}
		if err := json.Unmarshal(line, &n); err != nil {
			return nil, 0, fmt.Errorf("%s, byte %d: %w", path, length, err)
		}
		states[n.ID] = n.State
		length += int64(len(line)) + 1
		data = rest
	}
	return states, length, nil
}

// replayLog is the log of replays, open for writing by one process.
type replayLog struct {
	states map[string]string
	before map[string]string // as they were when it was opened
	lock   *dirlock.Lock
	file   *os.File
}

func openReplayLog(dir string) (*replayLog, error) {
	at := replayDir(dir)
	if err := os.MkdirAll(at, 0o755); err != nil {
		return nil, err
	}
	l := &replayLog{}
	var err error
	if l.lock, err = dirlock.Acquire(vfs.OS(), at, "turbo dlq replay"); err != nil {
		return nil, err
	}
	var length int64
	if l.states, length, err = readReplays(dir); err == nil {
		l.before = maps.Clone(l.states)
		l.file, err = os.OpenFile(filepath.Join(at, "log.jsonl"), os.O_WRONLY|os.O_CREATE, 0o644)
	}
	if err == nil {
		err = l.file.Truncate(length)
	}
	if err == nil {
		_, err = l.file.Seek(length, io.SeekStart)
	}
	if err == nil {
		err = vfs.OS().SyncDir(at)
	}
	if err != nil {
		return nil, errors.Join(err, l.Close())
	}
	return l, nil
}

// note makes a state of letters durable.
func (l *replayLog) note(state, to string, ids ...string) error {
	if len(ids) == 0 {
		return nil
	}
	var b bytes.Buffer
	for _, id := range ids {
		line, err := json.Marshal(replayNote{id, state, to, time.Now().UTC()})
		if err != nil {
			return err
		}
		b.Write(append(line, '\n'))
		l.states[id] = state
	}
	if _, err := l.file.Write(b.Bytes()); err != nil {
		return fmt.Errorf("the log of replays: %w", err)
	}
	return l.file.Sync()
}

// undo makes durable that letters were not sent after all: they are what they were before.
func (l *replayLog) undo(ids ...string) error {
	byState := map[string][]string{}
	for _, id := range ids {
		state := stateOf(l.before, id)
		byState[state] = append(byState[state], id)
	}
	return errors.Join(l.note(waiting, "", byState[waiting]...), l.note(sending, "", byState[sending]...), l.note(sent, "", byState[sent]...))
}

// stateOf is what the log says of a letter.
func stateOf(states map[string]string, id string) string {
	if s := states[id]; s != "" {
		return s
	}
	return waiting
}

// Close gives the log back.
func (l *replayLog) Close() error {
	var errs []error
	if l.file != nil {
		errs = append(errs, l.file.Close())
	}
	return errors.Join(append(errs, l.lock.Close())...)
}
