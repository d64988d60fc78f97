package arrivals

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"turbo/test/visible"
)

// broker returns the address of the real broker, or skips the test.
func broker(t *testing.T) string {
	t.Helper()
	address := os.Getenv("TURBO_KAFKA")
	if address == "" {
		if os.Getenv("TURBO_REAL") != "" {
			t.Fatal("TURBO_KAFKA is not set: this test must run here")
		}
		t.Skip("NOT RUN: TURBO_KAFKA is not set, so the job spec was not run against a real Kafka broker (test/real.sh does)")
	}
	return address
}

// poison are records that are no rides: they go to the dead letters.
var poison = []string{"not a number,END,2013-01-01 00:00:00,1,2,3", "7", "8,END,yesterday,-73.9,40.7,1"}

func TestArrivals(t *testing.T) {
	address := broker(t)
	dir := t.TempDir()
	turbo := filepath.Join(dir, "turbo")
	if out, err := exec.Command("go", "build", "-o", turbo, "turbo/cmd/turbo").CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	spec, err := filepath.Abs("../../examples/arrivals.yaml")
	if err != nil {
		t.Fatal(err)
	}
	all, what := rides(t)
	t.Logf("on %s, and %d records that are no rides", what, len(poison))
	var records []*kgo.Record
	for _, r := range all {
		records = append(records, &kgo.Record{Topic: "rides", Partition: int32(r.id % 4), Value: []byte(r.csv())})
	}
	half := len(records) / 2
	for i, p := range poison {
		records = append(records, &kgo.Record{Topic: "rides", Partition: int32(i), Value: []byte(p)})
	}
	produce := topic(t, address)
	produce(records[:half])

	// The job starts, and is killed after its first commit.
	j := &process{t: t, dir: dir}
	j.start(turbo, "run", spec, "-D", "BROKERS="+address)
	j.until(func() bool { read, _ := ledgerRead(t, dir); return read > 0 })
	j.signal(syscall.SIGKILL)
	read, _ := ledgerRead(t, dir)
	t.Logf("killed by SIGKILL when %d of %d records were delivered", read, len(records))

	// It starts again, and gets the rest.
	produce(records[half:])
	j.start(turbo, "run", spec, "-D", "BROKERS="+address)
	j.until(func() bool { read, _ := ledgerRead(t, dir); return read == int64(len(records)) })
	if code := j.signal(syscall.SIGTERM); code != 143 {
		t.Errorf("after SIGTERM the exit code is %d, want 143", code)
	}
	t.Logf("its last words:\n%s", j.errors.String())
	if _, dead := ledgerRead(t, dir); dead != int64(len(poison)) {
		t.Errorf("%d records are dead letters, want %d", dead, len(poison))
	}

	// turbo's own proof.
	verify := exec.Command(turbo, "verify", filepath.Join(dir, "out/arrivals"), "--source", spec, "-D", "BROKERS="+address)
	verify.Dir = dir
	out, err := verify.CombinedOutput()
	t.Logf("turbo verify --source says:\n%s", out)
	if err != nil {
		t.Errorf("turbo verify: %v", err)
	}
	compare(t, all, filepath.Join(dir, "out/arrivals"))
	totals(t, all, j.said.Bytes())
}

// topic makes the topic of the spec and returns what produces into it.
func topic(t *testing.T, address string) func([]*kgo.Record) {
	t.Helper()
	client, err := kgo.NewClient(kgo.SeedBrokers(address), kgo.RecordPartitioner(kgo.ManualPartitioner()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	admin := kadm.NewClient(client)
	ctx := context.Background()
	if _, err := admin.CreateTopic(ctx, 4, 1, nil, "rides"); err != nil {
		t.Fatalf("make the topic rides: %v (this test wants a broker of its own)", err)
	}
	t.Cleanup(func() { _, _ = admin.DeleteTopic(ctx, "rides") })
	return func(records []*kgo.Record) {
		t.Helper()
		if err := client.ProduceSync(ctx, records...).FirstErr(); err != nil {
			t.Fatalf("produce: %v", err)
		}
	}
}

// process is the job's process. What all its runs print is kept.
type process struct {
	t            *testing.T
	dir          string
	said, errors bytes.Buffer
	command      *exec.Cmd
	ended        chan struct{}
}

func (p *process) start(name string, args ...string) {
	p.t.Helper()
	p.errors.Reset()
	p.command = exec.Command(name, args...)
	p.command.Dir, p.command.Stdout, p.command.Stderr = p.dir, &p.said, &p.errors
	if err := p.command.Start(); err != nil {
		p.t.Fatal(err)
	}
	ended, command := make(chan struct{}), p.command
	p.ended = ended
	go func() {
		_ = command.Wait()
		close(ended)
	}()
	p.t.Cleanup(func() {
		_ = command.Process.Kill()
		<-ended
	})
}

func (p *process) until(done func() bool) {
	p.t.Helper()
	for deadline := time.Now().Add(3 * time.Minute); !done(); time.Sleep(20 * time.Millisecond) {
		select {
		case <-p.ended:
			p.t.Fatalf("the job ended by itself: %v\n%s", p.command.ProcessState, p.errors.String())
		default:
		}
		if time.Now().After(deadline) {
			_ = p.command.Process.Signal(syscall.SIGQUIT)
			<-p.ended
			p.t.Fatalf("it takes too long\n%s", p.errors.String())
		}
	}
}

// signal sends a signal, waits for the end and returns the exit code.
func (p *process) signal(s syscall.Signal) int {
	p.t.Helper()
	if err := p.command.Process.Signal(s); err != nil {
		p.t.Fatal(err)
	}
	select {
	case <-p.ended:
	case <-time.After(3 * time.Minute):
		p.t.Fatalf("it does not end after %v", s)
	}
	return p.command.ProcessState.ExitCode()
}

// ledgerRead sums up what the delivery ledger says was read, and what of it became dead letters.
func ledgerRead(t *testing.T, dir string) (read, dead int64) {
	t.Helper()
	f, err := os.Open(filepath.Join(dir, "out/arrivals/_turbo/ledger.jsonl"))
	if errors.Is(err, os.ErrNotExist) {
		return 0, 0
	}
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	lines := bufio.NewScanner(f)
	lines.Buffer(nil, 1<<24)
	for lines.Scan() {
		var entry struct {
			Commit *struct {
				Balance struct {
					Read int64 `json:"read"`
					Dead int64 `json:"dead_lettered"`
				} `json:"balance"`
			} `json:"commit"`
		}
		_, body, _ := bytes.Cut(lines.Bytes(), []byte(" "))             // after the checksum
		if json.Unmarshal(body, &entry) == nil && entry.Commit != nil { // the last line may be half written now
			read += entry.Commit.Balance.Read
			dead += entry.Commit.Balance.Dead
		}
	}
	return read, dead
}

func cell(lon string) int64 {
	x, _ := strconv.ParseFloat(lon, 64)
	return int64(math.Floor((74.05 - math.Abs(x)) / 0.0014))
}

// compare holds the visible files against the job's filter and projection, done here by hand.
func compare(t *testing.T, all []ride, dir string) {
	t.Helper()
	want := map[int64]ride{}
	for _, r := range all {
		if r.event == "END" && r.passengers > 0 {
			want[r.id] = r
		}
	}
	names, _, err := visible.Files(dir)
	if err != nil || len(names) == 0 {
		t.Fatalf("visible files: %v %v", names, err)
	}
	rows := 0
	for _, name := range names {
		err := visible.ReadFile(name, "parquet", []string{"ride_id", "ts", "cell", "passengers"}, func(fields []string) error {
			rows++
			id, err := strconv.ParseInt(fields[0], 10, 64)
			if err != nil {
				return err
			}
			r, is := want[id]
			if !is {
				return fmt.Errorf("ride %d is there twice, or should not be there", id)
			}
			delete(want, id)
			if got, want := strings.Join(fields[2:], ","), fmt.Sprintf("%d,%d", cell(r.lon), r.passengers); got != want {
				return fmt.Errorf("ride %d: %s, want %s", id, got, want)
			}
			if ts := strconv.FormatInt(r.ts.UnixMilli(), 10); fields[1] != ts && fields[1] != ts+"000" {
				return fmt.Errorf("ride %d: time %s, want %s", id, fields[1], ts)
			}
			if day := "day=" + r.ts.Format("2006-01-02"); filepath.Base(filepath.Dir(name)) != day {
				return fmt.Errorf("ride %d of %s lies in %s", id, day, name)
			}
			return nil
		})
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
	}
	if len(want) > 0 {
		t.Errorf("%d rides are missing", len(want))
	}
	t.Logf("%d rows in %d visible files: each ride once", rows, len(names))
}

var printedTotal = regexp.MustCompile(`[ =](-?\d+), (?:passengers=)?(\d+), (?:rides=)?(\d+), `)

// totals compares the last update of every cell that the job has printed with sums made here. Prints are not exactly once: a killed run's
// may be there twice, but the last one counts.
func totals(t *testing.T, all []ride, printed []byte) {
	t.Helper()
	type sum struct{ passengers, rides int64 }
	want := map[int64]sum{}
	for _, r := range all {
		if r.event == "END" && r.passengers > 0 {
			s := want[cell(r.lon)]
			want[cell(r.lon)] = sum{s.passengers + int64(r.passengers), s.rides + 1}
		}
	}
	got := map[int64]sum{}
	for _, m := range printedTotal.FindAllSubmatch(printed, -1) {
		c, _ := strconv.ParseInt(string(m[1]), 10, 64)
		p, _ := strconv.ParseInt(string(m[2]), 10, 64)
		n, _ := strconv.ParseInt(string(m[3]), 10, 64)
		got[c] = sum{p, n}
	}
	wrong := 0
	for c, s := range want {
		if got[c] != s {
			if wrong++; wrong <= 3 {
				t.Errorf("cell %d: printed last %+v, want %+v", c, got[c], s)
			}
		}
	}
	if wrong == 0 {
		t.Logf("the last printed totals of all %d cells are right", len(want))
	} else {
		t.Errorf("%d of %d cells are wrong", wrong, len(want))
	}
}
