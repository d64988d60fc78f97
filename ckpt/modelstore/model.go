package modelstore

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"sort"
	"sync"

	"turbo/ckpt"
)

// Disk holds what backends put. Its methods may be called by any goroutine.
type Disk struct {
	mu     sync.Mutex
	keys   map[string][]version // newest first
	sorted []string             // the keys in order; nil when it must be made again
	life   int
	fault  func(op string) error
}

type version struct {
	number uint64
	kind   ckpt.Kind
	ends   bool
	synced bool
	value  []byte
}

// NewDisk makes an empty disk.
func NewDisk() *Disk { return &Disk{keys: map[string][]version{}} }

// ErrCrashed is returned by a backend whose disk has crashed since it was opened, or that is closed.
var ErrCrashed = errors.New("the store has crashed or is closed")

// Open returns a backend on the disk.
func (d *Disk) Open() ckpt.Backend {
	d.mu.Lock()
	defer d.mu.Unlock()
	return &backend{d, d.life}
}

// Kill ends the process but not the power: backends are dead, everything that was put is there.
func (d *Disk) Kill() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.life++
}

// Crash takes the power away: backends are dead, and what was not synced is gone.
func (d *Disk) Crash() { d.crash(func() bool { return false }) }

// CrashRandom is Crash on a disk that had by chance written some of what was not synced.
func (d *Disk) CrashRandom(seed uint64) {
	random := rand.New(rand.NewPCG(seed, 0x6d6f64656c))
	d.crash(func() bool { return random.IntN(2) == 0 })
}

func (d *Disk) crash(keep func() bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.life++
	for _, key := range d.order() {
		left := d.keys[key][:0]
		for _, v := range d.keys[key] {
			if v.synced || keep() {
				v.synced = true
				left = append(left, v)
			}
		}
		d.set(key, left)
	}
}

// SetFault makes f decide, before each "put", "sync", "scan" and "discard", whether it fails. nil ends that.
func (d *Disk) SetFault(f func(op string) error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.fault = f
}

// Damage changes one byte of the newest non-empty value among all keys that contain part, and reports whether there was one.
func (d *Disk) Damage(part string) bool {
	return d.newest(part, func(versions []version, i int) []version {
		if len(versions[i].value) == 0 {
			return nil
		}
		versions[i].value[len(versions[i].value)-1] ^= 1
		return versions
	})
}

// Lose removes the newest version among all keys that contain part, and reports whether there was one.
func (d *Disk) Lose(part string) bool {
	return d.newest(part, func(versions []version, i int) []version {
		return append(versions[:i:i], versions[i+1:]...)
	})
}

func (d *Disk) newest(part string, change func([]version, int) []version) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	best := ""
	var number uint64
	for _, key := range d.order() {
		if vs := d.keys[key]; bytes.Contains([]byte(key), []byte(part)) && vs[0].number > number {
			best, number = key, vs[0].number
		}
	}
	if number == 0 {
		return false
	}
	changed := change(d.keys[best], 0)
	if changed == nil {
		return false
	}
	d.set(best, changed)
	return true
}

// Versions is the number of versions on the disk.
func (d *Disk) Versions() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	n := 0
	for _, vs := range d.keys {
		n += len(vs)
	}
	return n
}

func (d *Disk) set(key string, versions []version) {
	if len(versions) == 0 {
		delete(d.keys, key)
		d.sorted = nil
		return
	}
	if _, ok := d.keys[key]; !ok {
		d.sorted = nil
	}
	d.keys[key] = versions
}

func (d *Disk) order() []string {
	if d.sorted == nil {
		d.sorted = make([]string, 0, len(d.keys))
		for key := range d.keys {
			d.sorted = append(d.sorted, key)
		}
		sort.Strings(d.sorted)
	}
	return d.sorted
}

type backend struct {
	disk *Disk
	life int
}

// enter locks the disk and checks that the backend may act on it.
func (b *backend) enter(op string) error {
	b.disk.mu.Lock()
	if b.life != b.disk.life {
		return ErrCrashed
	}
	if b.disk.fault != nil {
		return b.disk.fault(op)
	}
	return nil
}

func (b *backend) Put(number uint64, records []ckpt.Record) error {
	err := b.enter("put")
	defer b.disk.mu.Unlock()
	if err != nil {
		return err
	}
	for _, r := range records {
		key := string(r.Key)
		vs := b.disk.keys[key]
		at := sort.Search(len(vs), func(i int) bool { return vs[i].number <= number })
		if at < len(vs) && vs[at].number == number {
			return fmt.Errorf("key %x was put twice at version %d", key, number)
		}
		added := make([]version, 0, len(vs)+1)
		added = append(added, vs[:at]...)
		added = append(added, version{number, r.Kind, r.Ends, false, bytes.Clone(r.Value)})
		b.disk.set(key, append(added, vs[at:]...))
	}
	return nil
}

func (b *backend) Scan(s ckpt.Scan, visit func(ckpt.Item) (ckpt.Next, error)) error {
	type hit struct {
		key      string
		versions []version
	}
	err := b.enter("scan")
	var hits []hit
	if err == nil {
		order := b.disk.order()
		for _, key := range order[sort.SearchStrings(order, string(s.From)):] {
			if s.To != nil && key >= string(s.To) {
				break
			}
			hits = append(hits, hit{key, append([]version(nil), b.disk.keys[key]...)})
		}
	}
	b.disk.mu.Unlock()
	if err != nil {
		return err
	}
	for _, h := range hits { // unlocked: visits may call the backend
		for _, v := range h.versions {
			if v.number > s.At {
				continue
			}
			if v.number <= s.After {
				break
			}
			item := ckpt.Item{Key: []byte(h.key), Version: v.number, Kind: v.kind, Size: len(v.value)}
			if s.Values {
				item.Value = bytes.Clone(v.value)
			}
			next, err := visit(item)
			clear(item.Value) // whoever keeps it will notice
			if err != nil {
				return err
			}
			if next == ckpt.NextKey {
				break
			}
		}
	}
	return nil
}

func (b *backend) MaxVersion() (uint64, error) {
	b.disk.mu.Lock()
	defer b.disk.mu.Unlock()
	if b.life != b.disk.life {
		return 0, ErrCrashed
	}
	var largest uint64
	for _, vs := range b.disk.keys {
		largest = max(largest, vs[0].number)
	}
	return largest, nil
}

func (b *backend) Sync() error {
	err := b.enter("sync")
	defer b.disk.mu.Unlock()
	if err != nil {
		return err
	}
	for _, vs := range b.disk.keys {
		for i := range vs {
			vs[i].synced = true
		}
	}
	return nil
}

func (b *backend) Discard(oldest uint64) error {
	err := b.enter("discard")
	defer b.disk.mu.Unlock()
	if err != nil {
		return err
	}
	for _, key := range append([]string(nil), b.disk.order()...) {
		vs := b.disk.keys[key]
		for i, v := range vs {
			if v.number <= oldest && v.ends {
				b.disk.set(key, vs[:i+1:i+1])
				break
			}
		}
	}
	return nil
}

func (b *backend) Size() (ckpt.Size, error) {
	b.disk.mu.Lock()
	defer b.disk.mu.Unlock()
	size := ckpt.Size{Free: -1}
	for key, vs := range b.disk.keys {
		for _, v := range vs {
			size.Disk += int64(len(key) + len(v.value))
		}
	}
	return size, nil
}

func (b *backend) Close() error {
	b.disk.mu.Lock()
	defer b.disk.mu.Unlock()
	b.life = -1
	return nil
}
