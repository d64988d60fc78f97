package ledger

import (
	"fmt"
	"slices"

	"turbo/core"
)

// keepHistory is how many commits of the current run a State remembers one by one: as far back as a withdrawal can reach.
const keepHistory = 64

// State is what the entries add up to.
type State struct {
	Header  *Header         // of the current run; nil: the ledger is empty
	Commits int             // commits of the current run that are not void
	Last    *Commit         // newest commit of the current run that is not void; nil: none
	Visible map[string]File // visible files of all runs by path
	Balance core.Balance    // sum over the current run
	Audited bool            // every commit of the current run has a balance
	Rows    int64           // rows in the visible files of the current run
	Ranges  map[Split][]byte

	// Withdrawn is set while a withdrawal is the newest entry: what it makes void may still be lying about.
	Withdrawn *Undo

	unaudited int
	history   []*Commit // the newest commits of the current run, void ones dropped
	floor     uint64    // the checkpoint before the first one in history
}

// Split names one split of one source.
type Split struct{ Source, Split string }

// Undo says which files a withdrawal takes away and which it makes hidden again.
type Undo struct {
	After  uint64
	Remove []File // visible names to remove
	Hide   []File // were open at the checkpoint and became visible later: from Path back to Temp
}

func newState() *State { return &State{Visible: map[string]File{}, Ranges: map[Split][]byte{}} }

func (s *State) add(e *Entry) error {
	s.Withdrawn = nil
	switch {
	case e.Begin != nil:
		if e.Begin.Replaces {
			s.Visible = map[string]File{}
		}
		*s = State{Header: e.Begin, Visible: s.Visible, Audited: true, Ranges: map[Split][]byte{}}
	case e.Commit != nil:
		if err := s.check(e.Commit); err != nil {
			return err
		}
		s.commit(e.Commit)
	case s.Header == nil:
		return fmt.Errorf("the ledger does not begin with a header")
	default:
		return s.withdraw(e.Withdraw.After)
	}
	return nil
}

// check reports why a commit cannot be the next one.
func (s *State) check(c *Commit) error {
	if s.Header == nil {
		return fmt.Errorf("checkpoint %d before the run's header", c.Checkpoint)
	}
	last := uint64(0)
	if s.Last != nil {
		last = s.Last.Checkpoint
	}
	if c.Checkpoint <= last {
		return fmt.Errorf("checkpoint %d after checkpoint %d", c.Checkpoint, last)
	}
	if c.Previous != last {
		return fmt.Errorf("checkpoint %d continues checkpoint %d, but the ledger ends at %d", c.Checkpoint, c.Previous, last)
	}
	if s.Last != nil && s.Last.Final {
		return fmt.Errorf("checkpoint %d after the final checkpoint %d", c.Checkpoint, last)
	}
	for _, f := range c.Files {
		if _, is := s.Visible[f.Path]; is {
			return fmt.Errorf("checkpoint %d delivers %s, which was delivered before", c.Checkpoint, f.Path)
		}
	}
	return nil
}

func (s *State) commit(c *Commit) {
	s.Last, s.Commits = c, s.Commits+1+c.Folded
	s.history = append(s.history, c)
	if drop := len(s.history) - keepHistory; drop > 0 {
		s.floor = s.history[drop-1].Checkpoint
		s.history = append(s.history[:0:0], s.history[drop:]...)
	}
	s.count(c, 1)
	for _, f := range c.Files {
		s.Visible[f.Path] = f
	}
	for _, r := range c.Sources {
		s.Ranges[Split{r.Source, r.Split}] = r.To
	}
}

// count adds a commit to the sums, or takes it out again.
func (s *State) count(c *Commit, sign int64) {
	for _, f := range c.Files {
		s.Rows += sign * f.Rows
	}
	if b := c.Balance; b != nil {
		addBalance(&s.Balance, b, sign)
	} else {
		s.unaudited += int(sign)
	}
	s.Audited = s.unaudited == 0
}

func addBalance(sum, b *core.Balance, sign int64) {
	sum.Read += sign * b.Read
	sum.Written += sign * b.Written
	sum.Filtered += sign * b.Filtered
	sum.Deduplicated += sign * b.Deduplicated
	sum.DeadLettered += sign * b.DeadLettered
	sum.Skipped += sign * b.Skipped
	sum.Late += sign * b.Late
}

// undo computes what withdrawing means, without doing it.
func (s *State) undo(after uint64) (*Undo, error) {
	keep := 0
	for keep < len(s.history) && s.history[keep].Checkpoint <= after {
		keep++
	}
	open := map[string]bool{}
	switch {
	case keep > 0 && s.history[keep-1].Checkpoint == after:
		for _, f := range s.history[keep-1].Open {
			open[f.Temp] = true
		}
	case keep == 0 && after == 0 && s.floor == 0: // everything
	default:
		return nil, fmt.Errorf("the ledger has no checkpoint %d to go back to", after)
	}
	u := &Undo{After: after}
	for _, c := range s.history[keep:] {
		for _, f := range c.Files {
			if open[f.Temp] {
				u.Hide = append(u.Hide, f)
			} else {
				u.Remove = append(u.Remove, f)
			}
		}
	}
	return u, nil
}

func (s *State) withdraw(after uint64) error {
	u, err := s.undo(after)
	if err != nil {
		return err
	}
	for n := len(s.history); n > 0 && s.history[n-1].Checkpoint > after; n-- {
		c := s.history[n-1]
		s.history = s.history[:n-1]
		s.Commits -= 1 + c.Folded
		s.count(c, -1)
		for _, f := range c.Files {
			delete(s.Visible, f.Path)
		}
		for _, r := range c.Sources {
			s.Ranges[Split{r.Source, r.Split}] = r.From
			if r.First || len(r.From) == 0 {
				delete(s.Ranges, Split{r.Source, r.Split})
			}
		}
	}
	s.Last = nil
	if n := len(s.history); n > 0 {
		s.Last = s.history[n-1]
	}
	s.Withdrawn = u
	return nil
}

// sameCommit compares what two attempts at one checkpoint deliver.
func sameCommit(a, b *Commit) bool {
	return a.Checkpoint == b.Checkpoint && a.Previous == b.Previous && slices.Equal(a.Files, b.Files) && slices.Equal(a.Open, b.Open)
}
