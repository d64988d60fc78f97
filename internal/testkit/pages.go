package testkit

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"sync"

	"turbo/state"
)

// Pages is an in-memory store of state pages that keeps every completed checkpoint, and is as strict as the real one: a
// delta needs a page in the last completed checkpoint, and a page is written once in a checkpoint.
type Pages struct {
	mu        sync.Mutex
	completed []map[PageName][]state.PageVersion // by checkpoint - 1
	open      map[PageName][]state.PageVersion
	written   map[PageName]bool
	serial    int   // of the open checkpoint
	Bytes     int64 // written in all
}

// PageName names a page.
type PageName struct {
	Operator, Table string
	KeyGroup        uint16
	Number          uint32
}

// Begin starts a checkpoint on top of the last completed one and returns its sink, which refuses pages when it is over.
func (p *Pages) Begin() state.PageSink {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.written = map[PageName]bool{}
	p.open = map[PageName][]state.PageVersion{}
	if n := len(p.completed); n > 0 {
		p.open = maps.Clone(p.completed[n-1])
	}
	p.serial++
	return pageSink{p, p.serial}
}

type pageSink struct {
	pages  *Pages
	serial int
}

// WritePages implements state.PageSink.
func (s pageSink) WritePages(pages []state.Page) error {
	p := s.pages
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.open == nil || p.serial != s.serial {
		return fmt.Errorf("page written outside of its checkpoint")
	}
	for _, page := range pages {
		name := PageName{page.Operator, page.Table, page.KeyGroup, page.Number}
		if p.written[name] {
			return fmt.Errorf("page %v written twice", name)
		}
		p.written[name] = true
		p.Bytes += int64(len(page.Data))
		version := state.PageVersion{Kind: page.Kind, Data: slices.Clone(page.Data)}
		switch page.Kind {
		case state.WholePage:
			p.open[name] = []state.PageVersion{version}
		case state.DeltaPage:
			if p.open[name] == nil {
				return fmt.Errorf("page %v: a delta without a base", name)
			}
			p.open[name] = append(slices.Clip(p.open[name]), version)
		case state.Tombstone:
			if p.open[name] == nil {
				return fmt.Errorf("page %v: a tombstone for what is not there", name)
			}
			delete(p.open, name)
		default:
			return fmt.Errorf("page %v of kind %d", name, page.Kind)
		}
	}
	return nil
}

// Complete ends the open checkpoint and returns its id.
func (p *Pages) Complete() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.completed = append(p.completed, p.open)
	p.open = nil
	return len(p.completed)
}

// Abandon gives the open checkpoint up.
func (p *Pages) Abandon() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.open = nil
}

// At returns the source of a completed checkpoint; 0 is the empty one.
func (p *Pages) At(checkpoint int) state.PageSource {
	p.mu.Lock()
	defer p.mu.Unlock()
	if checkpoint == 0 {
		return pagesAt{}
	}
	return pagesAt(p.completed[checkpoint-1])
}

type pagesAt map[PageName][]state.PageVersion

// Pages implements state.PageSource, in the order of key group and number.
func (p pagesAt) Pages(operator, table string, from, to int, visit func(uint16, uint32, []state.PageVersion) error) error {
	names := slices.SortedFunc(maps.Keys(p), func(a, b PageName) int {
		return cmp.Or(cmp.Compare(a.KeyGroup, b.KeyGroup), cmp.Compare(a.Number, b.Number))
	})
	for _, n := range names {
		if n.Operator == operator && n.Table == table && int(n.KeyGroup) >= from && int(n.KeyGroup) < to {
			if err := visit(n.KeyGroup, n.Number, p[n]); err != nil {
				return err
			}
		}
	}
	return nil
}
