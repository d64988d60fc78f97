package supervisor

import (
	"testing"

	"turbo/ckpt"
	"turbo/internal/vfs"
)

// TestOlder: a checkpoint that shares a damaged version is no way out.
func TestOlder(t *testing.T) {
	dir, err := ckpt.OpenDirectory(vfs.NewMem(), "/state", "test")
	if err != nil {
		t.Fatal(err)
	}
	defer dir.Close()
	ids := []uint64{1, 2, 5, 9}
	for _, id := range ids {
		if err := dir.Manifests.Write(&ckpt.Manifest{Checkpoint: id}); err != nil {
			t.Fatal(err)
		}
	}
	s := New(Job{})
	s.dir = dir
	for _, c := range []struct {
		page *ckpt.PageError
		want uint64
	}{
		{nil, 5}, {&ckpt.PageError{Checkpoint: 9}, 5}, {&ckpt.PageError{Checkpoint: 5}, 2}, {&ckpt.PageError{Checkpoint: 2}, 1}, {&ckpt.PageError{Checkpoint: 1}, 0},
		{&ckpt.PageError{}, 5},
	} {
		if damaged, older := s.older(ids, c.page); damaged != 9 || older != c.want {
			t.Errorf("%+v: from %d back to %d, want %d", c.page, damaged, older, c.want)
		}
	}
}
