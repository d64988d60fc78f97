package kafka

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"turbo/core"
	"turbo/io/connector"
)

func init() {
	connector.RegisterSource(connector.SourceSpec{
		Name:    "kafka",
		Summary: "Reads topics of a Kafka cluster.",
		Description: "Partitions are divided over the workers: partition p of the sorted list goes to worker p modulo the parallelism. " +
			"Offsets are part of the checkpoint; with `group` they are also committed to the broker after each checkpoint, for its tools only.\n\n" +
			"A position that the log no longer has (retention, a topic made again) is an error, never a silent reset.",
		Guarantee: "Positions are in the checkpoint: every record is read exactly once into the job's state.",
		Fields:    sourceFields,
		Metadata:  metadataColumns,
		New:       func(c *connector.SourceContext) (core.Source, error) { return NewSource(c) },
	})
}

// split is one partition that is being read. Its position is written by one fetcher and read by anyone.
type split struct {
	key   partitionKey
	id    string
	index int   // in the fetcher's numbering
	stop  int64 // NoStop, or the first offset not to read
	ended bool  // only used by the fetcher

	next atomic.Int64 // offset of the next record to decode
	high atomic.Int64 // end of the log for this reader when it was last seen; -1: unknown
}

func (s *split) position() Position { return Position{Offset: s.next.Load(), Stop: s.stop} }

// lag is how many records are still to be read, up to the stop offset; ok is false while the end of the log is not known.
func (s *split) lag() (records int64, ok bool) {
	end := s.high.Load()
	if end < 0 {
		return 0, false
	}
	if s.stop != NoStop {
		end = min(end, s.stop)
	}
	return max(end-s.next.Load(), 0), true
}

// Source is the Kafka source; see core.Source for who may call what.
type Source struct {
	context      *connector.SourceContext
	connection   *connection
	subscription subscription
	format       *connector.FormatConfig
	start, stop  bound
	group        string
	committed    bool // read_committed
	tombstones   string
	memory       int64 // bytes reserved

	client   *kgo.Client // of discovery, offsets and commits
	admin    *kadm.Client
	commits  chan map[string]map[int32]kgo.EpochOffset
	stopping context.CancelFunc
	running  sync.WaitGroup

	mu       sync.Mutex
	splits   map[partitionKey]*split
	ids      map[string]kadm.TopicID // of the topics, as they were found first
	assigned [][]*split              // by worker, before the reader is made
	restored [][]core.SplitState
	fetchers []*fetcher // by worker; nil before Reader
	brokers  int
	next     int // worker of the next partition that is found

	broken       atomic.Pointer[error] // why no reader can go on
	commitErrors atomic.Int64
}

// NewSource makes a source and checks the configuration. It does no network I/O.
func NewSource(c *connector.SourceContext) (*Source, error) {
	s := &Source{context: c, splits: map[partitionKey]*split{}}
	config := c.Config
	var err error
	if s.connection, err = newConnection(config, c.Log); err != nil {
		return nil, err
	}
	if s.subscription, err = newSubscription(config); err != nil {
		return nil, err
	}
	start, stop := config.Object("start"), config.Object("stop")
	if s.start, err = parseBound(start, "earliest", "latest", "committed"); err != nil {
		return nil, err
	}
	s.start.other = start.String("otherwise")
	if s.stop, err = parseBound(stop, "never", "end"); err != nil {
		return nil, err
	}
	s.group = config.String("group")
	if s.start.word == "committed" && s.group == "" {
		return nil, start.Errorf("at", "start at committed offsets needs \"group\"")
	}
	for p := range s.start.offsets {
		if !s.subscription.has(p.topic) {
			return nil, start.Errorf("offsets", "topic %q is not read by this source", p.topic)
		}
	}
	for p := range s.stop.offsets {
		if !s.subscription.has(p.topic) {
			return nil, stop.Errorf("offsets", "topic %q is not read by this source", p.topic)
		}
	}
	s.committed = config.String("isolation") == "read_committed"
	s.tombstones = config.String("tombstones")
	s.format = config.Format("format")
	if s.format == nil || s.format.Spec.NewDecoder == nil {
		return nil, config.Errorf("format", "is a format of whole files; a Kafka record needs a record format")
	}
	s.memory = connectorMemory(config, "fetch-memory", c.Runtime)
	return s, nil
}

// connectorMemory returns the bytes for franz-go's buffers: those of the key, or a twelfth of the pool.
func connectorMemory(config *connector.Config, key string, runtime connector.Runtime) int64 {
	if n := config.Bytes(key); n > 0 {
		return n
	}
	return max(runtime.Account.Pool().Limit()/12, 1<<20)
}

// Bounded reports whether the source ends by itself.
func (s *Source) Bounded() bool { return s.stop.word != "never" }

// Metrics returns what happened to the source's connections.
func (s *Source) Metrics() *Metrics { return s.connection.metrics }

// CommitErrors returns how often offsets could not be committed to the group.
func (s *Source) CommitErrors() int64 { return s.commitErrors.Load() }

// PartitionLag is how far one partition was read.
type PartitionLag struct {
	Topic     string
	Partition int32
	Position  Position
	End       int64 // of the log, as last seen; -1: not known
}

// Partitions returns how far each partition was read, sorted: the offset gap to the end is the lag.
func (s *Source) Partitions() []PartitionLag {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := make([]PartitionLag, 0, len(s.splits))
	for key, sp := range s.splits {
		out = append(out, PartitionLag{key.topic, key.partition, sp.position(), sp.high.Load()})
	}
	slices.SortFunc(out, func(a, b PartitionLag) int {
		return comparePartitions(partitionKey{a.Topic, a.Partition}, partitionKey{b.Topic, b.Partition})
	})
	return out
}

// Lag implements core.LagReporter: the records between the positions and the ends of the log as last seen (or the stop
// offsets), all partitions together. It is not known while an end is not, or while no broker can be reached.
func (s *Source) Lag() (records int64, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, sp := range s.splits {
		n, ok := sp.lag()
		if !ok {
			return 0, false
		}
		records += n
	}
	return records, len(s.splits) > 0 && !s.connection.metrics.Down()
}

// Trouble implements core.TroubleReporter: a broker cannot be reached.
func (s *Source) Trouble() error { return s.connection.metrics.away.longest() }

// ReportMetrics implements core.MetricsReporter: the connections, commits to the group, and the lag of each partition whose end is known.
func (s *Source) ReportMetrics() []core.Metric {
	out := append(s.connection.metrics.report(), core.Metric{Name: "kafka_commit_errors_total", Counter: true, Value: float64(s.CommitErrors()),
		Help: "Commits of offsets to the consumer group that failed. Only observers see these offsets."})
	s.mu.Lock()
	defer s.mu.Unlock()
	for key, sp := range s.splits {
		if records, ok := sp.lag(); ok {
			out = append(out, core.Metric{Name: "kafka_partition_lag_records", Help: "Records of a partition that are still to be read.", Value: float64(records),
				Labels: []core.MetricLabel{{Name: "topic", Value: key.topic}, {Name: "partition", Value: strconv.Itoa(int(key.partition))}}})
		}
	}
	return out
}

// connect makes the client for everything but reading and waits for a broker, at most for bound.
func (s *Source) connect(ctx context.Context, bound time.Duration) error {
	client, err := s.connection.client()
	if err != nil {
		return err
	}
	s.client, s.admin = client, kadm.NewClient(client)
	return s.connection.reach(ctx, client, bound, s.context.Log)
}

// Open implements core.Source: it finds the partitions and resolves where each begins and stops.
func (s *Source) Open(ctx context.Context, restored []core.SplitState) error {
	if err := s.open(ctx, restored); err != nil {
		if s.client != nil {
			s.client.Close()
			s.client = nil
		}
		return fmt.Errorf("source %s: %w", s.context.Name, err)
	}
	return nil
}

func (s *Source) open(ctx context.Context, restored []core.SplitState) error {
	if err := s.connect(ctx, s.context.Config.Duration("connect-timeout")); err != nil {
		return err
	}
	partitions, ids, brokers, err := s.subscription.find(ctx, s.connection, s.admin)
	if err != nil {
		return err
	}
	s.brokers, s.ids = brokers, ids
	if len(partitions) == 0 && len(restored) == 0 && s.stop.word != "never" { // it would be finished for good, having read nothing
		return core.Permanent(fmt.Errorf("there are no %s, and the source is bounded by \"stop\": it would end at once; check the pattern, or make the topic first", s.subscription.describe()))
	}
	if len(partitions) == 0 {
		s.context.Log.Warn("no topic matches yet", "source", s.context.Name, "subscription", s.subscription.describe())
	}
	ends := newLog(s.connection, s.admin, partitions, s.committed)
	positions, err := s.resolve(ctx, ends, partitions, restored)
	if err != nil {
		return err
	}
	if err := s.context.Account.Reserve(s.memory); err != nil {
		return fmt.Errorf("%w; a smaller \"fetch-memory\" needs less", err)
	}
	s.assigned = make([][]*split, s.context.Parallelism)
	s.restored = make([][]core.SplitState, s.context.Parallelism)
	s.fetchers = make([]*fetcher, s.context.Parallelism)
	saved := make(map[string]core.SplitState, len(restored))
	for _, r := range restored {
		saved[r.ID] = r
	}
	for _, p := range partitions {
		position, ok := positions[p]
		if !ok {
			continue
		}
		sp := newSplit(p, position)
		if high, err := ends.end(ctx, p); err == nil {
			sp.high.Store(high)
		}
		worker := s.take(sp)
		// What a reader will claim is in its snapshot from the beginning: a checkpoint can come before the first row.
		state := saved[sp.id]
		state.ID, state.Position = sp.id, position.Encode()
		if _, ok := saved[sp.id]; !ok {
			state.Start, state.Watermark = state.Position, core.MinTime
		}
		s.restored[worker] = append(s.restored[worker], state)
		if !position.Ended() {
			s.assigned[worker] = append(s.assigned[worker], sp)
		}
	}
	background, cancel := context.WithCancel(context.Background())
	s.stopping = cancel
	if every := s.context.Config.Duration("partition-discovery"); every > 0 && !s.Bounded() {
		s.running.Go(func() { s.discover(background, every) })
	}
	if s.group != "" {
		s.commits = make(chan map[string]map[int32]kgo.EpochOffset, 1)
		s.running.Go(func() { s.commitLoop(background) })
	}
	return nil
}

func newSplit(p partitionKey, position Position) *split {
	sp := &split{key: p, id: p.String(), stop: position.Stop}
	sp.next.Store(position.Offset)
	sp.high.Store(-1)
	return sp
}

// take enters a split and returns its worker: round robin in the order of the sorted list, and of discovery after it.
func (s *Source) take(sp *split) (worker int) {
	s.splits[sp.key] = sp
	worker = s.next % s.context.Parallelism
	s.next++
	return worker
}

// resolve returns the position of each partition to read: restored ones are checked against the log, others follow start and stop.
func (s *Source) resolve(ctx context.Context, l *topicLog, partitions []partitionKey, restored []core.SplitState) (map[partitionKey]Position, error) {
	positions := make(map[partitionKey]Position, len(partitions))
	stopOf := s.stop.stopOf(l)
	bounds := restored == nil // they are to be fixed
	for _, r := range restored {
		topic, partition, err := ParseSplitID(r.ID)
		if err != nil {
			return nil, err
		}
		p := partitionKey{topic, partition}
		position, err := ParsePosition(r.Position)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", r.ID, err)
		}
		if !s.subscription.has(topic) {
			return nil, fmt.Errorf("the checkpoint has a position of partition %s, and the source now reads %s; read that topic again, or start the job with --fresh",
				p, s.subscription.describe())
		}
		if !slices.Contains(partitions, p) {
			if position.Ended() {
				continue
			}
			return nil, fmt.Errorf("partition %s, read up to offset %d, does not exist any more: its topic was deleted or made again with fewer partitions. %s", p, position.Offset, freshStart)
		}
		if !position.Ended() {
			if err := l.inside(ctx, p, position.Offset, "the restored offset", freshStart); err != nil {
				return nil, err
			}
		}
		switch { // the job's "stop" may have been changed
		case !s.Bounded():
			position.Stop = NoStop
		case position.Stop == NoStop:
			stop, err := stopOf(ctx, p)
			if err != nil {
				return nil, err
			}
			position.Stop, bounds = max(stop, position.Offset), true
		}
		positions[p] = position
	}
	if !bounds && s.Bounded() {
		return positions, nil // what is new was not there when the bounds were fixed
	}
	startOf := l.start
	if restored == nil {
		var err error
		if startOf, err = s.start.startOf(ctx, l, s.group); err != nil {
			return nil, err
		}
	}
	for _, p := range partitions {
		if _, ok := positions[p]; ok {
			continue
		}
		start, err := startOf(ctx, p)
		if err != nil {
			return nil, err
		}
		stop, err := stopOf(ctx, p)
		if err != nil {
			return nil, err
		}
		positions[p] = Position{Offset: start, Stop: stop}
	}
	for _, given := range []map[partitionKey]int64{s.start.offsets, s.stop.offsets} {
		for p := range given {
			if restored == nil && !slices.Contains(partitions, p) {
				return nil, fmt.Errorf("an offset is given for partition %s, which does not exist", p)
			}
		}
	}
	return positions, nil
}

// Reader implements core.Source.
func (s *Source) Reader(worker int) (core.SourceReader, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f, err := newFetcher(s, worker, s.assigned[worker])
	if err != nil {
		return nil, fmt.Errorf("source %s: %w", s.context.Name, err)
	}
	s.fetchers[worker] = f
	return connector.NewAsyncReader(f, connector.AsyncReaderOptions{Runtime: s.context.Runtime, Worker: worker, Restored: s.restored[worker]}), nil
}

// Committed implements core.Source: it hands the offsets to the goroutine that commits them to the group. When that is
// busy the newest offsets win.
func (s *Source) Committed(_ context.Context, _ uint64, splits []core.SplitState) error {
	if s.commits == nil {
		return nil
	}
	offsets := map[string]map[int32]kgo.EpochOffset{}
	for _, sp := range splits {
		topic, partition, err := ParseSplitID(sp.ID)
		if err != nil {
			return err
		}
		position, err := ParsePosition(sp.Position)
		if err != nil {
			return err
		}
		if offsets[topic] == nil {
			offsets[topic] = map[int32]kgo.EpochOffset{}
		}
		offsets[topic][partition] = kgo.EpochOffset{Epoch: -1, Offset: position.Offset}
	}
	for {
		select {
		case s.commits <- offsets:
			return nil
		default:
		}
		select {
		case <-s.commits: // older offsets make room
		default:
		}
	}
}

// Close implements core.Source. Offsets that wait for their commit are committed first, if the broker answers soon.
func (s *Source) Close() error {
	if s.stopping != nil {
		s.stopping()
		s.running.Wait()
		s.stopping = nil
		s.context.Account.Unreserve(s.memory)
	}
	if s.client != nil {
		s.client.Close()
		s.client = nil
	}
	return nil
}

// Validate implements core.Validator: it connects and checks that the topics exist and that this client may read them and
// commit to the group. It waits for nothing.
func (s *Source) Validate(ctx context.Context) error {
	if err := s.validate(ctx); err != nil {
		return fmt.Errorf("source %s: %w", s.context.Name, err)
	}
	return nil
}

func (s *Source) validate(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, validation)
	defer cancel()
	client, err := s.connection.client(kgo.RequestRetries(1), kgo.DialTimeout(validation/3))
	if err != nil {
		return err
	}
	defer client.Close()
	if err := s.connection.reach(ctx, client, 0, s.context.Log); err != nil {
		return err
	}
	admin := kadm.NewClient(client)
	partitions, _, _, err := s.subscription.find(ctx, s.connection, admin)
	if err != nil {
		return err
	}
	if len(partitions) == 0 {
		return fmt.Errorf("no topic of this cluster matches the pattern of %s", strings.TrimPrefix(s.subscription.describe(), "topics that match "))
	}
	l := newLog(s.connection, admin, partitions, s.committed)
	for i, p := range partitions {
		if i > 0 && partitions[i-1].topic == p.topic {
			continue
		}
		offset, err := l.start(ctx, p)
		if err != nil {
			return err
		}
		if _, _, err := probe(ctx, client, p, offset, s.committed); err != nil {
			return s.connection.explain(err, p.topic)
		}
	}
	if s.group != "" {
		if _, err := l.committed(ctx, s.group); err != nil {
			return err
		}
	}
	bounds := &Source{context: s.context, connection: s.connection, subscription: s.subscription, start: s.start, stop: s.stop, group: s.group, committed: s.committed}
	bounds.admin = admin
	if _, err = bounds.resolve(ctx, l, partitions, nil); errors.Is(err, context.DeadlineExceeded) {
		return s.connection.explain(err, "")
	}
	return err
}

var (
	_ core.Source      = (*Source)(nil)
	_ core.Validator   = (*Source)(nil)
	_ core.LagReporter = (*Source)(nil)
)
