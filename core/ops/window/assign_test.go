package window

import (
	"testing"
	"time"

	"turbo/core"
)

// Windows on the clocks of a zone hold the times that are assigned to them, also where clocks are put forward or back, and tumbling ones of one name are one.
func TestZonedWindows(t *testing.T) {
	zone, err := time.LoadLocation("Europe/Zurich")
	if err != nil {
		t.Skip(err)
	}
	const minute = 60_000_000
	for _, day := range []time.Time{time.Date(2024, 3, 30, 12, 0, 0, 0, zone), time.Date(2024, 10, 26, 12, 0, 0, 0, zone), time.Date(1969, 12, 31, 0, 0, 0, 0, zone)} {
		for _, size := range []int64{30 * minute, 60 * minute, 180 * minute, 1440 * minute} {
			for kind := Tumbling; kind <= Cumulating; kind++ {
				c := Config{Kind: kind, Size: size, Slide: size / 3, Offset: 10 * minute, Zone: zone}
				a := newAssigner(&c)
				ends := map[core.Time]core.Time{}
				for m := range int64(36 * 60) {
					at := core.TimeOf(day) + core.Time(m*minute)
					windows := a.assign(at, nil)
					if want := map[Kind]int{Tumbling: 1, Sliding: 3}[kind]; want > 0 && len(windows) != want || len(windows) == 0 {
						t.Fatalf("%v of %v at %v: %d windows", kind, time.Duration(size)*1000, at, len(windows))
					}
					for _, w := range windows {
						if at < w.Start || at >= w.End {
							t.Fatalf("%v of %v: %v is not in [%v, %v)", kind, time.Duration(size)*1000, at, w.Start, w.End)
						}
						if end, ok := ends[w.Start]; kind == Tumbling && ok && end != w.End {
							t.Fatalf("the window from %v ends at %v and at %v", w.Start, end, w.End)
						}
						ends[w.Start] = w.End
					}
				}
			}
		}
	}
}

// Windows in UTC against their definition.
func TestAssign(t *testing.T) {
	for _, c := range []Config{{Kind: Tumbling, Size: 7}, {Kind: Sliding, Size: 7, Slide: 3, Offset: 2}, {Kind: Sliding, Size: 3, Slide: 7, Offset: -1},
		{Kind: Cumulating, Size: 12, Slide: 3, Offset: 5}} {
		a := newAssigner(&c)
		for at := core.Time(-40); at < 40; at++ {
			got := a.assign(at, nil)
			n := 0
			for start := core.Time(-100); start < 100; start++ {
				for end := start + 1; end < 120; end++ {
					length := int64(end - start)
					is := false
					switch c.Kind {
					case Tumbling:
						is = length == c.Size && floorMod(int64(start)-c.Offset, c.Size) == 0
					case Sliding:
						is = length == c.Size && floorMod(int64(start)-c.Offset, c.Slide) == 0
					case Cumulating:
						is = length <= c.Size && length%c.Slide == 0 && floorMod(int64(start)-c.Offset, c.Size) == 0
					}
					if is && start <= at && at < end {
						n++
						found := false
						for _, w := range got {
							found = found || w == Window{start, end}
						}
						if !found {
							t.Fatalf("%v: %d is not in [%d, %d): %v", c.Kind, at, start, end, got)
						}
					}
				}
			}
			if n != len(got) {
				t.Fatalf("%v: %d has %d windows, not %d: %v", c.Kind, at, n, len(got), got)
			}
		}
	}
}
