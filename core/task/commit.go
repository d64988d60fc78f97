package task

import (
	"context"
	"fmt"

	"turbo/ckpt"
	"turbo/core"
)

// Committer makes the output of an attempt's sinks visible: a ckpt.Committer.
type Committer struct{ Attempt *Attempt }

// Commit implements ckpt.Committer.
func (c Committer) Commit(ctx context.Context, m *ckpt.Manifest) error {
	for _, n := range c.Attempt.graph.Nodes {
		if n.Sink == nil {
			continue
		}
		if err := c.Attempt.sinks[n.ID].Commit(ctx, c.Attempt.graph.CommitInfo(n, m), m.Committables(n.ID)); err != nil {
			return fmt.Errorf("%s: commit of checkpoint %d: %w", n.Label, m.Checkpoint, err)
		}
	}
	return nil
}

// CommitInfo describes a checkpoint to one sink: the ranges of the sources that it reads, and the balance of the way
// from them when that is a pass-through. A sink that the checkpoint does not have begins there, with nothing.
func (g *Graph) CommitInfo(sink *Node, m *ckpt.Manifest) core.CommitInfo {
	info := m.CommitInfo()
	info.Computes = sink.Computes
	if !m.Has(sink.ID) { // the sink is new: this checkpoint is where it begins, and it has nothing of it
		info.Previous, info.Sources = 0, nil
		if sink.PassThrough {
			info.Balance = &core.Balance{}
		}
		return info
	}
	above := sink.ancestors(g)
	info.Sources = nil
	for _, r := range m.Ranges {
		if above[r.Source] {
			info.Sources = append(info.Sources, r)
		}
	}
	if !sink.PassThrough {
		return info
	}
	b := core.Balance{}
	for _, c := range m.Counters {
		if !above[c.Operator] {
			continue
		}
		if g.node(c.Operator).Source != nil {
			b.Read += c.Counters.In
		}
		b.Filtered += c.Counters.Filtered
		b.Deduplicated += c.Counters.Deduplicated
		b.DeadLettered += c.Counters.DeadLettered
		b.Skipped += c.Counters.Skipped
		b.Late += c.Counters.Late
	}
	for _, c := range m.Counters {
		if c.Operator == sink.ID {
			b.Written = c.Counters.Out
		}
	}
	info.Balance = &b
	return info
}

// ancestors returns the ids of the nodes that a sink's rows come through; for a sink of dead letters, its source.
func (n *Node) ancestors(g *Graph) map[string]bool {
	above := map[string]bool{}
	var walk func(*Node)
	walk = func(n *Node) {
		if above[n.ID] {
			return
		}
		above[n.ID] = true
		for _, in := range n.Inputs {
			walk(in.From)
		}
	}
	for _, in := range n.Inputs {
		walk(in.From)
	}
	for _, s := range g.Nodes {
		if s.DeadLetters == n {
			above[s.ID] = true
		}
	}
	return above
}

func (g *Graph) node(id string) *Node {
	for _, n := range g.Nodes {
		if n.ID == id {
			return n
		}
	}
	return nil
}
