package run

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"

	"turbo/ckpt"
	"turbo/internal/vfs"
	"turbo/job"
	"turbo/plan"
)

// StatePlan is what a checkpoint of p says of its dataflow, and the comparison of what earlier checkpoints say with it.
func StatePlan(p *plan.Plan) (ckpt.Plan, func(state ckpt.Plan) ([]ckpt.Difference, error), error) {
	now := p.Signature()
	text, err := json.Marshal(now)
	if err != nil {
		return ckpt.Plan{}, nil, fmt.Errorf("the plan's signature: %w", err)
	}
	return ckpt.Plan{Fingerprint: now.Fingerprint(), Signature: text}, func(state ckpt.Plan) ([]ckpt.Difference, error) {
		var old plan.Signature
		if err := json.Unmarshal(state.Signature, &old); err != nil {
			return nil, fmt.Errorf("the plan's signature: %w", err)
		}
		var out []ckpt.Difference
		for _, d := range plan.Diff(old, now) {
			out = append(out, ckpt.Difference{Text: d.ID + ": " + d.Text, Refused: d.Refused})
		}
		return out, nil
	}, nil
}

// Changes compares the job with the state that it would go on from: what it does otherwise and keeps its state, or a *ckpt.MismatchError.
// checkpoint is 0 when there is no state. It changes nothing and takes no lock.
func Changes(j *job.Job) (checkpoint uint64, changes []string, err error) {
	s := j.Plan.Settings
	if s.Checkpoint.Off {
		return 0, nil, nil
	}
	m, err := ckpt.NewManifests(vfs.OS(), StateDir(s)).Newest()
	if err != nil {
		if errors.Is(err, ckpt.ErrNoManifest) || errors.Is(err, fs.ErrNotExist) {
			err = nil
		}
		return 0, nil, err
	}
	state, differences, err := StatePlan(j.Plan)
	if err != nil {
		return 0, nil, err
	}
	changes, err = m.Check(ckpt.Expect{Job: s.Name, KeyGroups: s.KeyGroups, Plan: state, Differences: differences})
	return m.Checkpoint, changes, err
}
