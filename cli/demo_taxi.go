package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"time"
	"unicode"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"turbo/core"
	"turbo/run"
)

func newDemoTaxi() *cobra.Command {
	d := taxiDemo{}
	c := &cobra.Command{
		Use:   "taxi",
		Short: "Show where taxis arrive in New York, live, on a map in the terminal that fills in",
		Long: `Runs the job of examples/taxi over generated rides, or real ones with --input: the passengers who arrived in the last fifteen minutes, per cell of a
grid, every five minutes; and early counts, each time that another fifty have arrived in a window. The map shows them as they come; what had arrivals
before stays faintly there. At the end, a picture of all arrivals is written as a PNG. In a pipe, or with NO_COLOR set, lines of text take its place, and a map of signs comes at the end.

The file of --input is CSV (.gz too) with the columns ride_id, START or END, time, other time, start lon, start lat, end lon, end lat, passengers, taxi_id,
driver_id, in the order of time.`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			if d.speed < 0 || d.rows < 1 || d.parallelism < 1 {
				return misused(errors.New("the demo needs --speed of at least 0, --rows and --parallelism of at least 1"))
			}
			ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
			defer stop()
			d.out = c.OutOrStdout()
			if f, ok := d.out.(*os.File); ok && terminal(f) && os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb" {
				d.size = func() (int, int, error) { return term.GetSize(int(f.Fd())) }
			}
			if err := d.run(ctx); err != nil {
				return failed(err)
			}
			if ctx.Err() != nil {
				return &codeError{exitSIGINT, errors.New("the demo was stopped")}
			}
			return nil
		},
	}
	c.Flags().StringVar(&d.input, "input", "", "a file of rides; default: generated ones")
	c.Flags().Float64Var(&d.speed, "speed", 300, "how many times as fast as the rides' own time; 0: as fast as possible")
	c.Flags().IntVar(&d.rows, "rows", taxiRows, "events to generate")
	c.Flags().StringVar(&d.png, "png", "", "where to write the picture; default: a temporary file")
	c.Flags().IntVarP(&d.parallelism, "parallelism", "p", min(runtime.NumCPU(), 4), "workers of the job")
	c.Flags().Lookup("parallelism").DefValue = "the number of CPUs, up to 4"
	return c
}

type taxiDemo struct {
	input             string
	speed             float64
	rows, parallelism int
	png               string

	out  io.Writer
	size func() (columns, rows int, err error) // of the terminal; nil: there is none
	what string
	city *city
}

// run runs the job to its end, or to that of ctx, and shows what it says.
func (d *taxiDemo) run(ctx context.Context) error {
	d.what, d.city = "generated rides", newCity()
	if d.input != "" {
		if _, err := os.Stat(d.input); err != nil { // before the screen is changed
			return err
		}
		d.what = strings.Map(func(r rune) rune {
			if !unicode.IsPrint(r) {
				return '?'
			}
			return r
		}, filepath.Base(d.input))
	}
	process, err := taxiJob(d.input, d.speed, d.rows, d.parallelism, d.city)
	if err != nil {
		return err
	}
	began := time.Now()
	stop := context.AfterFunc(ctx, process.Supervisor.Stop)
	defer stop()
	done := make(chan error, 1)
	go func() {
		_, err := process.Run(context.WithoutCancel(ctx))
		done <- err
	}()
	if d.size != nil {
		err = d.live(done)
	} else {
		err = d.lines(done)
	}
	took := time.Since(began)
	if err != nil {
		return err
	}
	return d.summary(process, took)
}

// live draws until the job ends. The screen is the terminal's other one: what was there before comes back.
func (d *taxiDemo) live(done <-chan error) (err error) {
	if _, err := io.WriteString(d.out, "\x1b[?1049h\x1b[?25l\x1b[?7l\x1b[2J"); err != nil { // the other screen, no cursor, no wrapping
		return err
	}
	defer func() {
		_, e := io.WriteString(d.out, "\x1b[0m\x1b[?7h\x1b[?25h\x1b[?1049l")
		err = errors.Join(err, e)
	}()
	ticker := time.NewTicker(100 * time.Millisecond)
	defer ticker.Stop()
	for wide, high := 0, 0; ; {
		columns, rows, err := d.size()
		if err != nil {
			columns, rows = 80, 24
		}
		var b strings.Builder
		if columns != wide || rows != high { // what was drawn for another size is in the way
			b.WriteString("\x1b[2J")
			wide, high = columns, rows
		}
		for i, line := range d.screen(columns, rows) {
			fmt.Fprintf(&b, "\x1b[%d;1H%s\x1b[K", i+1, line)
		}
		if _, err := io.WriteString(d.out, b.String()); err != nil {
			return err
		}
		select {
		case err := <-done:
			return err
		case <-ticker.C:
		}
	}
}

// lines tells in a few lines of text what happens, one for each half hour of the rides.
func (d *taxiDemo) lines(done <-chan error) error {
	fmt.Fprintf(d.out, "Taxis arrive in New York: %s, %s.\n", d.what, d.pace())
	ticker := time.NewTicker(20 * time.Millisecond)
	defer ticker.Stop()
	const step = core.Time(30 * time.Minute / time.Microsecond)
	for told := core.Time(0); ; {
		select {
		case err := <-done:
			return err
		case <-ticker.C:
		}
		f, closed := d.city.figures()
		if told == 0 {
			told = closed / step
		}
		if closed/step > told {
			told = closed / step
			line := fmt.Sprintf("%s UTC: %s in %s of the grid, %s", clockText(closed, "2006-01-02 15:04"), many(f.Arrivals, "arrival"), many(f.Cells, "cell"), many(f.Earlies, "early count"))
			if top, _ := d.city.popular(1); len(top) > 0 {
				line += fmt.Sprintf("; most in 15 minutes: %s at %.4f, %.4f", many(top[0].passengers, "passenger"), top[0].lat(), top[0].lon())
			}
			fmt.Fprintln(d.out, line)
		}
	}
}

func (d *taxiDemo) pace() string {
	if d.speed == 0 {
		return "as fast as possible"
	}
	return fmt.Sprintf("%g times as fast as they were", d.speed)
}

// summary draws everything that has arrived, says what was shown, and writes the picture.
func (d *taxiDemo) summary(process *run.Process, took time.Duration) error {
	f, closed := d.city.figures()
	read := flow(process.Supervisor.Status()).read
	if f.Arrivals == 0 {
		fmt.Fprintf(d.out, "%s read in %.1f s: no ride has ended in the city, so there is no picture.\n", many(read, "event"), took.Seconds())
		return nil
	}
	var picture []string
	if d.size == nil {
		v := newView(78, 40, 2)
		picture = asciiMap(v, d.city.pixels(v))
	} else {
		columns, rows, err := d.size()
		if err != nil {
			columns, rows = 80, 24
		}
		v := newView(columns, 2*min(max(rows-8, 8), 60), 1)
		pixels := d.city.pixels(v)
		picture = halfBlocks(v, pixels, totalColour(pixels))
	}
	fmt.Fprintf(d.out, "%s\n\n", strings.Join(picture, "\n"))
	fmt.Fprintf(d.out, "Shown: %s (%s), %s to %s UTC, in %.1f s: %s of %s in %s of the city.\n", many(read, "event"), d.what, clockText(f.First, "2006-01-02 15:04"), clockText(f.Clock, "15:04"),
		took.Seconds(), many(f.Arrivals, "arrival"), many(f.Passengers, "passenger"), many(f.Cells, "cell"))
	fmt.Fprintf(d.out, "Windows of 15 minutes, every 5: %s of %s up to %s, and %s before their ends, 50 passengers apart.\n", many(f.Finals, "final count"), many(f.Windows, "window"),
		clockText(closed, "15:04"), many(f.Earlies, "early count"))
	if b := f.Busiest; b.passengers > 0 {
		fmt.Fprintf(d.out, "Busiest: %s in the 15 minutes to %s at %.4f, %.4f.\n", many(b.passengers, "passenger"), clockText(b.end, "15:04"), b.lat(), b.lon())
	}
	name, err := d.write()
	if err != nil {
		return err
	}
	fmt.Fprintf(d.out, "The picture of all arrivals: %s\n", name)
	return nil
}

// write writes the picture and returns its name.
func (d *taxiDemo) write() (name string, err error) {
	var f *os.File
	if d.png == "" {
		f, err = os.CreateTemp("", "turbo-taxi-*.png")
	} else {
		f, err = os.Create(d.png)
	}
	if err != nil {
		return "", err
	}
	err = d.city.picture(f, d.what)
	return f.Name(), errors.Join(err, f.Close())
}
