package kafka

import (
	"sync"
	"unsafe"

	"github.com/twmb/franz-go/pkg/kgo"
)

// recordPool gives the client arrays to decode fetched records into, and takes them back a whole array at a time.
//
// franz-go's own way back is Record.Recycle on each record: an atomic subtraction and 170 bytes cleared, twice. The fetcher knows when
// it has decoded the last record of a fetch, so it gives arrays back by their address instead and calls Recycle never: the
// client then keeps no count and puts nothing back by itself, except arrays whose batch gave no record at all (PutRecords).
//
// An array that is lost on the way (the client drops a fetch when partitions change) is forgotten when it is the oldest of too many.
type recordPool struct {
	mu   sync.Mutex
	free [][]kgo.Record // cleared
	out  [][]kgo.Record // given to the client, oldest first
}

const (
	minPooled   = 32   // smaller arrays are left to the garbage collector
	maxFree     = 32   // arrays
	maxOut      = 128  // arrays
	maxPooled   = 1e5  // records: a larger array is not kept
	granularity = 1024 // capacities are rounded up to it, so that arrays fit again
)

// GetRecords implements kgo.PoolRecords.
func (p *recordPool) GetRecords(n int) []kgo.Record {
	if n < minPooled || n > maxPooled {
		return nil
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	var array []kgo.Record
	for i := len(p.free) - 1; i >= 0; i-- {
		if cap(p.free[i]) >= n {
			array = p.free[i]
			p.free[i] = p.free[len(p.free)-1]
			p.free = p.free[:len(p.free)-1]
			break
		}
	}
	if array == nil {
		if len(p.free) == maxFree { // all too small: one of them makes room
			p.free = p.free[:maxFree-1]
		}
		array = make([]kgo.Record, 0, (n+granularity-1)/granularity*granularity)
	}
	if len(p.out) == maxOut {
		copy(p.out, p.out[1:])
		p.out = p.out[:maxOut-1]
	}
	p.out = append(p.out, array)
	return array
}

// PutRecords implements kgo.PoolRecords: the client gives back an array of a batch without records, cleared.
func (p *recordPool) PutRecords(array []kgo.Record) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for i, out := range p.out {
		if unsafe.SliceData(out) == unsafe.SliceData(array) {
			p.takeBack(i)
			return
		}
	}
}

// release gives back the arrays of records, all of which have been decoded. They are the records of one partition of one fetch
// in order: an array's records stand together.
func (p *recordPool) release(records []*kgo.Record) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for i := 0; i < len(records); {
		at := p.find(records[i])
		if at < 0 {
			i = sameArray(records, i)
			continue
		}
		array := p.out[at][:cap(p.out[at])]
		first, last := uintptr(unsafe.Pointer(unsafe.SliceData(array))), uintptr(unsafe.Pointer(&array[len(array)-1]))
		for i < len(records) {
			if a := uintptr(unsafe.Pointer(records[i])); a < first || a > last {
				break
			}
			i++
		}
		clear(array) // or the free array would keep the response's bytes alive
		p.takeBack(at)
	}
}

// sameArray returns the index of the first record after i that is not next to the one before it in memory.
func sameArray(records []*kgo.Record, i int) int {
	next := uintptr(unsafe.Pointer(records[i]))
	for i < len(records) && uintptr(unsafe.Pointer(records[i])) == next {
		next += unsafe.Sizeof(kgo.Record{})
		i++
	}
	return i
}

// find returns the index in out of the array that record stands in, or -1.
func (p *recordPool) find(record *kgo.Record) int {
	a := uintptr(unsafe.Pointer(record))
	for i, array := range p.out {
		first := uintptr(unsafe.Pointer(unsafe.SliceData(array)))
		if a >= first && a < first+uintptr(cap(array))*unsafe.Sizeof(kgo.Record{}) {
			return i
		}
	}
	return -1
}

// takeBack moves out[i] to free. The lock is held.
func (p *recordPool) takeBack(i int) {
	array := p.out[i]
	copy(p.out[i:], p.out[i+1:])
	p.out[len(p.out)-1] = nil
	p.out = p.out[:len(p.out)-1]
	if len(p.free) < maxFree {
		p.free = append(p.free, array[:0])
	}
}

var _ kgo.PoolRecords = (*recordPool)(nil)
