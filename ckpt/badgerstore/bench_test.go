package badgerstore_test

import (
	"math/rand/v2"
	"os"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"turbo/ckpt"
	"turbo/ckpt/badgerstore"
)

const (
	benchState = 256 << 20
	benchPage  = 64 << 10
)

// benchPages makes pages of half-random content, as keyed state is.
func benchPages() []ckpt.Page {
	random := rand.NewChaCha8([32]byte{1})
	pages := make([]ckpt.Page, benchState/benchPage)
	for i := range pages {
		data := make([]byte, benchPage)
		random.Read(data[:benchPage/2])
		pages[i] = ckpt.Page{ID: ckpt.PageID{Operator: "aggregate", Table: "sums", KeyGroup: uint16(i % 128), Number: uint32(i / 128)}, Kind: ckpt.Whole, Data: data}
	}
	return pages
}

func benchStore(b *testing.B, dir string) *ckpt.Store {
	b.Helper()
	store, err := badgerstore.Open(dir, badgerstore.Options{})
	if err != nil {
		b.Fatal(err)
	}
	if _, err := store.Recover(0, ckpt.Summary{}); err != nil {
		b.Fatal(err)
	}
	return store
}

func benchCheckpoint(b *testing.B, store *ckpt.Store, id uint64, pages []ckpt.Page) (write, seal time.Duration) {
	b.Helper()
	if err := store.Begin(id, 0); err != nil {
		b.Fatal(err)
	}
	start := time.Now()
	if err := store.Write(id, pages); err != nil {
		b.Fatal(err)
	}
	write = time.Since(start)
	if _, err := store.Seal(id); err != nil {
		b.Fatal(err)
	}
	seal = time.Since(start) - write
	if err := store.Complete(id); err != nil {
		b.Fatal(err)
	}
	return write, seal
}

// BenchmarkWriteAll writes 256 MiB of new pages and makes them durable.
func BenchmarkWriteAll(b *testing.B) {
	pages := benchPages()
	b.SetBytes(benchState)
	var write, seal time.Duration
	for range b.N {
		b.StopTimer()
		store := benchStore(b, b.TempDir())
		b.StartTimer()
		w, s := benchCheckpoint(b, store, 1, pages)
		write, seal = write+w, seal+s
		b.StopTimer()
		store.Close()
		b.StartTimer()
	}
	b.ReportMetric(float64(write.Milliseconds())/float64(b.N), "ms-write")
	b.ReportMetric(float64(seal.Milliseconds())/float64(b.N), "ms-sync")
}

// BenchmarkIncremental writes 5 % of the pages at each checkpoint, durably, and lets old ones go: what a running job does.
func BenchmarkIncremental(b *testing.B) {
	pages := benchPages()
	store := benchStore(b, b.TempDir())
	defer store.Close()
	benchCheckpoint(b, store, 1, pages)
	random := rand.New(rand.NewPCG(1, 2))
	id := uint64(1)
	var write, seal, retain time.Duration
	b.ReportAllocs()
	for b.Loop() {
		id++
		random.Shuffle(len(pages), func(i, j int) { pages[i], pages[j] = pages[j], pages[i] })
		w, s := benchCheckpoint(b, store, id, pages[:len(pages)/20])
		start := time.Now()
		if id > 3 {
			if err := store.Retain(id - 2); err != nil {
				b.Fatal(err)
			}
		}
		write, seal, retain = write+w, seal+s, retain+time.Since(start)
	}
	n := float64(b.N)
	status, err := store.Status()
	if err != nil {
		b.Fatal(err)
	}
	b.ReportMetric(float64(write.Milliseconds())/n, "ms-write")
	b.ReportMetric(float64(seal.Milliseconds())/n, "ms-sync")
	b.ReportMetric(float64(retain.Milliseconds())/n, "ms-retain")
	b.ReportMetric(float64(status.Disk)/float64(benchState), "disk/state")
	b.ReportMetric(anonymous()/(1<<20)-float64(benchState>>20), "MiB-anon-less-pages")
}

// BenchmarkRestore reads everything.
func BenchmarkRestore(b *testing.B) {
	store := benchStore(b, b.TempDir())
	defer store.Close()
	benchCheckpoint(b, store, 1, benchPages())
	b.SetBytes(benchState)
	b.ReportAllocs()
	for b.Loop() {
		n := 0
		err := store.Restore(1, ckpt.Selection{Operator: "aggregate", Table: "sums", ToGroup: 128}, func(_ ckpt.PageID, chain []ckpt.Version) error {
			n += len(chain[0].Data)
			return nil
		})
		if err != nil || n != benchState {
			b.Fatal(n, err)
		}
	}
}

// BenchmarkOpenEmpty opens, recovers and closes an empty store: part of every start.
func BenchmarkOpenEmpty(b *testing.B) {
	dir := b.TempDir()
	for b.Loop() {
		benchStore(b, dir).Close()
	}
}

// BenchmarkOpenFull opens and recovers a store with 256 MiB of state.
func BenchmarkOpenFull(b *testing.B) {
	dir := b.TempDir()
	store := benchStore(b, dir)
	benchCheckpoint(b, store, 1, benchPages())
	status, err := store.Status()
	if err != nil {
		b.Fatal(err)
	}
	store.Close()
	for b.Loop() {
		store, err := badgerstore.Open(dir, badgerstore.Options{})
		if err != nil {
			b.Fatal(err)
		}
		if _, err := store.Recover(1, status.Summary); err != nil {
			b.Fatal(err)
		}
		store.Close()
	}
}

// anonymous is the process's anonymous memory in bytes; 0 where the system does not say.
func anonymous() float64 {
	runtime.GC()
	content, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(content)) {
		if rest, ok := strings.CutPrefix(line, "RssAnon:"); ok {
			kb, err := strconv.ParseFloat(strings.Fields(rest)[0], 64)
			if err != nil {
				return 0
			}
			return kb * 1024
		}
	}
	return 0
}
