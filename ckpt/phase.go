package ckpt

import "turbo/internal/killpoint"

// The phases of a checkpoint, as kill points: each is reached just before the step. The sinks and the tasks have some of
// their own ("writing", "ledger", "rename").
const (
	PhaseFreeze   = "freeze"          // a task freezes its tables; reached by the task
	PhaseBegin    = "begin"           // the coordinator has started a checkpoint, no barrier is out yet
	PhaseUpload   = "upload"          // each batch of pages
	PhaseSeal     = "seal"            // all pages are written, none is surely durable
	PhaseManifest = "manifest"        // all pages are durable, the manifest is not begun
	PhaseRename   = "manifest-rename" // the manifest is written and synced under its temporary name
	PhaseSyncDir  = "manifest-sync"   // the manifest has its name, which is not durable
	PhaseCommit   = "commit"          // the manifest is durable, no sink has committed
	PhaseNotify   = "notify"          // all sinks have committed
	PhaseRetain   = "retain"          // before old manifests and versions go
)

// Phases lists the phases that this package itself reaches, in the order of a checkpoint.
var Phases = []string{PhaseBegin, PhaseUpload, PhaseSeal, PhaseManifest, PhaseRename, PhaseSyncDir, PhaseCommit, PhaseNotify, PhaseRetain}

// Phase says that the caller is about to do the step of that name. It costs one atomic load unless a test listens.
func Phase(name string) { killpoint.Reach(name) }
