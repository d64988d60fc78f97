package ledger

import (
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"turbo/core"
	"turbo/internal/vfs"
)

const dir = "/out"

func newDir(t testing.TB) *vfs.Mem {
	m := vfs.NewMem()
	if err := vfs.MkdirSynced(m, dir); err != nil {
		t.Fatal(err)
	}
	return m
}

func open(t testing.TB, f vfs.FS) *Ledger {
	t.Helper()
	l, err := Open(f, dir)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// deliver writes a file and returns its record.
func deliver(t testing.TB, f vfs.FS, name, content string) File {
	t.Helper()
	if err := vfs.WriteFile(f, dir+"/"+name, []byte(content)); err != nil {
		t.Fatal(err)
	}
	return File{Path: name, Temp: "." + name, Rows: int64(strings.Count(content, "\n")), Bytes: int64(len(content)), Sum: Sum(0).Add([]byte(content))}
}

func commit(n uint64, rows int64, files ...File) *Commit {
	from, to := []byte(fmt.Sprint(n-1)), []byte(fmt.Sprint(n)) // the first range has the split's start
	return &Commit{Checkpoint: n, Previous: n - 1, Balance: &core.Balance{Read: rows, Written: rows}, Files: files,
		Sources: []core.SourceRange{{Source: "s", Split: "0", From: from, To: to, First: n == 1}}}
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func TestSumContinues(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 1))
	p := make([]byte, 1000)
	for i := range p {
		p[i] = byte(r.Uint32())
	}
	whole := Sum(0).Add(p)
	for cut := range p {
		if got := Sum(0).Add(p[:cut]).Add(p[cut:]); got != whole {
			t.Fatalf("cut at %d: %s, want %s", cut, got, whole)
		}
	}
	text, _ := json.Marshal(whole)
	var back Sum
	must(t, json.Unmarshal(text, &back))
	if back != whole {
		t.Fatalf("%s became %s", whole, back)
	}
	if s := Sum(0).Add([]byte("123456789")).String(); s != "e3069283cbf43926" { // the check values of both CRCs
		t.Fatalf("check value %s", s)
	}
	for _, bad := range []string{`"12"`, `"zz00000000000000"`} {
		if json.Unmarshal([]byte(bad), &back) == nil {
			t.Errorf("%s was taken for a checksum", bad)
		}
	}
}

func TestCommitRules(t *testing.T) {
	m := newDir(t)
	l := open(t, m)
	if err := l.Commit(commit(1, 1)); err == nil {
		t.Fatal("a commit before the header was taken")
	}
	must(t, l.Begin(Header{Job: "j", Run: "r"}))
	a := deliver(t, m, "a", "1\n")
	must(t, l.Commit(commit(1, 1, a)))
	must(t, l.Commit(commit(1, 1, a))) // again
	for name, c := range map[string]*Commit{
		"other contents":  commit(1, 1),
		"a gap":           commit(3, 1),
		"the same file":   commit(2, 1, a),
		"an older number": {Checkpoint: 0},
	} {
		if err := l.Commit(c); err == nil {
			t.Errorf("%s was taken", name)
		}
	}
	last := commit(2, 0)
	last.Final = true
	must(t, l.Commit(last))
	if err := l.Commit(commit(3, 0)); err == nil {
		t.Error("a checkpoint after the final one was taken")
	}
	must(t, l.Close())
	s, err := Read(m, dir)
	if err != nil || s.Commits != 2 || s.Last.Checkpoint != 2 || len(s.Visible) != 1 || s.Rows != 1 || !s.Audited {
		t.Fatalf("read back: %+v, %v", s, err)
	}
}

// TestTornTail cuts and damages the ledger everywhere: a torn tail is dropped, damage before a good line is an error.
func TestTornTail(t *testing.T) {
	m := newDir(t)
	l := open(t, m)
	must(t, l.Begin(Header{Job: "j", Run: "r"}))
	for n := range uint64(3) {
		must(t, l.Commit(commit(n+1, 1)))
	}
	content, err := vfs.ReadFile(m, Path(dir))
	must(t, err)
	ends := []int{0}
	for i, c := range content {
		if c == '\n' {
			ends = append(ends, i+1)
		}
	}
	for cut := range len(content) + 1 {
		f := newDir(t)
		must(t, vfs.MkdirSynced(f, dir+"/"+Dir))
		must(t, vfs.WriteFile(f, Path(dir), content[:cut]))
		l, err := Open(f, dir)
		must(t, err)
		whole := 0
		for whole+1 < len(ends) && ends[whole+1] <= cut {
			whole++
		}
		if l.State().Commits != max(whole-1, 0) || l.Torn() != int64(cut-ends[whole]) {
			t.Fatalf("cut at %d: %d commits, %d torn", cut, l.State().Commits, l.Torn())
		}
		if whole > 0 { // it goes on from there
			must(t, l.Commit(commit(uint64(whole), 1)))
			if again := open(t, f); again.State().Commits != whole || again.Torn() != 0 {
				t.Fatalf("cut at %d: after the repair %d commits, %d torn", cut, again.State().Commits, again.Torn())
			}
		}
	}
	for at := range content {
		f := newDir(t)
		must(t, vfs.MkdirSynced(f, dir+"/"+Dir))
		damaged := slices.Clone(content)
		damaged[at] ^= 1
		must(t, vfs.WriteFile(f, Path(dir), damaged))
		l, err := Open(f, dir)
		if at == ends[len(ends)-2]-1 {
			continue // without this line end the last two lines are one torn line
		}
		inLast := at >= ends[len(ends)-2]
		if inLast && (err != nil || l.State().Commits != 2) || !inLast && (err == nil || !strings.Contains(err.Error(), "damaged")) {
			t.Fatalf("damage at %d (in the last line: %v): %v", at, inLast, err)
		}
	}
}

func TestWithdrawUndoesCommits(t *testing.T) {
	m := newDir(t)
	l := open(t, m)
	must(t, l.Begin(Header{Job: "j", Run: "r"}))
	x := File{Path: "x", Temp: ".x", Rows: 5, Bytes: 10}
	c1 := commit(1, 5)
	c1.Open = []File{x}
	must(t, l.Commit(c1))
	x.Rows, x.Bytes = 7, 14
	y := File{Path: "y", Temp: ".y", Rows: 3, Bytes: 6}
	must(t, l.Commit(commit(2, 5, x, y)))
	must(t, l.Commit(commit(3, 0)))
	if _, err := l.Undo(7); err == nil {
		t.Fatal("going back to a checkpoint that never was")
	}
	must(t, l.Withdraw(1, 0))
	check := func(s *State) {
		t.Helper()
		u := s.Withdrawn
		if s.Last.Checkpoint != 1 || len(s.Visible) != 0 || s.Balance.Read != 5 || s.Rows != 0 || string(s.Ranges[Split{"s", "0"}]) != "1" {
			t.Fatalf("state after the withdrawal: %+v", s)
		}
		if u == nil || len(u.Hide) != 1 || u.Hide[0].Path != "x" || len(u.Remove) != 1 || u.Remove[0].Path != "y" {
			t.Fatalf("to be taken back: %+v", u)
		}
	}
	check(l.State())
	l = open(t, m)
	check(l.State())
	must(t, l.Commit(commit(2, 1, y))) // the number is free again here
	if l.State().Withdrawn != nil {
		t.Fatal("an old withdrawal is still pending")
	}
	must(t, l.Withdraw(0, 0))
	if s := l.State(); s.Last != nil || s.Commits != 0 || len(s.Ranges) != 0 || s.Balance != (core.Balance{}) {
		t.Fatalf("state after all was withdrawn: %+v", s)
	}
}

func TestVerifyFindings(t *testing.T) {
	count := Options{CountRows: func(_ *Header, f vfs.File, _ string, size int64) (int64, error) {
		p := make([]byte, size)
		_, err := f.ReadAt(p, 0)
		return int64(strings.Count(string(p), "\n")), err
	}}
	for _, c := range []struct {
		name   string
		want   []ProblemKind
		change func(m *vfs.Mem, c *Commit)
		after  func(m *vfs.Mem)
	}{
		{name: "nothing"},
		{name: "a file is gone", want: []ProblemKind{Missing}, after: func(m *vfs.Mem) { m.Remove("/out/a") }},
		{name: "a file is longer", want: []ProblemKind{Changed}, after: func(m *vfs.Mem) {
			f, _ := m.OpenAppend("/out/a")
			f.Write([]byte("3\n"))
		}},
		{name: "a byte is another", want: []ProblemKind{Changed}, after: func(m *vfs.Mem) {
			f, _ := m.OpenReadWrite("/out/a")
			f.Write([]byte("9"))
		}},
		{name: "a file that nobody delivered", want: []ProblemKind{Extra}, after: func(m *vfs.Mem) {
			m.MkdirAll("/out/d=1")
			m.Create("/out/d=1/z")
			m.Create("/out/.hidden")
			m.Create("/out/_hidden")
		}},
		{name: "rows", want: []ProblemKind{Rows, Unbalanced}, change: func(_ *vfs.Mem, c *Commit) { c.Files[0].Rows++ }},
		{name: "still hidden", want: []ProblemKind{Pending}, after: func(m *vfs.Mem) { m.Rename("/out/a", "/out/.a") }},
		{name: "rows went missing on the way", want: []ProblemKind{Unbalanced}, change: func(_ *vfs.Mem, c *Commit) { c.Balance.Read++ }},
		{name: "written is not what is there", want: []ProblemKind{Unbalanced}, change: func(_ *vfs.Mem, c *Commit) { c.Balance.Read++; c.Balance.Written++ }},
		{name: "a gap in the source", want: []ProblemKind{Gap}, change: func(_ *vfs.Mem, c *Commit) { c.Sources[0].From = []byte("x") }},
		{name: "the open file is gone", want: []ProblemKind{Missing}, after: func(m *vfs.Mem) { m.Remove("/out/.o") }},
		{name: "the open file is shorter", want: []ProblemKind{Changed}, after: func(m *vfs.Mem) { m.Truncate("/out/.o", 1) }},
	} {
		t.Run(c.name, func(t *testing.T) {
			m := newDir(t)
			l := open(t, m)
			must(t, l.Begin(Header{Job: "j", Run: "r"}))
			must(t, l.Commit(commit(1, 0)))
			o := deliver(t, m, ".o", "4\n5")
			o.Path, o.Temp, o.Rows = "o", ".o", 1
			o.Bytes, o.Sum = 2, Sum(0).Add([]byte("4\n"))
			second := commit(2, 3, deliver(t, m, "a", "1\n2\n"))
			second.Open = []File{o}
			if c.change != nil {
				c.change(m, second)
			}
			must(t, l.Commit(second))
			if c.after != nil {
				c.after(m)
			}
			r, err := Verify(m, dir, count)
			must(t, err)
			var got []ProblemKind
			for _, p := range r.Problems {
				got = append(got, p.Kind)
				if p.Detail == "" || !strings.HasPrefix(p.String(), string(p.Kind)+": ") {
					t.Errorf("%+v says nothing", p)
				}
			}
			slices.Sort(got)
			if !slices.Equal(got, c.want) {
				t.Fatalf("found %v, want %v", r.Problems, c.want)
			}
			if r.OK() != (len(c.want) == 0) {
				t.Fatal("OK is wrong")
			}
			if r.OK() && (r.Rows != 2 || r.OpenRows != 1 || r.Files != 1 || r.Checkpoint != 2 || r.Balance.Written != 3 || string(r.Sources[0].To) != "2") {
				t.Fatalf("report %+v", r)
			}
		})
	}
}

func TestCheckFiles(t *testing.T) {
	m := newDir(t)
	l := open(t, m)
	must(t, l.Begin(Header{Job: "j", Run: "r"}))
	a := deliver(t, m, "a", "1\n2\n")
	info, _ := m.Stat("/out/a")
	a.Modified = info.ModTime().UnixNano()
	must(t, l.Commit(commit(1, 2, a)))
	check := func(want ProblemKind) {
		t.Helper()
		problems, err := l.State().CheckFiles(m, dir)
		must(t, err)
		if (want == "") != (len(problems) == 0) || want != "" && problems[0].Kind != want {
			t.Fatalf("found %v, want %q", problems, want)
		}
	}
	check("")
	f, _ := m.OpenReadWrite("/out/a")
	f.Write([]byte("1")) // the same byte: another time, but the same content
	check("")
	f.Write([]byte("x"))
	check(Changed)
	m.Remove("/out/a")
	check(Missing)
}

// TestCompaction commits, withdraws and begins runs at random with a ledger that is compacted all the time, beside one that
// never is, and crashes: both must add up to the same, also as Verify sees it.
func TestCompaction(t *testing.T) {
	for seed := range uint64(20) {
		r := rand.New(rand.NewPCG(seed, 4))
		small, large := newDir(t), newDir(t)
		a, b := open(t, small), open(t, large)
		a.limit = 3000
		both := func(do func(l *Ledger) error) {
			t.Helper()
			must(t, do(a))
			must(t, do(b))
		}
		run, last, files := 0, uint64(0), 0
		begin := func() {
			run++
			last = 0
			both(func(l *Ledger) error { return l.Begin(Header{Job: "j", Run: fmt.Sprint(run)}) })
		}
		begin()
		for range 400 {
			switch n := r.IntN(100); {
			case n < 1:
				begin()
			case n < 4 && last > 1:
				back := last - uint64(r.IntN(2)) - 1
				both(func(l *Ledger) error { return l.Withdraw(back, 0) })
				last = back
			case n < 8:
				small.Crash()
				a = open(t, small)
				a.limit = 3000
			default:
				last++
				c := commit(last, 1)
				if r.IntN(3) == 0 {
					files++
					f := File{Path: fmt.Sprintf("f%d", files), Temp: fmt.Sprintf(".f%d", files), Rows: 1}
					c.Files = append(c.Files, f)
				}
				if r.IntN(50) == 0 {
					c.Balance.Read++
				}
				both(func(l *Ledger) error { return l.Commit(c) })
			}
		}
		a.Close()
		b.Close()
		ra, err := Verify(small, dir, Options{})
		must(t, err)
		rb, err := Verify(large, dir, Options{})
		must(t, err)
		ra.Withdrawals, rb.Withdrawals = 0, 0
		rb.Problems = slices.DeleteFunc(rb.Problems, func(p Problem) bool { return p.Kind == Unbalanced })
		ra.Problems = slices.DeleteFunc(ra.Problems, func(p Problem) bool { return p.Kind == Unbalanced })
		ja, _ := json.Marshal(ra)
		jb, _ := json.Marshal(rb)
		if string(ja) != string(jb) {
			t.Fatalf("seed %d:\n%s\n%s", seed, ja, jb)
		}
		ia, _ := small.Stat(Path(dir))
		ib, _ := large.Stat(Path(dir))
		if ia.Size() >= ib.Size() {
			t.Fatalf("seed %d: %d bytes compacted, %d not", seed, ia.Size(), ib.Size())
		}
	}
}

func TestCompactionSurvivesPowerLoss(t *testing.T) {
	for at := 0; ; at++ {
		m := newDir(t)
		l := open(t, m)
		must(t, l.Begin(Header{Job: "j", Run: "r"}))
		for n := uint64(1); n <= 100; n++ {
			must(t, l.Commit(commit(n, 1)))
		}
		l.limit = 1
		m.StopAfter(at)
		err := l.Commit(commit(101, 1))
		m.StopAfter(-1)
		m.CrashRandom(uint64(at))
		s := open(t, m).State()
		if s.Last.Checkpoint != 100 && s.Last.Checkpoint != 101 || s.Balance.Read != int64(s.Last.Checkpoint) || s.Commits != int(s.Last.Checkpoint) {
			t.Fatalf("operation %d: %+v", at, s)
		}
		if err == nil {
			if s.Last.Checkpoint != 101 || s.floor != 37 {
				t.Fatalf("after the end: %+v", s)
			}
			return
		}
		if !errors.Is(err, vfs.ErrPowerLoss) {
			t.Fatal(err)
		}
	}
}

func FuzzScan(f *testing.F) {
	line, _ := (&Entry{Begin: &Header{Version: 1}}).encode()
	f.Add(line)
	line, _ = (&Entry{Commit: commit(1, 1)}).encode()
	f.Add(line)
	f.Fuzz(func(t *testing.T, in []byte) {
		m := newDir(t)
		must(t, vfs.MkdirSynced(m, dir+"/"+Dir))
		must(t, vfs.WriteFile(m, Path(dir), in))
		l, err := Open(m, dir)
		if err != nil {
			return
		}
		if l.State().Header != nil {
			if _, err := Verify(m, dir, Options{}); err != nil {
				t.Fatal(err)
			}
		}
	})
}
