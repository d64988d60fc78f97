package kafka

import (
	"fmt"
	"slices"
	"sort"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"turbo/core"
	"turbo/internal/devbroker"
	"turbo/io/connector"
)

func values(rows []row) string {
	var out []string
	for _, r := range rows {
		out = append(out, r.value)
	}
	return strings.Join(out, " ")
}

func TestReadFromTheStart(t *testing.T) {
	r := newRig(t, topics("a:3", "b:1"))
	r.workers = 2
	for p := range 3 {
		r.produce("a", int32(p), numbered(fmt.Sprintf("a%d-", p), 0, 200)...)
	}
	r.produce("b", 0, "x", "y")
	run := r.open("topic: [a, b]", nil)
	run.untilRows(602)
	for p := range 3 {
		if got, want := values(run.seen[SplitID("a", int32(p))]), strings.Join(numbered(fmt.Sprintf("a%d-", p), 0, 200), " "); got != want {
			t.Errorf("partition %d: %s", p, got)
		}
	}
	if got := fmt.Sprint(run.ids); got != "[[a/0 a/2] [a/1 b/0]]" {
		t.Errorf("division of the splits: %s", got)
	}
	if lag, ok := run.source.Lag(); !ok || lag != 0 {
		t.Errorf("lag %d %v", lag, ok)
	}
	if run.read != 602 {
		t.Errorf("read %d", run.read)
	}
}

// The first snapshot has the resolved positions of all splits, before any event was polled.
func TestFirstSnapshot(t *testing.T) {
	r := newRig(t, topics("a:2"))
	r.produce("a", 0, "1", "2", "3")
	run := r.open("topic: a; start: latest", nil)
	if got := positions(run.snapshot()); got != "a/0=3 a/1=0" {
		t.Fatalf("first snapshot: %s", got)
	}
	state := run.snapshot()
	run.close()
	r.produce("a", 0, "4")
	r.produce("a", 1, "5")
	run = r.open("topic: a; start: latest", state)
	run.untilRows(2)
	if got := values(run.seen["a/0"]) + " " + values(run.seen["a/1"]); got != "4 5" {
		t.Errorf("after the restart: %s", got)
	}
}

func positions(states []core.SplitState) string {
	var out []string
	for _, s := range states {
		out = append(out, s.ID+"="+string(s.Position))
	}
	sort.Strings(out)
	return strings.Join(out, " ")
}

// Restarts at random points, with producing in between: every record exactly once, in order.
func TestRestartsAtRandomPoints(t *testing.T) {
	random := seeded(t)
	r := newRig(t, topics("a:3"))
	r.rows = 7
	var want [3]int
	produce := func() {
		for p := range want {
			n := random.IntN(40)
			if n > 0 {
				r.produce("a", int32(p), numbered("", want[p], n)...)
			}
			want[p] += n
		}
	}
	produce()
	var state []core.SplitState
	next := map[string]int64{}
	total := func() (n int) { return want[0] + want[1] + want[2] }
	done := 0
	for attempt := 0; attempt < 8; attempt++ {
		r.workers = 1 + random.IntN(3)
		run := r.open("topic: a", state)
		produce()
		target := done + random.IntN(total()-done+1)
		if attempt == 7 {
			target = total()
		}
		// Rows after the snapshot are read and lost with the attempt: the next one must bring them again.
		snapshotAt := done + random.IntN(target-done+1)
		taken := false
		run.until(func() bool {
			if !taken && done+run.rows >= snapshotAt {
				taken = true
				state = run.snapshot()
				for id, rows := range run.seen {
					for _, row := range rows {
						if row.offset != next[id] || row.value != fmt.Sprint(next[id]) {
							t.Fatalf("%s: offset %d with %s, want %d", id, row.offset, row.value, next[id])
						}
						next[id]++
					}
				}
				done += run.rows
				run.rows, run.seen = 0, map[string][]row{}
			}
			return taken && done+run.rows >= target
		})
		run.close()
		var got []string
		for id, n := range next {
			got = append(got, fmt.Sprintf("%s=%d", id, n))
		}
		sort.Strings(got)
		for _, s := range state {
			if string(s.Position) != fmt.Sprint(next[s.ID]) {
				t.Fatalf("attempt %d: snapshot has %s at %s, rows say %d", attempt, s.ID, s.Position, next[s.ID])
			}
		}
	}
}

func TestBounded(t *testing.T) {
	r := newRig(t, topics("a:2", "empty"))
	r.workers = 2
	r.produce("a", 0, numbered("", 0, 100)...)
	r.produce("a", 1, "x")
	run := r.open("topic: [a, empty]; stop: end", nil)
	r.produce("a", 0, "later")
	if got := positions(run.snapshot()); got != "a/0=0/100 a/1=0/1 empty/0=0/0" {
		t.Errorf("bounds: %s", got)
	}
	run.untilEnd()
	if len(run.seen["a/0"]) != 100 || len(run.seen["a/1"]) != 1 || run.rows != 101 {
		t.Errorf("rows: %v", run.seen)
	}
	sort.Strings(run.ended)
	if got := strings.Join(run.ended, " "); got != "a/0 a/1" {
		t.Errorf("ended: %s", got)
	}
	// A restart from the end is at the end, although more has come.
	state := run.snapshot()
	run.close()
	run = r.open("topic: [a, empty]; stop: end", state)
	run.untilEnd()
	if run.rows != 0 {
		t.Errorf("rows after the end: %v", run.seen)
	}
}

// The job's "stop" may change while it has state: bounds come, and go.
func TestStopChangesAfterRestore(t *testing.T) {
	r := newRig(t, topics("a:2"))
	r.produce("a", 0, "1", "2", "3")
	run := r.open("topic: a", nil)
	run.untilRows(3)
	state := run.snapshot()
	run.close()
	r.produce("a", 1, "4")
	run = r.open("topic: a; stop: end", state)
	run.untilEnd()
	state = run.snapshot()
	if got := positions(state); got != "a/0=3/3 a/1=1/1" || run.rows != 1 {
		t.Errorf("bounded now: %s, %d rows", got, run.rows)
	}
	run.close()
	r.produce("a", 0, "5")
	run = r.open("topic: a", state)
	run.untilRows(1)
	if got := positions(run.snapshot()); got != "a/0=4 a/1=1" {
		t.Errorf("unbounded again: %s", got)
	}
	run.close()
}

func TestStartAndStop(t *testing.T) {
	r := newRig(t, topics("a:2"))
	base := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	for p := range 2 {
		for i := range 10 {
			record := &kgo.Record{Topic: "a", Partition: int32(p), Value: fmt.Append(nil, i), Timestamp: base.Add(time.Duration(i) * time.Minute)}
			if err := r.client.ProduceSync(testContext(t), record).FirstErr(); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := kadm.NewClient(r.client).CommitAllOffsets(testContext(t), "g", kadm.OffsetsFromRecords(kgo.Record{Topic: "a", Partition: 1, Offset: 5, LeaderEpoch: -1})); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ spec, want string }{
		{"start: earliest; stop: end", "0-9 0-9"},
		{"start: latest; stop: end", "none none"},
		{"start: 2026-01-01T00:04:00Z; stop: end", "4-9 4-9"},
		{"start: 2026-01-01T00:04:00Z; stop: 2026-01-01T00:06:00Z", "4-5 4-5"},
		{"start: {at: offsets, offsets: {a/0: 3}}; stop: end", "3-9 0-9"},
		{"start: {at: offsets, offsets: {a/0: 3}, otherwise: latest}; stop: end", "3-9 none"},
		{"stop: {at: offsets, offsets: {a/0: 3, a/1: 1}}", "0-2 0-0"},
		{"group: g; start: committed; stop: end", "0-9 6-9"},
		{"group: g; start: {at: committed, otherwise: latest}; stop: end", "none 6-9"},
	} {
		run := r.open("topic: a; "+c.spec, nil)
		run.untilEnd()
		var got []string
		for p := range 2 {
			rows := run.seen[SplitID("a", int32(p))]
			if len(rows) == 0 {
				got = append(got, "none")
			} else {
				got = append(got, fmt.Sprintf("%d-%d", rows[0].offset, rows[len(rows)-1].offset))
			}
		}
		if strings.Join(got, " ") != c.want {
			t.Errorf("%s: %v, want %s", c.spec, got, c.want)
		}
		run.close()
	}
	_, err := r.tryOpen("topic: a; group: g; start: {at: committed, otherwise: fail}", nil)
	wantError(t, err, "source test:", `partition a/0 has no committed offset of group "g"`)
	_, err = r.tryOpen("topic: a; stop: {at: offsets, offsets: {a/0: 3}}", nil)
	wantError(t, err, "partition a/1 has no offset in \"stop\"")
	_, err = r.tryOpen("topic: a; start: {at: offsets, offsets: {a/7: 3}}", nil)
	wantError(t, err, "partition a/7, which does not exist")
	_, err = r.tryOpen("topic: a; start: {at: offsets, offsets: {a/0: 30}}", nil)
	wantError(t, err, "topic a, partition 0: the offset in \"start\", 30, is beyond the log's end, 10")
}

func TestPatternAndDiscovery(t *testing.T) {
	r := newRig(t, topics("ride-x:1", "other", "ride-y-not:1"))
	r.workers = 2
	r.produce("ride-x", 0, "1")
	r.produce("other", 0, "no")
	run := r.open("topic-pattern: 'ride-[a-z]'; partition-discovery: 20ms; start: latest", nil)
	if err := r.broker.EnsureTopic(devbroker.Topic{Name: "ride-x", Partitions: 3}); err != nil {
		t.Fatal(err)
	}
	if err := r.broker.EnsureTopic(devbroker.Topic{Name: "ride-z", Partitions: 1}); err != nil {
		t.Fatal(err)
	}
	r.produce("ride-x", 0, "2")
	r.produce("ride-x", 2, "3")
	r.produce("ride-z", 0, "4")
	run.untilRows(3)
	if got := values(run.seen["ride-x/0"]) + values(run.seen["ride-x/2"]) + values(run.seen["ride-z/0"]); got != "234" {
		t.Errorf("rows: %v", run.seen)
	}
	run.until(func() bool { return len(run.ids[0])+len(run.ids[1]) == 4 })
	if got := positions(run.snapshot()); got != "ride-x/0=2 ride-x/1=0 ride-x/2=1 ride-z/0=1" {
		t.Errorf("snapshot: %s", got)
	}
}

// A partition that appears while the job is down begins at its beginning, whatever "start" says.
func TestNewPartitionAfterRestore(t *testing.T) {
	r := newRig(t, topics("a:1"))
	r.produce("a", 0, "1")
	run := r.open("topic: a; start: latest", nil)
	state := run.snapshot()
	run.close()
	if err := r.broker.EnsureTopic(devbroker.Topic{Name: "a", Partitions: 2}); err != nil {
		t.Fatal(err)
	}
	r.produce("a", 1, "2")
	run = r.open("topic: a; start: latest", state)
	run.untilRows(1)
	if got := fmt.Sprint(run.seen); got != "map[a/1:[{0 2}]]" {
		t.Errorf("rows: %s", got)
	}
}

func TestTransactions(t *testing.T) {
	r := newRig(t, topics("a:1"))
	writer := r.newClient(kgo.TransactionalID("tx"))
	transaction := func(commit kgo.TransactionEndTry, values ...string) {
		t.Helper()
		if err := writer.BeginTransaction(); err != nil {
			t.Fatal(err)
		}
		for _, v := range values {
			if err := writer.ProduceSync(testContext(t), &kgo.Record{Topic: "a", Value: []byte(v)}).FirstErr(); err != nil {
				t.Fatal(err)
			}
		}
		if err := writer.EndTransaction(testContext(t), commit); err != nil {
			t.Fatal(err)
		}
	}
	transaction(kgo.TryCommit, "1", "2")
	transaction(kgo.TryAbort, "x", "y")
	transaction(kgo.TryCommit, "3")
	transaction(kgo.TryAbort, "z") // the log ends with an aborted record and its marker
	run := r.open("topic: a; stop: end", nil)
	run.untilEnd()
	if got := fmt.Sprint(run.seen["a/0"]); got != "[{0 1} {1 2} {6 3}]" {
		t.Errorf("read_committed: %s", got)
	}
	if got := positions(run.snapshot()); got != "a/0=10/10" {
		t.Errorf("end: %s", got)
	}
	run.close()
	run = r.open("topic: a; stop: end; isolation: read_uncommitted", nil)
	run.untilEnd()
	if got := values(run.seen["a/0"]); got != "1 2 x y 3 z" {
		t.Errorf("read_uncommitted: %s", got)
	}
	run.close()
	// An open transaction ends a bounded read before it.
	if err := writer.BeginTransaction(); err != nil {
		t.Fatal(err)
	}
	if err := writer.ProduceSync(testContext(t), &kgo.Record{Topic: "a", Value: []byte("open")}).FirstErr(); err != nil {
		t.Fatal(err)
	}
	run = r.open("topic: a; stop: end", nil)
	run.untilEnd()
	if got := values(run.seen["a/0"]); got != "1 2 3" {
		t.Errorf("with an open transaction: %s", got)
	}
}

// Offsets that compaction took away are legal, also the last ones before the stop.
func TestCompaction(t *testing.T) {
	config := topics()
	config.Topics = append(config.Topics, devbroker.Topic{Name: "a", Partitions: 1, Settings: map[string]string{
		"cleanup.policy": "compact", "segment.bytes": "200", "min.cleanable.dirty.ratio": "0"}})
	r := newRig(t, config)
	put := func(key, value string) {
		if err := r.client.ProduceSync(testContext(t), &kgo.Record{Topic: "a", Key: []byte(key), Value: []byte(value)}).FirstErr(); err != nil {
			t.Fatal(err)
		}
	}
	put("first", "0") // stays, or the broker would move the log's start
	for i := 1; i < 20; i++ {
		put(fmt.Sprint(i%2), fmt.Sprint(i))
	}
	run := r.open("topic: a; stop: {at: offsets, offsets: {a/0: 18}}", nil)
	state := run.snapshot()
	run.close()
	r.broker.Cluster().Compact()
	run = r.open("topic: a; stop: {at: offsets, offsets: {a/0: 18}}", state)
	run.untilEnd()
	for _, row := range run.seen["a/0"] {
		if fmt.Sprint(row.offset) != row.value || row.offset >= 18 {
			t.Errorf("row %v", row)
		}
	}
	if got := positions(run.snapshot()); got != "a/0=18/18" {
		t.Errorf("end: %s", got)
	}
	t.Logf("%d rows are left below the stop", run.rows)
}

func TestBadRecords(t *testing.T) {
	r := newRig(t, topics("a:1"))
	r.rows = 4
	r.produce("a", 0, "1", "2", "bad3", "bad4", "tombstone", "5", "bad6", "7", "8", "9", "10", "11")
	r.onError = connector.SkipOnError
	run := r.open("topic: a; stop: end", nil)
	run.untilEnd()
	if got := values(run.seen["a/0"]); got != "1 2 5 7 8 9 10 11" || run.skipped != 4 || run.read != 12 {
		t.Errorf("skip: %s, %d skipped, %d read", got, run.skipped, run.read)
	}
	run.close()

	r.onError = connector.DeadLetters
	for _, c := range []struct{ tombstones, rows, dead string }{
		{"skip", "1 2 5 7 8 9 10 11", "[a/0@2 bad3: not my kind of text a/0@3 bad4: not my kind of text a/0@6 bad6: not my kind of text]"},
		{"keep", "1 2 null 5 7 8 9 10 11", "[a/0@2 bad3: not my kind of text a/0@3 bad4: not my kind of text a/0@6 bad6: not my kind of text]"},
		{"error", "1 2 5 7 8 9 10 11", "[a/0@2 bad3: not my kind of text a/0@3 bad4: not my kind of text a/0@4 : the record has no value (a tombstone) a/0@6 bad6: not my kind of text]"},
	} {
		run = r.open("topic: a; stop: end; tombstones: "+c.tombstones, nil)
		run.untilEnd()
		if got := values(run.seen["a/0"]); got != c.rows || fmt.Sprint(run.dead) != c.dead || run.read != 12 {
			t.Errorf("dead-letter, tombstones %s: %s\n%v, %d read", c.tombstones, got, run.dead, run.read)
		}
		run.close()
	}

	r.onError = connector.FailOnError
	run = r.open("topic: a; stop: end", nil)
	err := run.untilError()
	wantError(t, err, "source test", "topic a, partition 0, offset 2: not my kind of text")
}

// A snapshot at every event of a stream with bad records: a restart from each brings exactly the rest.
func TestRestoreAmongBadRecords(t *testing.T) {
	r := newRig(t, topics("a:1"))
	r.rows = 3
	r.onError = connector.DeadLetters
	var all []string
	for i := range 30 {
		if i%4 == 1 || i%7 < 2 {
			all = append(all, fmt.Sprintf("bad%d", i))
		} else {
			all = append(all, fmt.Sprint(i))
		}
	}
	r.produce("a", 0, all...)
	for events := 0; ; events++ {
		run := r.open("topic: a; stop: end", nil)
		n := 0
		run.until(func() bool { n++; return n > events || run.finished[0] })
		finished := run.finished[0]
		state := run.snapshot()
		rows, dead := slices.Clone(run.seen["a/0"]), slices.Clone(run.dead)
		run.close()
		run = r.open("topic: a; stop: end", state)
		run.untilEnd()
		rows, dead = append(rows, run.seen["a/0"]...), append(dead, run.dead...)
		run.close()
		seen := map[int64]int{}
		for _, row := range rows {
			seen[row.offset]++
		}
		for _, d := range dead {
			var offset int64
			fmt.Sscanf(d, "a/0@%d", &offset)
			seen[offset]++
		}
		for i := range all {
			if seen[int64(i)] != 1 {
				t.Fatalf("cut after %d events: offset %d came %d times", events, i, seen[int64(i)])
			}
		}
		if finished {
			return
		}
	}
}

func TestMetadata(t *testing.T) {
	r := newRig(t, topics("a:1"))
	r.meta = []string{"topic", "partition", "offset", "key", "headers", "timestamp", "timestamp-type", "leader-epoch"}
	at := time.UnixMilli(1767225600123)
	err := r.client.ProduceSync(testContext(t),
		&kgo.Record{Topic: "a", Key: []byte("k"), Value: []byte("v"), Timestamp: at, Headers: []kgo.RecordHeader{{Key: "h", Value: []byte("1")}, {Key: "h", Value: nil}}},
		&kgo.Record{Topic: "a", Value: []byte("w"), Timestamp: at}).FirstErr()
	if err != nil {
		t.Fatal(err)
	}
	run := r.open("topic: a; stop: end", nil)
	var batch *core.Batch
	for batch == nil {
		e, err := run.readers[0].Poll()
		if err != nil {
			t.Fatal(err)
		}
		if e.Kind == core.NoEvent {
			<-run.wake
		}
		batch = e.Batch
	}
	defer batch.Release()
	c := batch.Columns
	if string(c[4].BytesAt(0)) != "k" || !c[4].Null(1) {
		t.Error("key")
	}
	if o := c[5].Offsets(); o[1] != 2 || o[2] != 2 || c[5].Child(0).StringAt(1) != "h" || string(c[5].Child(1).BytesAt(0)) != "1" {
		t.Errorf("headers: offsets %v", o)
	}
	if c[6].Int64s()[0] != at.UnixMicro() {
		t.Errorf("timestamp %d", c[6].Int64s()[0])
	}
	if c[7].StringAt(0) != "CreateTime" {
		t.Errorf("timestamp-type %s", c[7].StringAt(0))
	}
	if c[8].Null(0) {
		t.Error("leader-epoch is null")
	}
}

func TestCommitsToTheGroup(t *testing.T) {
	r := newRig(t, topics("a:1"))
	r.produce("a", 0, "1", "2", "3")
	run := r.open("topic: a; group: watchers", nil)
	run.untilRows(3)
	if err := run.source.Committed(testContext(t), 1, run.snapshot()); err != nil {
		t.Fatal(err)
	}
	run.close() // commits what waits
	offsets, err := kadm.NewClient(r.client).FetchOffsets(testContext(t), "watchers")
	if err != nil {
		t.Fatal(err)
	}
	if o, ok := offsets.Lookup("a", 0); !ok || o.At != 3 {
		t.Errorf("committed: %+v", offsets)
	}
}

// A group that nobody has used yet has committed nothing: "otherwise" says where to begin, and validation is content.
func TestStartCommittedOfANewGroup(t *testing.T) {
	r := newRig(t, topics("a:1"))
	r.produce("a", 0, "1", "2", "3")
	run := r.open("topic: a; group: nobody; start: committed", nil)
	run.untilRows(3)
	source, err := r.make("topic: a; group: nobody; start: committed")
	if err != nil {
		t.Fatal(err)
	}
	if err := source.Validate(testContext(t)); err != nil {
		t.Errorf("validation: %v", err)
	}
	_, err = r.tryOpen("topic: a; group: nobody; start: {at: committed, otherwise: fail}", nil)
	wantError(t, err, "partition a/0", "has no committed offset of group \"nobody\"")
}

// A bounded job over a pattern that matches nothing would be finished for good, having read nothing.
func TestBoundedPatternWithoutTopics(t *testing.T) {
	r := newRig(t, topics("other:1"))
	_, err := r.tryOpen("topic-pattern: 'ride-.*'; stop: end", nil)
	wantError(t, err, "there are no topics that match ride-.*", "bounded")
	if !core.IsPermanent(err) {
		t.Error("it is tried again")
	}
	run := r.open("topic-pattern: 'ride-.*'; partition-discovery: 20ms", nil)
	if err := r.broker.EnsureTopic(devbroker.Topic{Name: "ride-z", Partitions: 1}); err != nil {
		t.Fatal(err)
	}
	r.produce("ride-z", 0, "4")
	run.untilRows(1)
}
