package shuffle

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"turbo/core"
)

// gateCase drives a gate with a script: "0 w5" sends watermark 5 on channel 0; "0 d1" a row of value 1; i, a, e, b3, f3 (final barrier)
// idle, active, end and barriers. After each step everything is polled; the expected output follows "=".
var gateCases = []struct{ name, ports, script string }{
	{"minimum", "2", "0 w5 =; 1 w3 = W3; 1 w4 = W4; 1 w9 = W5; 0 w7 = W7; 0 w20 = W9"},
	{"falling watermark ignored", "1", "0 w5 = W5; 0 w4 =; 0 w6 = W6"},
	{"idle channel does not hold back", "2", "0 w5 =; 1 i = W5; 0 w6 = W6; 1 a =; 0 w9 = W9; 1 w8 =; 0 w10 = W10; 1 w12 =; 0 w11 = W11; 0 w20 = W12"},
	{"all idle rises to the largest", "2", "0 w5 =; 1 w3 = W3; 0 i =; 1 i = W5 idle; 1 w9 =; 1 a = active; 1 w9 = W9"},
	{"idle in the other order", "2", "0 w5 =; 1 w3 = W3; 1 i = W5; 0 i = idle; 0 a = active; 0 w6 = W6"},
	{"idle twice", "1", "0 i = idle; 0 i =; 0 a = active; 0 a ="},
	{"end does not hold back", "2", "0 w5 =; 1 e = W5; 0 w6 = W6; 0 e = end0"},
	{"end does not raise", "2", "0 w9 =; 1 w3 = W3; 0 e =; 1 w4 = W4; 1 e = end0"},
	{"end of bounded input", "2", "0 w9223372036854775807 =; 0 e =; 1 w4 = W4; 1 w9223372036854775807 = Wmax; 1 e = end0"},
	{"end leaves an idle channel", "2", "0 w5 =; 1 w3 = W3; 0 i =; 1 e = W5 idle; 0 e = end0"},
	{"ports share the watermark", "1,1", "0 w5 =; 0 d1 = 0:1; 1 w3 = W3; 1 d2 = 1:2; 0 e = end0; 1 w7 = W7; 0 b1 =; 1 b1 = B1; 1 e = end1"},
	{"end of a port while the other lives", "2,1", "0 e =; 1 e = end0; 2 d3 = 1:3; 2 e = end1"},
	{"alignment closes a channel", "2", "0 b1 =; 0 d1 =; 0 w5 =; 1 d2 = 0:2; 1 w6 =; 1 b1 = B1 0:1 W5"},
	{"ended channels still send barriers", "2", "0 e =; 1 d1 = 0:1; 1 b1 =; 1 d2 =; 0 b1 = B1 0:2; 1 f2 =; 0 f2 = F2"},
	{"final on one channel only", "2", "0 f1 =; 1 b1 = B1; 1 d1 = 0:1; 1 b2 = B2; 1 f3 = F3"},
	{"newer barrier gives the older up", "2", "0 b1 =; 0 d1 =; 1 b2 = 0:1; 1 d2 =; 0 b2 = B2 0:2; 0 b3 =; 1 b3 = B3"},
	{"riding watermarks come behind their rows", "2", "0 r1@5 = 0:1; 1 r2@3 = 0:2 R3; 1 r4@3 = 0:4; 1 r5@4 = 0:5 R4; 0 d6 = 0:6"},
	{"what rode is told again", "2", "0 r1@5 = 0:1; 1 r2@3 = 0:2 R3; 0 w5 = W3; 1 w3 =; 1 w9 = W5; 1 w9 =; 0 r3@7 = 0:3 R7; 1 w9 = W7"},
	{"a riding watermark of an idle channel", "2", "0 w5 =; 1 i = W5; 1 r1@9 = 0:1; 0 r2@6 = 0:2 R6"},
	{"barrier given up comes late", "2", "0 b2 =; 1 b1 =; 1 d1 = 0:1; 1 b2 = B2; 1 b2 =; 1 d2 = 0:2"},
}

func TestGate(t *testing.T) {
	for _, c := range gateCases {
		t.Run(c.name, func(t *testing.T) {
			account := newPool(t).Account("gate")
			g, channels := newGate(c.ports)
			for _, step := range strings.Split(c.script, ";") {
				send, want, _ := strings.Cut(step, "=")
				var i int
				var verb string
				fmt.Sscan(send, &i, &verb)
				channels[i].push(scripted(account, verb), Credit{})
				if got := strings.Join(pollAll(g), " "); got != strings.TrimSpace(want) {
					t.Fatalf("after %q: got %q, want %q", strings.TrimSpace(send), got, strings.TrimSpace(want))
				}
			}
		})
	}
}

func TestGateAligning(t *testing.T) {
	g, channels := newGate("3")
	channels[1].push(core.Message{Kind: core.BarrierMessage, Checkpoint: 4}, Credit{})
	pollAll(g)
	if id, missing := g.Aligning(); id != 4 || missing != 2 {
		t.Errorf("got checkpoint %d, %d missing", id, missing)
	}
	channels[1].push(core.Message{Kind: core.EndMessage}, Credit{})
	if g.Ready() || g.Queued() != 1 {
		t.Error("a closed channel makes the gate ready")
	}
	for _, i := range []int{0, 2} {
		channels[i].push(core.Message{Kind: core.BarrierMessage, Checkpoint: 4}, Credit{})
	}
	pollAll(g)
	if id, missing := g.Aligning(); id != 0 || missing != 0 {
		t.Errorf("got checkpoint %d, %d missing", id, missing)
	}
}

func TestSnapshot(t *testing.T) {
	script := func(g *Gate, channels []*Channel, verbs ...string) string {
		for _, v := range verbs {
			var i int
			var verb string
			fmt.Sscan(v, &i, &verb)
			channels[i].push(scripted(nil, verb), Credit{})
			if v != verbs[len(verbs)-1] {
				pollAll(g)
			}
		}
		return strings.Join(pollAll(g), " ")
	}
	a, channels := newGate("3")
	script(a, channels, "0 w5", "1 w3", "2 w7", "2 i", "0 w9")
	saved := a.Snapshot()
	ended, channels := newGate("2")
	script(ended, channels, "1 w3", "0 w"+fmt.Sprint(int64(core.MaxTime)), "0 e")
	for _, c := range []struct {
		name, ports string
		snapshots   [][]byte
		want        string // at the first poll
		verbs       []string
		then        string
	}{
		{"same shape: every channel speaks again", "3", [][]byte{saved}, "W3", []string{"0 w9", "2 i", "1 w8"}, "W8"},
		{"same shape: splits have moved to a sender that was ahead", "3", [][]byte{saved}, "W3", []string{"0 w4", "2 i", "1 w20"}, "W4"},
		{"same shape: splits have moved to a sender that had ended", "2", [][]byte{ended.Snapshot()}, "W3", []string{"0 w4", "1 w" + fmt.Sprint(int64(core.MaxTime)), "1 e", "0 w6"}, "W6"},
		{"other shape", "2", [][]byte{saved}, "W3", []string{"0 w6", "1 w5"}, "W5"},
		{"merged: the smallest", "2", [][]byte{saved, snapshotAt(4), snapshotAt(2)}, "W2", []string{"0 w6", "1 w5"}, "W5"},
		{"nothing seen yet", "2", [][]byte{snapshotAt(core.MinTime)}, "", []string{"0 w6", "1 w5"}, "W5"},
		{"none", "2", nil, "", []string{"0 w6", "1 w5"}, "W5"},
	} {
		t.Run(c.name, func(t *testing.T) {
			g, channels := newGate(c.ports)
			if err := g.Restore(c.snapshots...); err != nil {
				t.Fatal(err)
			}
			if got := strings.Join(pollAll(g), " "); got != c.want {
				t.Errorf("first: got %q, want %q", got, c.want)
			}
			if got := script(g, channels, c.verbs...); got != c.then {
				t.Errorf("then: got %q, want %q", got, c.then)
			}
		})
	}
	t.Run("again the same bytes", func(t *testing.T) {
		g, _ := newGate("3")
		if err := g.Restore(saved); err != nil || !bytes.Equal(g.Snapshot(), saved) {
			t.Errorf("%v\n%x\n%x", err, g.Snapshot(), saved)
		}
	})
	t.Run("all idle", func(t *testing.T) { // the senders say so again
		b, channels := newGate("2")
		script(b, channels, "0 w5", "0 i", "1 w9", "1 i")
		g, channels := newGate("2")
		if err := g.Restore(b.Snapshot()); err != nil {
			t.Fatal(err)
		}
		if got := strings.Join(pollAll(g), " "); got != "W9" || g.Idle() {
			t.Errorf("got %q", got)
		}
		if got := script(g, channels, "0 i", "1 i"); got != "idle" || !g.Idle() {
			t.Errorf("then %q", got)
		}
	})
}

func snapshotAt(t core.Time) []byte {
	g, _ := newGate("1")
	g.valve.last = t
	return g.Snapshot()
}

func FuzzRestore(f *testing.F) {
	f.Add(snapshotAt(5))
	f.Add([]byte{})
	f.Add([]byte{2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0})
	f.Fuzz(func(t *testing.T, b []byte) {
		g, _ := newGate("1")
		before := g.Snapshot()
		if err := g.Restore(b); err != nil {
			if !bytes.Equal(g.Snapshot(), before) {
				t.Error("a refused snapshot changed the gate")
			}
			return
		}
		g2, _ := newGate("1")
		if err := g2.Restore(g.Snapshot()); err != nil || !bytes.Equal(g2.Snapshot(), g.Snapshot()) {
			t.Errorf("a restored gate does not restore: %v", err)
		}
	})
}

// Random interleavings against a naive model, and against the properties of the package comment.
func TestGateModel(t *testing.T) {
	s := seed(t)
	for round := range 400 {
		rng := rand.New(rand.NewPCG(s, uint64(round)))
		account := newPool(t).Account("gate")
		ports := []string{"1", "2", "3", "1,1", "2,3", "4,1,1"}[rng.IntN(6)]
		g, channels := newGate(ports)
		m := newModel(g)
		type sender struct {
			value      int64
			watermark  core.Time
			checkpoint uint64
			idle, done bool
		}
		senders := make([]sender, len(channels))
		var got, want []string
		for range 150 {
			if rng.IntN(3) == 0 {
				for range rng.IntN(4) {
					e, ok := g.Poll()
					w, wok := m.poll()
					if ok != wok {
						t.Fatalf("round %d: Poll gave %v %v, model %q %v", round, e, ok, w, wok)
					}
					if ok {
						got, want = append(got, eventText(e)), append(want, w)
						if got[len(got)-1] != w {
							t.Fatalf("round %d, ports %s:\ngot  %q\nwant %q", round, ports, got, want)
						}
					}
				}
				continue
			}
			i := rng.IntN(len(channels))
			d := &senders[i]
			var verb string
			switch k := rng.IntN(12); {
			case k < 5 && !d.done && !d.idle:
				d.value++
				verb = fmt.Sprintf("d%d", int64(i)<<32+d.value)
				if rng.IntN(2) == 0 {
					d.watermark += core.Time(rng.IntN(5))
					verb = fmt.Sprintf("r%d@%d", int64(i)<<32+d.value, d.watermark)
				}
			case k < 8 && !d.done:
				d.watermark += core.Time(rng.IntN(5))
				verb = fmt.Sprintf("w%d", d.watermark)
			case k == 8 && !d.done:
				if d.idle = !d.idle; d.idle {
					verb = "i"
				} else {
					verb = "a"
				}
			case k == 9 && !d.done && rng.IntN(8) == 0:
				d.done, verb = true, "e"
			case k >= 10:
				d.checkpoint++
				if rng.IntN(6) == 0 {
					d.checkpoint++ // this sender missed one
				}
				verb = fmt.Sprintf("b%d", d.checkpoint)
			default:
				continue
			}
			if channels[i].Len() == channels[i].Slots() {
				continue
			}
			message := scripted(account, verb)
			channels[i].push(message, Credit{})
			m.queues[i] = append(m.queues[i], verb)
		}
		checkCuts(t, got, m.sent())
		g.Close()
	}
}

// checkCuts checks invariant 7: what came before the event for barrier n is exactly what each channel sent before its barrier n,
// in order, and nothing comes twice.
func checkCuts(t *testing.T, events []string, sent [][]string) {
	seen := map[string]bool{}
	for _, e := range events {
		if id, ok := strings.CutPrefix(e, "B"); ok {
			for _, verbs := range sent {
				before := true
				for _, v := range verbs {
					if v == "b"+id {
						before = false
					}
					value, _, _ := strings.Cut(v[1:], "@")
					if (v[0] == 'd' || v[0] == 'r') && seen[value] != before {
						t.Fatalf("barrier %s cuts wrongly at row %s", id, value)
					}
				}
			}
		}
		if _, value, ok := strings.Cut(e, ":"); ok {
			if seen[value] {
				t.Fatalf("row %s twice", value)
			}
			seen[value] = true
		}
	}
}

// newGate makes a gate; ports is the number of channels of each port.
func newGate(ports string) (*Gate, []*Channel) {
	var all []*Channel
	var byPort [][]*Channel
	for _, p := range strings.Split(ports, ",") {
		var n int
		fmt.Sscan(p, &n)
		var channels []*Channel
		for range n {
			channels = append(channels, NewChannel(Budget{}, sleepless(), sleepless()))
		}
		byPort = append(byPort, channels)
		all = append(all, channels...)
	}
	return NewGate(byPort...), all
}

func pollAll(g *Gate) (out []string) {
	for {
		e, ok := g.Poll()
		if !ok {
			return out
		}
		out = append(out, eventText(e))
	}
}

// eventText renders an event and releases its batch.
func eventText(e Event) string {
	switch e.Kind {
	case core.DataMessage:
		defer e.Batch.Release()
		return fmt.Sprintf("%d:%d", e.Port, e.Batch.Columns[0].Int64s()[0])
	case core.WatermarkMessage:
		if e.Time == core.MaxTime {
			return "Wmax"
		}
		if e.Flags&core.Riding != 0 {
			return fmt.Sprintf("R%d", e.Time)
		}
		return fmt.Sprintf("W%d", e.Time)
	case core.IdleMessage:
		return "idle"
	case core.ActiveMessage:
		return "active"
	case core.EndMessage:
		return fmt.Sprintf("end%d", e.Port)
	case core.BarrierMessage:
		if e.Flags&core.FinalBarrier != 0 {
			return fmt.Sprintf("F%d", e.Checkpoint)
		}
		return fmt.Sprintf("B%d", e.Checkpoint)
	}
	return fmt.Sprint(e)
}
