package ledger

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"path/filepath"
	"slices"
	"sort"
	"strings"

	"turbo/core"
	"turbo/internal/vfs"
)

// ProblemKind says what is wrong.
type ProblemKind string

// The kinds of problems.
const (
	Missing    ProblemKind = "missing"    // a delivered file, or the hidden file of an open one, is gone
	Changed    ProblemKind = "changed"    // its bytes are not those that were delivered
	Extra      ProblemKind = "extra"      // a visible file that nobody delivered
	Rows       ProblemKind = "rows"       // a file has another number of rows
	Pending    ProblemKind = "pending"    // delivered, but still under its hidden name: the job stopped in between
	Unbalanced ProblemKind = "unbalanced" // read is not what became of the rows, or written is not what is in the files
	Gap        ProblemKind = "gap"        // a source range does not continue the one before it
)

// Problem is one finding of Verify.
type Problem struct {
	Kind       ProblemKind `json:"kind"`
	Path       string      `json:"path,omitempty"`
	Checkpoint uint64      `json:"checkpoint,omitempty"`
	Detail     string      `json:"detail"`
}

// String is one line.
func (p Problem) String() string {
	s := string(p.Kind) + ": "
	if p.Path != "" {
		s += p.Path + ": "
	}
	if p.Checkpoint != 0 {
		s += fmt.Sprintf("checkpoint %d: ", p.Checkpoint)
	}
	return s + p.Detail
}

// Report is the result of Verify.
type Report struct {
	Header      Header        `json:"header"`             // of the newest run
	Runs        int           `json:"runs"`               //
	Commits     int           `json:"commits"`            // not counting void ones
	Checkpoint  uint64        `json:"checkpoint"`         // the newest one
	Final       bool          `json:"final"`              // the newest run has ended
	Withdrawals int           `json:"withdrawals"`        //
	Files       int           `json:"files"`              // visible
	Rows        int64         `json:"rows"`               // in them
	Bytes       int64         `json:"bytes"`              //
	OpenFiles   int           `json:"open_files"`         //
	OpenRows    int64         `json:"open_rows"`          // durable, but not yet visible
	Counted     bool          `json:"counted"`            // rows were counted by reading, not taken from the ledger
	Balance     *core.Balance `json:"balance,omitempty"`  // of the newest run; nil when none can be drawn
	Sources     []Range       `json:"sources,omitempty"`  // what the newest run covers
	Programs    []Program     `json:"programs,omitempty"` // what made the newest run's rows, in order; none: not known
	Torn        int64         `json:"torn,omitempty"`     // bytes of an unfinished entry at the ledger's end
	Problems    []Problem     `json:"problems,omitempty"` //
}

// Range is what a run has read of one split.
type Range struct {
	Source string `json:"source"`
	Split  string `json:"split"`
	From   []byte `json:"from"`
	To     []byte `json:"to"`
}

// Program says which expressions (core.CommitInfo.Computes) made the rows from a checkpoint on.
type Program struct {
	From     uint64 `json:"from"` // the first checkpoint
	Computes string `json:"computes"`
}

// OK reports whether nothing was found.
func (r *Report) OK() bool { return len(r.Problems) == 0 }

// Options of Verify.
type Options struct {
	// CountRows counts the rows in the first size bytes of a file of a run; nil: rows are not counted.
	CountRows func(h *Header, f vfs.File, path string, size int64) (int64, error)
	// IgnoreExtra accepts visible files that the ledger does not know.
	IgnoreExtra bool
}

type verifier struct {
	fs     vfs.FS
	dir    string
	opts   Options
	state  *State
	report *Report
	from   map[Split][]byte
	owner  map[string]*Header // by visible path
}

// Verify reads the ledger of a directory and then all its files, and checks that they say the same: every delivered file is
// there with its bytes, checksum and rows, open files have their durable prefix, nothing else is visible, balances hold,
// and source ranges have no gap. An error means that it could not be checked; what is wrong is in the report.
func Verify(f vfs.FS, dir string, opts Options) (*Report, error) {
	v := &verifier{fs: f, dir: dir, opts: opts, state: newState(), from: map[Split][]byte{}, owner: map[string]*Header{},
		report: &Report{Counted: opts.CountRows != nil}}
	if err := v.readLedger(); err != nil {
		return nil, fmt.Errorf("ledger %s: %w", Path(dir), err)
	}
	if v.state.Header == nil {
		return nil, fmt.Errorf("ledger %s is empty: no job has begun to write here", Path(dir))
	}
	for _, file := range sortedFiles(v.state.Visible) {
		if err := v.file(v.owner[file.Path], file, false); err != nil {
			return nil, err
		}
	}
	if last := v.state.Last; last != nil {
		v.report.Checkpoint, v.report.Final = last.Checkpoint, last.Final
		for _, file := range last.Open {
			if err := v.file(v.state.Header, file, true); err != nil {
				return nil, err
			}
		}
	}
	v.total()
	if !opts.IgnoreExtra {
		if err := v.walk("."); err != nil {
			return nil, err
		}
	}
	return v.report, nil
}

func (v *verifier) readLedger() error {
	file, err := v.fs.Open(Path(v.dir))
	if err != nil {
		return err
	}
	defer file.Close()
	good, err := scan(file, v.entry)
	if err != nil {
		return err
	}
	info, err := file.Stat()
	if err != nil {
		return err
	}
	v.report.Torn = info.Size() - good
	v.report.Header, v.report.Commits = Header{}, 0
	if v.state.Header != nil {
		v.report.Header, v.report.Commits = *v.state.Header, v.state.Commits
	}
	return nil
}

func (v *verifier) entry(e *Entry) error {
	switch {
	case e.Begin != nil:
		v.report.Runs++
		v.from, v.report.Programs = map[Split][]byte{}, nil
	case e.Withdraw != nil:
		v.report.Withdrawals++
		v.report.Programs = slices.DeleteFunc(v.report.Programs, func(p Program) bool { return p.From > e.Withdraw.After })
	case e.Commit != nil:
		c := e.Commit
		if n := len(v.report.Programs); c.Computes != "" && (n == 0 || v.report.Programs[n-1].Computes != c.Computes) {
			v.report.Programs = append(v.report.Programs, Program{c.Checkpoint, c.Computes})
		}
		if b := c.Balance; b != nil && !b.Holds() {
			v.problem(Problem{Kind: Unbalanced, Checkpoint: c.Checkpoint, Detail: fmt.Sprintf(
				"read %d, but written %d + filtered %d + deduplicated %d + dead-lettered %d + skipped %d + late %d",
				b.Read, b.Written, b.Filtered, b.Deduplicated, b.DeadLettered, b.Skipped, b.Late)})
		}
		for _, r := range c.Sources {
			key := Split{r.Source, r.Split}
			before, known := v.state.Ranges[key]
			switch {
			case known && string(before) != string(r.From):
				v.problem(Problem{Kind: Gap, Checkpoint: c.Checkpoint, Detail: fmt.Sprintf(
					"source %s, split %s: the range starts at %q, the one before ended at %q", r.Source, r.Split, r.From, before)})
			case !known:
				if _, seen := v.from[key]; !seen {
					v.from[key] = r.From
				}
			}
		}
		for _, f := range c.Files {
			v.owner[f.Path] = v.state.Header
		}
	}
	return v.state.add(e)
}

func (v *verifier) problem(p Problem) { v.report.Problems = append(v.report.Problems, p) }

// file checks one file; open files are looked for under their hidden name and may be longer than their durable prefix.
func (v *verifier) file(h *Header, file File, open bool) error {
	name := file.Path
	if open {
		name = file.Temp
	}
	full := filepath.Join(v.dir, filepath.FromSlash(name))
	f, err := v.fs.Open(full)
	if errors.Is(err, fs.ErrNotExist) {
		if !open {
			if info, err := v.fs.Stat(filepath.Join(v.dir, filepath.FromSlash(file.Temp))); err == nil && info.Size() == file.Bytes {
				v.problem(Problem{Kind: Pending, Path: name, Detail: "it is delivered but still hidden: the job stopped in between; start it again to finish"})
				return nil
			}
		}
		v.problem(Problem{Kind: Missing, Path: name, Detail: fmt.Sprintf("the file is gone; it had %d rows in %d bytes", file.Rows, file.Bytes)})
		return nil
	}
	if err != nil {
		return err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	if info.Size() < file.Bytes || !open && info.Size() != file.Bytes {
		v.problem(Problem{Kind: Changed, Path: name, Detail: fmt.Sprintf("it has %d bytes, delivered were %d", info.Size(), file.Bytes)})
		return nil
	}
	sum, err := sumOf(io.NewSectionReader(f, 0, file.Bytes))
	if err != nil {
		return fmt.Errorf("read %s: %w", full, err)
	}
	if sum != file.Sum {
		v.problem(Problem{Kind: Changed, Path: name, Detail: fmt.Sprintf("its checksum is %s, delivered was %s", sum, file.Sum)})
		return nil
	}
	rows := file.Rows
	if v.opts.CountRows != nil && !open {
		if rows, err = v.opts.CountRows(h, f, name, file.Bytes); err != nil {
			v.problem(Problem{Kind: Rows, Path: name, Detail: fmt.Sprintf("its rows cannot be counted: %v", err)})
			return nil
		}
		if rows != file.Rows {
			v.problem(Problem{Kind: Rows, Path: name, Detail: fmt.Sprintf("it has %d rows, delivered were %d", rows, file.Rows)})
		}
	}
	if open {
		v.report.OpenFiles++
		v.report.OpenRows += rows
	} else {
		v.report.Files++
		v.report.Rows += rows
		v.report.Bytes += file.Bytes
	}
	return nil
}

// total draws the balance of the newest run and compares it with its files.
func (v *verifier) total() {
	s := v.state
	for key, to := range s.Ranges {
		v.report.Sources = append(v.report.Sources, Range{key.Source, key.Split, v.from[key], to})
	}
	sort.Slice(v.report.Sources, func(i, j int) bool {
		a, b := v.report.Sources[i], v.report.Sources[j]
		return a.Source < b.Source || a.Source == b.Source && a.Split < b.Split
	})
	if !s.Audited || s.Last == nil {
		return
	}
	sum, inFiles := s.Balance, s.Rows
	for _, f := range s.Last.Open {
		inFiles += f.Rows
	}
	v.report.Balance = &sum
	if inFiles != sum.Written {
		v.problem(Problem{Kind: Unbalanced, Checkpoint: s.Last.Checkpoint,
			Detail: fmt.Sprintf("%d rows were written, but the files of the run have %d", sum.Written, inFiles)})
	}
}

// walk looks for visible files that the ledger does not know. Names with a dot or an underscore in front are hidden.
func (v *verifier) walk(rel string) error {
	list, err := v.fs.ReadDir(filepath.Join(v.dir, filepath.FromSlash(rel)))
	if err != nil {
		return err
	}
	for _, e := range list {
		name := path.Join(rel, e.Name())
		if strings.HasPrefix(e.Name(), ".") || strings.HasPrefix(e.Name(), "_") {
			continue
		}
		if e.IsDir() {
			if err := v.walk(name); err != nil {
				return err
			}
			continue
		}
		if _, known := v.state.Visible[name]; !known {
			v.problem(Problem{Kind: Extra, Path: name, Detail: "a visible file that no checkpoint delivered"})
		}
	}
	return nil
}

func sortedFiles(m map[string]File) []File {
	out := make([]File, 0, len(m))
	for _, f := range m {
		out = append(out, f)
	}
	sort.Slice(out, func(i, j int) bool { return out[i].Path < out[j].Path })
	return out
}

func sumFile(f vfs.FS, name string, size int64) (Sum, error) {
	file, err := f.Open(name)
	if err != nil {
		return 0, err
	}
	defer file.Close()
	return sumOf(io.NewSectionReader(file, 0, size))
}

func sumOf(r io.Reader) (Sum, error) {
	var sum Sum
	buf := make([]byte, 256<<10)
	for {
		n, err := r.Read(buf)
		sum = sum.Add(buf[:n])
		if err == io.EOF {
			return sum, nil
		}
		if err != nil {
			return 0, err
		}
	}
}
