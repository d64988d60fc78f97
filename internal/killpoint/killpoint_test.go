package killpoint

import (
	"errors"
	"os"
	"os/exec"
	"syscall"
	"testing"
)

// TestMain doubles as the process that is killed.
func TestMain(m *testing.M) {
	if spec := os.Getenv("KILLPOINT_CHILD"); spec != "" {
		if err := Arm(spec); err != nil {
			os.Exit(3)
		}
		for range 2 {
			Reach("a")
			Reach("b")
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

func TestKillsAtTheNamedArrival(t *testing.T) {
	for spec, killed := range map[string]bool{"a": true, "b:2": true, "a:3": false, "none": false, "none,b": true} {
		self, err := os.Executable()
		if err != nil {
			t.Fatal(err)
		}
		command := exec.Command(self)
		command.Env = append(os.Environ(), "KILLPOINT_CHILD="+spec)
		err = command.Run()
		var exit *exec.ExitError
		switch {
		case !killed && err != nil:
			t.Errorf("%s: %v, want a normal end", spec, err)
		case killed && !errors.As(err, &exit):
			t.Errorf("%s: %v, want to be killed", spec, err)
		case killed && exit.Sys().(syscall.WaitStatus).Signal() != syscall.SIGKILL:
			t.Errorf("%s: %v, want SIGKILL", spec, err)
		}
	}
}

func TestArmCountsEachPoint(t *testing.T) {
	defer Set(nil)()
	kills := 0
	if err := arm("b:2, c:1", func() { kills++ }); err != nil {
		t.Fatal(err)
	}
	for i, step := range []struct {
		name string
		want int
	}{{"a", 0}, {"b", 0}, {"a", 0}, {"b", 1}, {"b", 1}, {"c", 2}} {
		if Reach(step.name); kills != step.want {
			t.Fatalf("step %d (%s): %d kills, want %d", i, step.name, kills, step.want)
		}
	}
}

func TestArmRefuses(t *testing.T) {
	defer Set(nil)()
	for _, spec := range []string{"a:0", "a:x", ":3", "a,,b", "a:-1"} {
		if err := arm(spec, func() {}); err == nil {
			t.Errorf("%q was accepted", spec)
		}
	}
	if err := arm("", func() {}); err != nil || hook.Load() != nil {
		t.Errorf("an empty spec: %v, hook set %v", err, hook.Load() != nil)
	}
}

func TestSetRestores(t *testing.T) {
	var outer, inner Counter
	undoOuter := Set(outer.Reach)
	undoInner := Set(inner.Reach)
	Reach("x")
	undoInner()
	Reach("x")
	undoOuter()
	Reach("x")
	if outer.Count("x") != 1 || inner.Count("x") != 1 || len(inner.Names()) != 1 {
		t.Fatalf("outer %d, inner %d", outer.Count("x"), inner.Count("x"))
	}
}

func BenchmarkReachUnarmed(b *testing.B) {
	b.ReportAllocs()
	for range b.N {
		Reach("x")
	}
}
