package modelstore_test

import (
	"errors"
	"testing"

	"turbo/ckpt"
	"turbo/ckpt/modelstore"
	"turbo/ckpt/storetest"
)

type harness struct{ disk *modelstore.Disk }

func (h harness) Open(testing.TB) *ckpt.Store {
	return ckpt.NewStore(h.disk.Open(), ckpt.StoreOptions{})
}
func (h harness) Kill(testing.TB) { h.disk.Kill() }
func (h harness) PowerLoss(seed uint64) {
	if seed%2 == 0 {
		h.disk.Crash()
	} else {
		h.disk.CrashRandom(seed)
	}
}
func (h harness) Damage(t testing.TB, page ckpt.PageID) bool {
	if page.KeyGroup != 0 || page.Number != 1 {
		t.Fatal("the suite damages page 0/1")
	}
	return h.disk.Damage("t\x00\x00\x00\x00\x00\x01")
}

func TestConformance(t *testing.T) {
	storetest.Run(t, 300, func(testing.TB) storetest.Harness { return harness{modelstore.NewDisk()} })
}

func TestCrashForgetsWhatWasNotSynced(t *testing.T) {
	disk := modelstore.NewDisk()
	back := disk.Open()
	put := func(version uint64) {
		t.Helper()
		if err := back.Put(version, []ckpt.Record{{Key: []byte("k"), Kind: ckpt.Whole, Ends: true}}); err != nil {
			t.Fatal(err)
		}
	}
	put(1)
	if err := back.Sync(); err != nil {
		t.Fatal(err)
	}
	put(2)
	disk.Crash()
	if _, err := back.MaxVersion(); !errors.Is(err, modelstore.ErrCrashed) {
		t.Fatalf("dead backend: %v", err)
	}
	back = disk.Open()
	if last, err := back.MaxVersion(); err != nil || last != 1 {
		t.Fatalf("largest version %d, %v; want 1", last, err)
	}
	put(2)
	disk.Kill()
	back = disk.Open()
	if last, err := back.MaxVersion(); err != nil || last != 2 {
		t.Fatalf("after a kill: largest version %d, %v; want 2", last, err)
	}
}

// TestLostVersionIsNoticed drops any one version behind the store's back: Recover must refuse.
func TestLostVersionIsNoticed(t *testing.T) {
	disk := modelstore.NewDisk()
	s := ckpt.NewStore(disk.Open(), ckpt.StoreOptions{})
	if _, err := s.Recover(0, ckpt.Summary{}); err != nil {
		t.Fatal(err)
	}
	var sum ckpt.Summary
	for id, kind := range []ckpt.Kind{1: ckpt.Whole, 2: ckpt.Delta, 3: ckpt.Delta} {
		if id == 0 {
			continue
		}
		if err := s.Begin(uint64(id), 0); err != nil {
			t.Fatal(err)
		}
		if err := s.Write(uint64(id), []ckpt.Page{{ID: ckpt.PageID{Operator: "a", Table: "b"}, Kind: kind}}); err != nil {
			t.Fatal(err)
		}
		var err error
		if sum, err = s.Seal(uint64(id)); err != nil {
			t.Fatal(err)
		}
		if err := s.Complete(uint64(id)); err != nil {
			t.Fatal(err)
		}
	}
	for range 3 {
		if !disk.Lose("") {
			t.Fatal("nothing to lose")
		}
		again := ckpt.NewStore(disk.Open(), ckpt.StoreOptions{})
		if _, err := again.Recover(3, sum); !errors.Is(err, ckpt.ErrBroken) {
			t.Fatalf("%d versions left: %v", disk.Versions(), err)
		}
	}
}
