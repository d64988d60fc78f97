package ledger

import (
	"bufio"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"hash/crc32"
	"io"

	"turbo/core"
)

// Header says who writes into the directory. A run's first entry has it.
type Header struct {
	Version     int               `json:"version"`
	Job         string            `json:"job"`
	Sink        string            `json:"sink"`
	Run         string            `json:"run"`
	Format      string            `json:"format"`
	Options     map[string]string `json:"options,omitempty"` // of the format, as the job spec gave them
	Compression string            `json:"compression,omitempty"`
	Started     core.Time         `json:"started"`
	Replaces    bool              `json:"replaces,omitempty"` // the files of earlier runs were removed before it began
}

// Version is the version of the ledger's format that this package writes and reads.
const Version = 1

// File is a file as a checkpoint left it. Paths are relative to the sink's directory, with slashes.
type File struct {
	Path     string `json:"path"`           // the visible name
	Temp     string `json:"temp"`           // the hidden name before the commit
	Rows     int64  `json:"rows"`           //
	Bytes    int64  `json:"bytes"`          // size, or the length of the durable prefix of an open file
	Sum      Sum    `json:"sum"`            // of these bytes
	Modified int64  `json:"mtime,omitzero"` // nanoseconds since the epoch when the file was complete; 0: unknown
}

// Commit is what one checkpoint delivered.
type Commit struct {
	Checkpoint uint64             `json:"checkpoint"`
	Previous   uint64             `json:"previous"`
	Time       core.Time          `json:"time"`
	Final      bool               `json:"final,omitempty"`
	Sources    []core.SourceRange `json:"sources,omitempty"`
	Balance    *core.Balance      `json:"balance,omitempty"`
	Computes   string             `json:"computes,omitempty"` // see core.CommitInfo
	Files      []File             `json:"files,omitempty"`    // made visible by this checkpoint
	Open       []File             `json:"open,omitempty"`     // still hidden, with their durable prefix
	Folded     int                `json:"folded,omitzero"`    // so many older commits of the run are in this one
}

// Withdrawal makes the commits of the current run after a checkpoint void.
type Withdrawal struct {
	After uint64    `json:"after"`
	Time  core.Time `json:"time"`
}

// Entry is one line of the ledger: exactly one of its fields is set.
type Entry struct {
	Begin    *Header     `json:"begin,omitempty"`
	Commit   *Commit     `json:"commit,omitempty"`
	Withdraw *Withdrawal `json:"withdraw,omitempty"`
}

func (e *Entry) encode() ([]byte, error) {
	body, err := json.Marshal(e)
	if err != nil {
		return nil, fmt.Errorf("ledger entry: %w", err)
	}
	line := make([]byte, 0, len(body)+10)
	line = fmt.Appendf(line, "%08x ", crc32.Checksum(body, castagnoli))
	line = append(line, body...)
	return append(line, '\n'), nil
}

// decodeLine reads one line without its line end.
func decodeLine(line []byte) (*Entry, error) {
	if len(line) < 10 || line[8] != ' ' {
		return nil, fmt.Errorf("no checksum at the start of the line")
	}
	var want [4]byte
	if _, err := hex.Decode(want[:], line[:8]); err != nil {
		return nil, fmt.Errorf("no checksum at the start of the line")
	}
	body := line[9:]
	got := crc32.Checksum(body, castagnoli)
	if got != uint32(want[0])<<24|uint32(want[1])<<16|uint32(want[2])<<8|uint32(want[3]) {
		return nil, fmt.Errorf("the checksum is wrong")
	}
	e := new(Entry)
	if err := json.Unmarshal(body, e); err != nil {
		return nil, err
	}
	set := 0
	for _, is := range []bool{e.Begin != nil, e.Commit != nil, e.Withdraw != nil} {
		if is {
			set++
		}
	}
	if set != 1 {
		return nil, fmt.Errorf("an entry of a kind that this version does not know")
	}
	if e.Begin != nil && e.Begin.Version != Version {
		return nil, fmt.Errorf("the ledger has version %d, this program knows version %d", e.Begin.Version, Version)
	}
	return e, nil
}

// scan calls each for every entry and returns the length of the good part. A bad tail ends it quietly; a bad line before a
// good one is an error, and so is whatever each returns.
func scan(r io.Reader, each func(*Entry) error) (good int64, err error) {
	in := bufio.NewReaderSize(r, 256<<10)
	var bad error
	badLine, number, at := 0, 0, int64(0)
	for {
		number++
		line, err := in.ReadBytes('\n')
		if err == io.EOF {
			return good, nil // a line without its end is torn even if it parses
		}
		if err != nil {
			return good, err
		}
		at += int64(len(line))
		e, err := decodeLine(line[:len(line)-1])
		switch {
		case err != nil && bad == nil:
			bad, badLine = err, number
		case err == nil && bad != nil:
			return good, fmt.Errorf("line %d is damaged: %w", badLine, bad)
		case err == nil:
			if err := each(e); err != nil {
				return good, fmt.Errorf("line %d: %w", number, err)
			}
			good = at
		}
	}
}
