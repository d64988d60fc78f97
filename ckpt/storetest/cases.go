package storetest

import (
	"bytes"
	"errors"
	"slices"
	"strings"
	"testing"

	"turbo/ckpt"
)

func page(group uint16, number uint32, kind ckpt.Kind, data string) ckpt.Page {
	return ckpt.Page{ID: ckpt.PageID{Operator: "op", Table: "t", KeyGroup: group, Number: number}, Kind: kind, Data: []byte(data)}
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func open(t testing.TB, h Harness, at uint64, sum ckpt.Summary) *ckpt.Store {
	t.Helper()
	s := h.Open(t)
	_, err := s.Recover(at, sum)
	must(t, err)
	return s
}

func complete(t testing.TB, s *ckpt.Store, id uint64, pages ...ckpt.Page) ckpt.Summary {
	t.Helper()
	must(t, s.Begin(id, 0))
	must(t, s.Write(id, pages))
	sum, err := s.Seal(id)
	must(t, err)
	must(t, s.Complete(id))
	return sum
}

// read renders the pages of table op/t at a checkpoint: "group/number=data+data ...".
func read(t testing.TB, s *ckpt.Store, at uint64, from, to int) string {
	t.Helper()
	var out []string
	must(t, s.Restore(at, ckpt.Selection{Operator: "op", Table: "t", FromGroup: from, ToGroup: to}, func(id ckpt.PageID, chain []ckpt.Version) error {
		var data []string
		for _, v := range chain {
			data = append(data, string(v.Data))
		}
		out = append(out, strings.TrimPrefix(id.String(), "op/t/")+"="+strings.Join(data, "+"))
		return nil
	}))
	return strings.Join(out, " ")
}

// protocol checks that calls out of order are refused and change nothing.
func protocol(t *testing.T, h Harness) {
	s := h.Open(t)
	defer s.Close()
	expect := func(what string, err, want error) {
		t.Helper()
		if !errors.Is(err, want) {
			t.Errorf("%s: %v, want %v", what, err, want)
		}
	}
	expect("begin before recover", s.Begin(1, 0), ckpt.ErrProtocol)
	_, err := s.Recover(0, ckpt.Summary{})
	must(t, err)
	expect("write before begin", s.Write(1, []ckpt.Page{page(0, 0, ckpt.Whole, "a")}), ckpt.ErrStale)
	_, err = s.Seal(1)
	expect("seal before begin", err, ckpt.ErrStale)
	must(t, s.Begin(3, 0))
	expect("begin twice", s.Begin(4, 0), ckpt.ErrProtocol)
	expect("write to another", s.Write(2, nil), nil)
	expect("write to another", s.Write(2, []ckpt.Page{page(0, 0, ckpt.Whole, "a")}), ckpt.ErrStale)
	expect("complete before seal", s.Complete(3), ckpt.ErrProtocol)
	must(t, s.Write(3, []ckpt.Page{page(0, 0, ckpt.Whole, "a")}))
	_, err = s.Seal(3)
	must(t, err)
	expect("write after seal", s.Write(3, []ckpt.Page{page(0, 1, ckpt.Whole, "a")}), ckpt.ErrStale)
	must(t, s.Complete(3))
	expect("id used again", s.Begin(3, 0), ckpt.ErrProtocol)
	expect("smaller id", s.Begin(2, 0), ckpt.ErrProtocol)
	expect("retain what is not complete", s.Retain(4), ckpt.ErrProtocol)

	for _, bad := range []struct {
		what  string
		pages []ckpt.Page
	}{
		{"page twice", []ckpt.Page{page(0, 0, ckpt.Whole, "a"), page(0, 0, ckpt.Whole, "b")}},
		{"delta without a page", []ckpt.Page{page(7, 7, ckpt.Delta, "a")}},
		{"no kind", []ckpt.Page{page(0, 0, 0, "a")}},
		{"name too long", []ckpt.Page{{ID: ckpt.PageID{Operator: strings.Repeat("x", 2000)}, Kind: ckpt.Whole}}},
	} {
		last, err := s.LastID()
		must(t, err)
		id := max(last, 3) + 1
		must(t, s.Begin(id, 0))
		var refused *ckpt.PageError
		if err := s.Write(id, bad.pages); !errors.As(err, &refused) {
			t.Errorf("%s: %v", bad.what, err)
		}
		if _, err := s.Seal(id); err == nil {
			t.Errorf("%s: sealed after a failed write", bad.what)
		}
		s.Abandon(id)
	}
	if got := read(t, s, 3, 0, 10); got != "0/0=a" {
		t.Errorf("after all that: %s", got)
	}
}

// damage checks that changed content is found, and named.
func damage(t *testing.T, h Harness) {
	s := open(t, h, 0, ckpt.Summary{})
	large := strings.Repeat("x", 20000)
	complete(t, s, 1, page(0, 0, ckpt.Whole, large), page(0, 1, ckpt.Whole, "DAMAGEME"+large), page(1, 0, ckpt.Whole, large))
	var filler []ckpt.Page // so that the damage is not at the end of a log, where it would look like a torn write
	for i := range uint32(150) {
		filler = append(filler, page(2, i, ckpt.Whole, large))
	}
	sum := complete(t, s, 2, filler...)
	must(t, s.Check(2))
	must(t, s.Close())
	victim := ckpt.PageID{Operator: "op", Table: "t", KeyGroup: 0, Number: 1}
	if !h.Damage(t, victim) {
		t.Fatal("the harness could not damage the page")
	}
	s = open(t, h, 2, sum)
	defer s.Close()
	err := s.Restore(2, ckpt.Selection{Operator: "op", Table: "t", ToGroup: 1}, func(ckpt.PageID, []ckpt.Version) error { return nil })
	var damaged *ckpt.PageError
	if !errors.As(err, &damaged) || damaged.Page != victim || damaged.Checkpoint != 1 || !errors.Is(err, ckpt.ErrDamaged) {
		t.Errorf("restore: %v", err)
	}
	if err := s.Check(2); !errors.As(err, &damaged) || strings.Count(err.Error(), "\n") != 0 {
		t.Errorf("check: %v, want exactly one damaged page", err)
	}
	if got := read(t, s, 2, 1, 2); len(got) < 20000 {
		t.Errorf("the undamaged key group: %d bytes", len(got))
	}
}

// missing checks that a checkpoint whose versions are not all there is refused.
func missing(t *testing.T, h Harness) {
	s := open(t, h, 0, ckpt.Summary{})
	one := complete(t, s, 1, page(0, 0, ckpt.Whole, "a"), page(0, 1, ckpt.Whole, "b"))
	two := complete(t, s, 2, page(0, 0, ckpt.Delta, "c"))
	must(t, s.Close())
	s = h.Open(t)
	defer s.Close()
	for what, sum := range map[string]ckpt.Summary{"older": one, "empty": {}, "other": {Pages: 2, Versions: 3, Digest: two.Digest + 1}} {
		if _, err := s.Recover(2, sum); !errors.Is(err, ckpt.ErrBroken) {
			t.Errorf("%s summary: %v", what, err)
		}
	}
	if _, err := s.Recover(3, two); err != nil {
		t.Errorf("a later checkpoint without pages of its own: %v", err)
	}
	_, err := s.Recover(2, two)
	must(t, err)
}

// selection checks ranges of key groups, and that tables with similar names do not mix.
func selection(t *testing.T, h Harness) {
	s := open(t, h, 0, ckpt.Summary{})
	defer s.Close()
	pages := []ckpt.Page{page(0, 0, ckpt.Whole, "a"), page(1, 300, ckpt.Whole, "b"), page(1, 2, ckpt.Whole, "c"), page(256, 0, ckpt.Whole, "d"), page(300, 1, ckpt.Whole, "e")}
	for _, other := range []ckpt.PageID{{Operator: "o", Table: "pt"}, {Operator: "op", Table: "t2"}, {Operator: "op\x00", Table: "t"}, {Operator: "", Table: ""}} {
		pages = append(pages, ckpt.Page{ID: other, Kind: ckpt.Whole, Data: []byte("other")})
	}
	complete(t, s, 1, pages...)
	for _, c := range []struct {
		from, to int
		want     string
	}{
		{0, 32768, "0/0=a 1/2=c 1/300=b 256/0=d 300/1=e"},
		{0, 1, "0/0=a"}, {1, 256, "1/2=c 1/300=b"}, {2, 257, "256/0=d"}, {301, 400, ""}, {1, 1, ""},
	} {
		if got := read(t, s, 1, c.from, c.to); got != c.want {
			t.Errorf("[%d, %d): %s, want %s", c.from, c.to, got, c.want)
		}
	}
	if n := len(s.Tables()); n != 5 {
		t.Errorf("%d tables, want 5", n)
	}
	if err := s.Restore(1, ckpt.Selection{FromGroup: 2, ToGroup: 1}, nil); err == nil {
		t.Error("a range backwards was accepted")
	}
}

// unfinished checks what becomes of versions of checkpoints that were never completed, case by case.
func unfinished(t *testing.T, h Harness) {
	s := open(t, h, 0, ckpt.Summary{})
	complete(t, s, 1, page(0, 0, ckpt.Whole, "a"), page(0, 1, ckpt.Whole, "b"), page(0, 2, ckpt.Whole, "c"), page(0, 3, ckpt.Whole, "d"))
	base := complete(t, s, 2, page(0, 0, ckpt.Delta, "A"), page(0, 1, ckpt.Delta, "B"))
	must(t, s.Begin(3, 0))
	must(t, s.Write(3, []ckpt.Page{
		page(0, 0, ckpt.Delta, "bad"), page(0, 1, ckpt.Whole, "bad"), page(0, 2, ckpt.Tombstone, ""), page(0, 3, ckpt.Delta, "bad"), page(1, 0, ckpt.Whole, "bad"),
	}))
	h.Kill(t)
	s = h.Open(t)
	got, err := s.Recover(2, base)
	must(t, err)
	last, err := s.LastID()
	must(t, err)
	if got.Unfinished != 5 || last != 3 {
		t.Fatalf("%d unfinished pages, last id %d; want 5 and 3", got.Unfinished, last)
	}
	stale, err := s.PagesAfter(2)
	must(t, err)
	if len(stale) != 5 || !slices.IsSortedFunc(stale, cmpID) {
		t.Fatalf("pages after 2: %v", stale)
	}
	if got := read(t, s, 2, 0, 10); got != "0/0=a+A 0/1=b+B 0/2=c 0/3=d" {
		t.Fatalf("restored: %s", got)
	}
	// Nothing written, a delta and a tombstone over what was left behind.
	complete(t, s, 4, page(0, 0, ckpt.Delta, "x"), page(0, 3, ckpt.Tombstone, ""))
	want := "0/0=a+A+x 0/1=b+B 0/2=c"
	if got := read(t, s, 4, 0, 10); got != want {
		t.Fatalf("checkpoint 4: %s, want %s", got, want)
	}
	must(t, s.Retain(4))
	sum := complete(t, s, 5, page(0, 2, ckpt.Delta, "y"))
	must(t, s.Close())
	s = open(t, h, 5, sum)
	defer s.Close()
	if got := read(t, s, 5, 0, 10); got != want+"+y" {
		t.Fatalf("checkpoint 5: %s, want %s+y", got, want)
	}
	if got := read(t, s, 4, 0, 10); got != want {
		t.Fatalf("checkpoint 4 after 5: %s, want %s", got, want)
	}
}

// FindContent returns the offset of a page's marked content in a file's bytes, for harnesses that damage files; -1 if absent.
func FindContent(file []byte) int { return bytes.Index(file, []byte("DAMAGEME")) }
