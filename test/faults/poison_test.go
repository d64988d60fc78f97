package faults

import (
	"encoding/base64"
	"fmt"
	"path/filepath"
	"testing"

	"turbo/internal/devbroker"
	"turbo/test/visible"
)

// TestPoison has records that cannot be read, under each policy.
func TestPoison(t *testing.T) {
	poison := []string{"x,not a number", "7"}
	t.Run("fail", func(t *testing.T) {
		r := newRig(t, devbroker.Config{Topics: []devbroker.Topic{{Name: "events", Partitions: 2}}})
		r.options = "    on-error: fail"
		r.produce(100)
		r.complete()
		r.produceThese(false, poison[:1])
		r.fails("poison-fail", nil)
		r.fails("poison-fail", nil)
		r.options = "    on-error: skip" // the way out
		r.produce(100)
		w := r.complete()
		if got := skipped(w); got != 1 {
			t.Errorf("%d records skipped, want 1", got)
		}
	})
	t.Run("skip", func(t *testing.T) {
		r := newRig(t, devbroker.Config{})
		r.options = "    on-error: skip"
		r.produce(100)
		r.produceThese(false, poison)
		r.produce(100)
		w := r.complete()
		if got := skipped(w); got != 2 {
			t.Errorf("%d records skipped, want 2", got)
		}
	})
	t.Run("dead-letter", func(t *testing.T) {
		r := newRig(t, devbroker.Config{})
		r.options = "    on-error: dead-letter"
		var want []string
		for range 3 { // each part in a run of its own: dead letters are as exactly-once as everything
			r.produce(50)
			for i, p := range poison {
				want = append(want, fmt.Sprintf("events events/%d %d %s", i, r.next[i], base64.StdEncoding.EncodeToString([]byte(p))))
			}
			r.produceThese(false, poison)
			r.complete()
		}
		names, _, err := visible.Files(filepath.Join(r.dir, "dead/events"))
		if err != nil {
			t.Fatal(err)
		}
		letters := map[string]int{}
		for _, name := range names {
			err := visible.ReadFile(name, "json", []string{"source", "split", "position", "value", "error"}, func(f []string) error {
				letters[fmt.Sprintf("%s %s %s %s", f[0], f[1], f[2], f[3])]++
				if f[4] == "" {
					return fmt.Errorf("no error in %q", f)
				}
				return nil
			})
			if err != nil {
				t.Fatal(err)
			}
		}
		for _, w := range want {
			if letters[w] != 1 {
				t.Errorf("dead letter %q is there %d times; there are %v", w, letters[w], letters)
			}
		}
		if len(letters) != len(want) {
			t.Errorf("%d dead letters, want %d", len(letters), len(want))
		}
	})
}

func skipped(w *running) (n int64) {
	for _, c := range w.result.Totals {
		n += c.Counters.Skipped
	}
	return n
}
