package kafka

import (
	"sync/atomic"
	"unsafe"

	"github.com/twmb/franz-go/pkg/kgo"
)

// fetchSize keeps a reader within its memory by adapting how much it asks brokers for. A fetched byte takes more than a byte: the
// response, what it is decompressed into, and 184 bytes a record for the client's Record and a pointer to it; small records in
// well compressed batches take fifty times their size on the wire. How much is measured on what comes.
//
// Per broker there are up to three fetches: being read, buffered by the client, being decoded. The first has not been expanded.
type fetchSize struct {
	budget   int64        // bytes per broker
	wire     atomic.Int64 // measured since the last change: bytes as they came
	expanded atomic.Int64 // and as they are in memory
	now      int32        // bytes per fetch
}

const (
	recordBytes       = int64(unsafe.Sizeof(kgo.Record{})) + 8
	minFetch          = 32 << 10
	maxFetch          = 8 << 20
	maxPartitionFetch = 1 << 20
	fetchesHeld       = 3
	firstExpansion    = 12      // before anything was measured
	enoughMeasured    = 1 << 18 // bytes on the wire
)

func newFetchSize(budget int64) *fetchSize {
	f := &fetchSize{budget: budget}
	f.now = f.at(firstExpansion)
	return f
}

// at returns the size of a fetch whose bytes expand so many times.
func (f *fetchSize) at(expansion float64) int32 {
	return int32(min(max(float64(f.budget)/fetchesHeld/expansion, minFetch), maxFetch))
}

// partition returns how much of a fetch one partition may give.
func (f *fetchSize) partition() int32 { return min(f.now, maxPartitionFetch) }

// OnFetchBatchRead implements kgo.HookFetchBatchRead.
func (f *fetchSize) OnFetchBatchRead(_ kgo.BrokerMetadata, _ string, _ int32, m kgo.FetchBatchMetrics) {
	f.wire.Add(int64(m.CompressedBytes))
	expanded := int64(m.CompressedBytes) + int64(m.NumRecords)*recordBytes
	if m.CompressionType != 0 {
		expanded += int64(m.UncompressedBytes)
	}
	f.expanded.Add(expanded)
}

// adapt changes the size when enough has been measured and it is off by a quarter, and reports whether it did.
func (f *fetchSize) adapt() bool {
	wire := f.wire.Load()
	if wire < min(enoughMeasured, int64(f.now)) {
		return false
	}
	next := f.at(float64(f.expanded.Swap(0)) / float64(wire))
	f.wire.Store(0)
	if d := next - f.now; d > -f.now/4 && d < f.now/4 {
		return false
	}
	f.now = next
	return true
}

var _ kgo.HookFetchBatchRead = (*fetchSize)(nil)
