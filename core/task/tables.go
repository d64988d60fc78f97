package task

import (
	"fmt"

	"turbo/ckpt"
	"turbo/state"
)

// pageSource restores a task's tables from a checkpoint in the page store.
type pageSource struct {
	store      *ckpt.Store
	checkpoint uint64
}

// PageSource returns what tables are restored from: the pages of a complete checkpoint.
func PageSource(store *ckpt.Store, checkpoint uint64) state.PageSource {
	if checkpoint == 0 {
		return nil
	}
	return pageSource{store, checkpoint}
}

// Pages implements state.PageSource.
func (p pageSource) Pages(operator, table string, from, to int, visit func(uint16, uint32, []state.PageVersion) error) error {
	var chain []state.PageVersion
	sel := ckpt.Selection{Operator: operator, Table: table, FromGroup: from, ToGroup: to}
	return p.store.Restore(p.checkpoint, sel, func(id ckpt.PageID, versions []ckpt.Version) error {
		chain = chain[:0]
		for _, v := range versions {
			chain = append(chain, state.PageVersion{Kind: state.PageKind(v.Kind), Data: v.Data})
		}
		if err := visit(id.KeyGroup, id.Number, chain); err != nil {
			return fmt.Errorf("state page %v of checkpoint %d: %w", id, p.checkpoint, err)
		}
		return nil
	})
}

// pageSink writes a task's frozen pages to the page store.
type pageSink struct {
	to         Checkpoints
	checkpoint uint64
	pages      []ckpt.Page
}

// WritePages implements state.PageSink.
func (s *pageSink) WritePages(pages []state.Page) error {
	s.pages = s.pages[:0]
	for _, p := range pages {
		s.pages = append(s.pages, ckpt.Page{
			ID:   ckpt.PageID{Operator: p.Operator, Table: p.Table, KeyGroup: p.KeyGroup, Number: p.Number},
			Kind: ckpt.Kind(p.Kind), Data: p.Data,
		})
	}
	return s.to.Write(s.checkpoint, s.pages)
}

// frozen is a task's state as a barrier cut it, until the checkpoint is complete or given up. Its worker owns it.
type frozen struct {
	checkpoint uint64
	snapshot   *state.Snapshot
}

// settle ends the frozen state of a checkpoint. The worker calls it.
func (t *task) settle(checkpoint uint64, complete bool) error {
	if t.frozen.snapshot == nil || t.frozen.checkpoint != checkpoint {
		return nil
	}
	s := t.frozen.snapshot
	t.frozen = frozen{}
	if !complete {
		s.Abandon()
		return nil
	}
	return s.Complete()
}
