package cli

import (
	"bytes"
	"context"
	"image/png"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"unicode/utf8"
)

// TestDemoTaxi: in a pipe the demo is a few lines, a map in ASCII and a picture; what it counts does not depend on the number of workers.
func TestDemoTaxi(t *testing.T) {
	for _, parallelism := range []int{1, 2} {
		var out bytes.Buffer
		picture := filepath.Join(t.TempDir(), "taxi.png")
		d := taxiDemo{rows: 60_000, parallelism: parallelism, png: picture, out: &out}
		if err := d.run(t.Context()); err != nil {
			t.Fatalf("%v\n%s", err, &out)
		}
		text := out.String()
		for _, part := range []string{"generated rides, as fast as possible", "Shown: 60,000 events (generated rides), 2013-01-01 00:10 to 01:02 UTC", "23,506 arrivals of 54,976 passengers in 4,675 cells", "28,923 final counts of 13 windows", "50 passengers apart", picture} {
			if !strings.Contains(text, part) {
				t.Errorf("%d workers: %q is not in\n%s", parallelism, part, text)
			}
		}
		if strings.Contains(text, "\x1b") || strings.IndexFunc(text, func(r rune) bool { return r > 126 }) >= 0 {
			t.Error("escapes or more than ASCII in a pipe")
		}
		if n := strings.Count(text, "\n"); n > 55 {
			t.Errorf("%d lines are too many", n)
		}
		f, err := os.Open(picture)
		if err != nil {
			t.Fatal(err)
		}
		img, err := png.Decode(f)
		f.Close()
		if err != nil {
			t.Fatal(err)
		}
		bright := 0
		for y := range img.Bounds().Dy() {
			for x := range img.Bounds().Dx() {
				if r, g, b, _ := img.At(x, y).RGBA(); max(r, g, b) > 0x8000 {
					bright++
				}
			}
		}
		if size := img.Bounds().Size(); size.X < 600 || size.Y < 800 || bright < size.X*size.Y/40 {
			t.Errorf("a picture of %v with %d bright points", size, bright)
		}
	}
}

var events = regexp.MustCompile(`([0-9,]+) events?`)

var escape = regexp.MustCompile("\x1b\\[[?0-9;]*[A-Za-z]")

// TestDemoTaxiScreen: whatever the size of the terminal, no line is wider, and there are not more lines.
func TestDemoTaxiScreen(t *testing.T) {
	d := taxiDemo{rows: 60_000, parallelism: 1, png: filepath.Join(t.TempDir(), "taxi.png"), out: &bytes.Buffer{}}
	if err := d.run(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, columns := range []int{0, 1, 39, 40, 41, 69, 70, 80, 100, 132, 200, 500} {
		for _, rows := range []int{0, 1, 9, 10, 11, 12, 24, 25, 50, 100, 300} {
			lines := d.screen(columns, rows)
			if len(lines) > max(rows, 1) {
				t.Errorf("%d lines on %d by %d", len(lines), columns, rows)
			}
			for _, line := range lines {
				if n := utf8.RuneCountInString(escape.ReplaceAllString(line, "")); n > columns {
					t.Errorf("%d by %d: a line of %d: %q", columns, rows, n, line)
				}
			}
		}
	}
	screen := strings.Join(d.screen(100, 30), "\n")
	for _, part := range []string{"▀", "Most from 01:00 to 01:15", "Early: 50 more came", "few to many in 15 minutes", "2013-01-01 01:02 UTC"} {
		if !strings.Contains(screen, part) {
			t.Errorf("%q is not in\n%s", part, screen)
		}
	}
}

// TestDemoTaxiLive: the terminal is left as it was, also when its size changes and when the demo is stopped.
func TestDemoTaxiLive(t *testing.T) {
	var out bytes.Buffer
	ctx, cancel := context.WithCancel(t.Context())
	d := taxiDemo{rows: taxiRows, speed: 60, parallelism: 2, png: filepath.Join(t.TempDir(), "taxi.png"), out: &out}
	frames := 0
	d.size = func() (int, int, error) {
		if frames++; frames == 4 {
			cancel()
		}
		return 80 + frames%2, 24, nil
	}
	if err := d.run(ctx); err != nil {
		t.Fatal(err)
	}
	enter, leave := strings.Index(out.String(), "\x1b[?1049h"), strings.Index(out.String(), "\x1b[?25h\x1b[?1049l")
	if enter != 0 || leave < 0 || strings.Count(out.String(), "\x1b[2J") < 3 {
		t.Errorf("entered at %d, left at %d:\n%q", enter, leave, out.String())
	}
	after := out.String()[leave:]
	read := events.FindStringSubmatch(after)
	if read == nil {
		t.Fatalf("no summary after the map: %q", after)
	}
	if n, err := strconv.Atoi(strings.ReplaceAll(read[1], ",", "")); err != nil || n >= taxiRows { // which takes two minutes at that speed
		t.Errorf("it goes on after it was stopped: %q", after)
	}
}

func TestDemoTaxiMisused(t *testing.T) {
	for _, c := range []struct {
		args []string
		want string
	}{
		{[]string{"--speed", "-1"}, "--speed of at least 0"},
		{[]string{"--input", "/none/such.csv"}, "no such file"},
		{[]string{"x"}, "unknown command"},
	} {
		if _, err := turbo(t, append([]string{"demo", "taxi"}, c.args...)...); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%v: %v", c.args, err)
		}
	}
}

// TestDemoTaxiJob: the demo counts what the examples count.
func TestDemoTaxiJob(t *testing.T) {
	for name, streams := range map[string][]string{"total-arrivals": {"cells", "totals"}, "early-arrivals": {"cells", "popular"}} {
		text, err := os.ReadFile("../examples/taxi/" + name + ".yaml")
		if err != nil {
			t.Fatal(err)
		}
		for _, stream := range streams {
			_, block, _ := strings.Cut(string(text), "\n  "+stream+":\n")
			for line := range strings.Lines(block) {
				if !strings.HasPrefix(line, "    ") {
					break
				}
				line, _, _ = strings.Cut(strings.TrimSpace(line), "   #")
				if line != "passengers:" && !strings.Contains(taxiSpec, line+"\n") {
					t.Errorf("%s has %q, the demo has not", name, line)
				}
			}
		}
	}
}
