package compress

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"runtime"
	"strings"
	"testing"
)

func all() []Codec { return []Codec{None, Gzip, Zstd, Snappy, LZ4} }

func decode(t testing.TB, c Codec, in []byte) ([]byte, error) {
	t.Helper()
	r, err := c.NewReader(bytes.NewReader(in))
	if err != nil {
		return nil, err
	}
	defer r.Close()
	return io.ReadAll(r)
}

// content is compressible and of any length.
func content(r *rand.Rand, n int) []byte {
	var b bytes.Buffer
	for b.Len() < n {
		fmt.Fprintf(&b, "%d,%d,row\n", r.IntN(100), b.Len())
	}
	return b.Bytes()[:n]
}

// TestContinueAtFrameBoundary is the property that the file sink stands on: writes and barriers at random; a crash leaves any
// number of bytes after the last barrier; the file is cut back to some earlier barrier and continued by another Writer.
func TestContinueAtFrameBoundary(t *testing.T) {
	for _, c := range all() {
		t.Run(c.String(), func(t *testing.T) {
			for seed := range uint64(8) {
				r := rand.New(rand.NewPCG(seed, 7))
				var file bytes.Buffer
				var plain []byte
				type barrier struct{ file, plain int }
				barriers := []barrier{{}}
				w, err := c.NewWriter(&file, 0)
				if err != nil {
					t.Fatal(err)
				}
				for range 40 {
					switch r.IntN(8) {
					case 0: // crash and continue
						b := barriers[r.IntN(len(barriers))]
						file.Truncate(b.file)
						plain = plain[:b.plain]
						for barriers[len(barriers)-1].file > b.file {
							barriers = barriers[:len(barriers)-1]
						}
						if r.IntN(2) == 0 {
							w.Discard()
						}
						w, _ = c.NewWriter(&file, 0)
					case 1, 2: // barrier
						if err := w.EndFrame(); err != nil {
							t.Fatal(err)
						}
						if w.FrameOpen() {
							t.Fatal("a frame is open after EndFrame")
						}
						before := file.Len()
						if err := w.EndFrame(); err != nil || file.Len() != before {
							t.Fatalf("a second EndFrame added %d bytes, %v", file.Len()-before, err)
						}
						barriers = append(barriers, barrier{file.Len(), len(plain)})
						got, err := decode(t, c, file.Bytes())
						if err != nil || !bytes.Equal(got, plain) {
							t.Fatalf("seed %d: after a barrier %d bytes decode to %d, %v; want %d", seed, file.Len(), len(got), err, len(plain))
						}
					default:
						n := r.IntN(3000)
						if r.IntN(10) == 0 {
							n = r.IntN(200_000)
						}
						p := content(r, n)
						if _, err := w.Write(p); err != nil {
							t.Fatal(err)
						}
						plain = append(plain, p...)
					}
				}
			}
		})
	}
}

// TestTornInput cuts a file of several frames at every kind of place: the result is a prefix, and unless the cut is at a frame
// boundary (or, for snappy, a chunk boundary) the reader says so.
func TestTornInput(t *testing.T) {
	for _, c := range all()[1:] {
		t.Run(c.String(), func(t *testing.T) {
			r := rand.New(rand.NewPCG(1, 2))
			var file bytes.Buffer
			var plain []byte
			boundary := map[int]bool{0: true}
			w, _ := c.NewWriter(&file, 0)
			for range 4 {
				p := content(r, 300)
				plain = append(plain, p...)
				w.Write(p)
				w.EndFrame()
				boundary[file.Len()] = true
			}
			quiet := 0
			for cut := range file.Len() + 1 {
				got, err := decode(t, c, file.Bytes()[:cut])
				if !bytes.HasPrefix(plain, got) {
					t.Fatalf("cut at %d gives bytes that nobody wrote", cut)
				}
				if boundary[cut] && err != nil {
					t.Fatalf("cut at the boundary %d: %v", cut, err)
				}
				if !boundary[cut] && err == nil {
					quiet++
				}
				if err != nil && c != Snappy && !errors.Is(err, io.ErrUnexpectedEOF) {
					t.Fatalf("cut at %d: %v, want io.ErrUnexpectedEOF", cut, err)
				}
			}
			if limit := map[Codec]int{Snappy: 4}[c]; quiet > limit {
				t.Fatalf("%d torn inputs went unnoticed, allowed are %d", quiet, limit)
			}
		})
	}
}

func TestDamageIsNoticed(t *testing.T) {
	for _, c := range all()[1:] {
		var file bytes.Buffer
		w, _ := c.NewWriter(&file, 0)
		plain := content(rand.New(rand.NewPCG(3, 4)), 50_000)
		w.Write(plain)
		w.EndFrame()
		damaged := bytes.Clone(file.Bytes())
		damaged[len(damaged)/2] ^= 0x10
		if got, err := decode(t, c, damaged); err == nil {
			t.Errorf("%s: a flipped bit went unnoticed (content equal: %v)", c, bytes.Equal(got, plain))
		} else if !strings.HasPrefix(err.Error(), c.String()+" data: ") {
			t.Errorf("%s: the error does not name the codec: %v", c, err)
		}
	}
}

func TestLevels(t *testing.T) {
	plain := content(rand.New(rand.NewPCG(5, 6)), 20_000)
	for _, c := range all() {
		for level := range codecs[c].maxLevel + 1 {
			var file bytes.Buffer
			w, err := c.NewWriter(&file, level)
			if err != nil {
				t.Fatal(err)
			}
			w.Write(plain)
			w.EndFrame()
			if got, err := decode(t, c, file.Bytes()); err != nil || !bytes.Equal(got, plain) {
				t.Fatalf("%s level %d: %v", c, level, err)
			}
		}
		if _, err := c.NewWriter(io.Discard, codecs[c].maxLevel+1); err == nil {
			t.Errorf("%s took a level that is too high", c)
		}
	}
}

func TestNames(t *testing.T) {
	for name, want := range map[string]Codec{"a.csv": None, "a.csv.gz": Gzip, "A.ZST": Zstd, "b.sz": Snappy, "b.snappy": Snappy, "c.lz4": LZ4, "gz": None} {
		if got := ByExtension(name); got != want {
			t.Errorf("%s is taken for %s", name, got)
		}
	}
	if got := TrimExtension("dir.gz/a.csv.gz"); got != "dir.gz/a.csv" {
		t.Error(got)
	}
	for _, name := range Names() {
		c, err := Parse(name)
		if err != nil || c.String() != name {
			t.Errorf("%s: %v %v", name, c, err)
		}
		if c != None && ByExtension("x"+c.Extension()) != c {
			t.Errorf("%s does not know its own extension %s", c, c.Extension())
		}
	}
	if _, err := Parse("brotli"); err == nil {
		t.Error("brotli was taken")
	}
}

// TestWriterErrorSticks: a full disk must not be forgotten by the next call.
func TestWriterErrorSticks(t *testing.T) {
	for _, c := range all() {
		w, _ := c.NewWriter(failing{}, 0)
		w.Write(content(rand.New(rand.NewPCG(8, 8)), 1<<20))
		if err := w.EndFrame(); !errors.Is(err, errFull) {
			t.Errorf("%s: EndFrame after a failed write: %v", c, err)
		}
		if _, err := w.Write([]byte("x")); !errors.Is(err, errFull) {
			t.Errorf("%s: Write after a failed write: %v", c, err)
		}
	}
}

var errFull = errors.New("disk full")

type failing struct{}

func (failing) Write([]byte) (int, error) { return 0, errFull }

// TestEncoderMemory keeps EncoderMemory honest: an encoder in use takes at most what it says.
func TestEncoderMemory(t *testing.T) {
	plain := content(rand.New(rand.NewPCG(9, 9)), 2<<20)
	for _, c := range all()[1:] {
		const n = 4
		var before, after runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&before)
		var keep [n]encoder
		for i := range keep {
			e, err := newEncoder(c, 0)
			if err != nil {
				t.Fatal(err)
			}
			e.Reset(io.Discard)
			e.Write(plain)
			keep[i] = e
		}
		runtime.GC()
		runtime.ReadMemStats(&after)
		each := (int64(after.HeapAlloc) - int64(before.HeapAlloc)) / n
		t.Logf("%s: %d KiB", c, each>>10)
		if each > c.EncoderMemory() {
			t.Errorf("%s: an encoder takes %d bytes, EncoderMemory says %d", c, each, c.EncoderMemory())
		}
		runtime.KeepAlive(keep)
	}
}

func FuzzReader(f *testing.F) {
	for _, c := range all() {
		var file bytes.Buffer
		w, _ := c.NewWriter(&file, 0)
		w.Write([]byte("seed content seed content"))
		w.EndFrame()
		f.Add(uint8(c), file.Bytes())
	}
	f.Fuzz(func(t *testing.T, codec uint8, in []byte) {
		c := Codec(codec % uint8(len(codecs)))
		r, err := c.NewReader(bytes.NewReader(in))
		if err != nil {
			return
		}
		defer r.Close()
		io.Copy(io.Discard, io.LimitReader(r, 1<<20))
	})
}

func BenchmarkWriter(b *testing.B) {
	plain := content(rand.New(rand.NewPCG(9, 9)), 1<<20)
	for _, c := range all() {
		b.Run(c.String(), func(b *testing.B) {
			b.SetBytes(int64(len(plain)))
			b.ReportAllocs()
			w, _ := c.NewWriter(io.Discard, 0)
			for b.Loop() {
				w.Write(plain)
				w.EndFrame()
			}
		})
	}
}
