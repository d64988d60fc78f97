package stream_test

import (
	"context"
	"encoding/binary"
	"errors"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"turbo/stream"
)

type inner struct {
	A int32
	B stream.Null[string]
}

type everything struct {
	Bool  bool
	I8    int8
	I16   int16
	I32   int32
	I64   int64
	Int   int
	F32   float32
	F64   float64
	Text  string
	Raw   []byte
	At    time.Time `turbo:"at,TIMESTAMP(6),time"`
	Day   time.Time `turbo:",DATE"`
	Took  time.Duration
	List  []int64
	Words []string
	Tags  map[string]float64
	In    inner
	Deep  []inner
	Maybe stream.Null[int64]
	Word  stream.Null[string]
	Skip  chan int `turbo:"-"`
}

func thing(i int) everything {
	e := everything{
		Bool: i%2 == 0, I8: int8(i), I16: int16(-i), I32: int32(i * 3), I64: int64(i) << 40, Int: i, F32: float32(i) / 4, F64: float64(i) / 8,
		Text: strings.Repeat("x", i%5), Raw: []byte{byte(i), 0, 255}, At: time.UnixMicro(int64(i) * 1000).UTC(), Day: time.Unix(int64(i)*86400, 0).UTC(),
		Took: time.Duration(i) * time.Millisecond, List: make([]int64, i%3), Words: []string{"a", ""}, Tags: map[string]float64{"k": float64(i)},
		In: inner{A: int32(i), B: stream.Some("b")}, Deep: []inner{{A: 1}, {A: 2, B: stream.Some("")}}, Word: stream.Some("w"),
	}
	if i%3 == 0 {
		e.Maybe, e.Word = stream.Some(int64(i)), stream.Null[string]{}
	}
	return e
}

func collect[T any](t *testing.T, s *stream.Stream[T]) []T {
	t.Helper()
	rows, err := stream.ExecuteAndCollect(context.Background(), s)
	if err != nil {
		t.Fatal(err)
	}
	return rows
}

func env(t *testing.T, options ...stream.Option) *stream.Env {
	return stream.New(strings.ReplaceAll(t.Name(), "/", "-"), append([]stream.Option{stream.NoCheckpoint(), stream.Parallelism(2)}, options...)...)
}

// TestRoundTrip: every type of field survives the way through columns, a function and a filter.
func TestRoundTrip(t *testing.T) {
	var in []everything
	for i := range 500 {
		in = append(in, thing(i))
	}
	s := stream.FromSlice(env(t, stream.Set("engine.batch-rows=7")), "in", in, stream.Watermarks{})
	s = stream.Filter(s, "odd", func(e *everything) (bool, error) { return e.Int%2 == 1, nil })
	s = stream.Map(s, "same", func(e *everything) (everything, error) { return *e, nil })
	got := collect(t, s)
	want := slices.DeleteFunc(slices.Clone(in), func(e everything) bool { return e.Int%2 == 0 })
	if !reflect.DeepEqual(got, want) {
		t.Errorf("%d rows, want %d; the first are\n%+v\n%+v", len(got), len(want), got[0], want[0])
	}
}

type number struct{ N int64 }

// TestFlatMap: rows may make none or more than a batch, in order.
func TestFlatMap(t *testing.T) {
	in := []number{{0}, {1}, {5}, {0}, {23}, {2}}
	s := stream.FromSlice(env(t, stream.Set("engine.batch-rows=4")), "in", in, stream.Watermarks{})
	got := collect(t, stream.FlatMap(s, "repeat", func(n *number, emit func(number)) error {
		for range n.N {
			emit(*n)
		}
		return nil
	}))
	var want []number
	for _, n := range in {
		for range n.N {
			want = append(want, n)
		}
	}
	if !slices.Equal(got, want) {
		t.Errorf("got %v", got)
	}
}

// TestFromFunc: a function is a source; a job that is stopped goes on at its position, and what both runs collect is every row once.
func TestFromFunc(t *testing.T) {
	dir := t.TempDir()
	const rows = 20000
	var stop func()
	var out *stream.Collected[number]
	run := func(ctx context.Context) ([]number, error) {
		e := stream.New("numbers", stream.Parallelism(1), stream.Checkpoint(dir, 5*time.Millisecond))
		s := stream.FromFunc(e, "count", func(ctx context.Context, from []byte, emit func(number, []byte) error) error {
			n := int64(0)
			if from != nil {
				n = int64(binary.LittleEndian.Uint64(from))
			}
			for ; n < rows; n++ {
				if err := emit(number{n}, binary.LittleEndian.AppendUint64(nil, uint64(n+1))); err != nil {
					return err
				}
				if n == rows/2 && stop != nil {
					for len(out.Rows()) == 0 && ctx.Err() == nil { // a checkpoint with rows is complete
						time.Sleep(time.Millisecond)
					}
					stop()
					<-ctx.Done()
				}
			}
			return nil
		}, stream.Watermarks{})
		out = s.Collect("out")
		err := e.Execute(ctx)
		return out.Rows(), err
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	stop = cancel
	first, err := run(ctx)
	if !errors.Is(err, context.Canceled) || len(first) == 0 || len(first) > rows/2+1 {
		t.Fatalf("%d rows, error %v", len(first), err)
	}
	stop = nil
	second, err := run(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	all := append(first, second...)
	for i, n := range all {
		if n.N != int64(i) {
			t.Fatalf("row %d of %d + %d is %d", i, len(first), len(second), n.N)
		}
	}
	if len(all) != rows {
		t.Errorf("%d rows", len(all))
	}
	if again, err := run(context.Background()); err != nil || len(again) != 0 {
		t.Errorf("a job that is done: %d rows, %v", len(again), err)
	}
}

// TestMistakes: each is reported with the line that made it, all at once.
func TestMistakes(t *testing.T) {
	type other struct{ Missing int64 }
	e := env(t)
	s := stream.FromSlice(e, "in", []number{{1}}, stream.Watermarks{})
	stream.As[other](s).Collect("a")
	s.Where("bad", "n > 'x").Collect("b")
	s.Where("in", "n > 1").Collect("c")
	s.To("file", "connector: fil\npath: x")
	stream.FromSlice(e, "ch", []struct{ C chan int }{}, stream.Watermarks{}).Collect("d")
	stream.FromSlice(e, "late", []number{}, stream.Watermarks{Column: "n"}).Collect("e")
	err := e.Execute(context.Background())
	if err == nil {
		t.Fatal("no error")
	}
	for _, want := range []string{
		"stream_test.go:", "the field Missing is the column missing, which there is not in (n BIGINT NOT NULL)",
		"the name \"in\" is taken", `did you mean "file"?`, "a chan int cannot be a column", "TIMESTAMP",
	} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("no %q in\n%v", want, err)
		}
	}
}

// TestFunctionsFail: an error and a panic of a user's function fail the job with the row, the operator and the stack.
func TestFunctionsFail(t *testing.T) {
	boom := errors.New("boom")
	fail := func(n *number) (number, error) {
		switch n.N {
		case 3:
			return *n, boom
		case 4:
			var nothing *number
			return number{nothing.N}, nil
		}
		return *n, nil
	}
	for from, want := range map[int64][]string{
		3: {"broken: function of {\"n\": 3}: boom"},
		4: {"broken: function of {\"n\": 4} panicked: runtime error", "stream_test.go:"},
	} {
		e := env(t, stream.Set("engine.restart=none"))
		s := stream.FromSlice(e, "in", []number{{1}, {from}}, stream.Watermarks{})
		_, err := stream.ExecuteAndCollect(context.Background(), stream.Map(s, "broken", fail))
		var f *stream.FunctionError
		if err == nil || !errors.As(err, &f) || f.Operator != "broken" || (len(f.Stack) > 0) != (from == 4) || errors.Is(err, boom) != (from == 3) {
			t.Errorf("row %d: %#v %v", from, f, err)
			continue
		}
		for _, w := range want {
			if !strings.Contains(err.Error(), w) {
				t.Errorf("no %q in %v", w, err)
			}
		}
	}
}

// TestNulls: a null for a field that cannot hold one names row, column and field.
func TestNulls(t *testing.T) {
	type maybe struct{ N stream.Null[int64] }
	e := env(t, stream.Set("engine.restart=none"))
	s := stream.As[number](stream.FromSlice(e, "in", []maybe{{stream.Some(int64(1))}, {}}, stream.Watermarks{}))
	_, err := stream.ExecuteAndCollect(context.Background(), stream.Map(s, "strict", func(n *number) (number, error) { return *n, nil }))
	if err == nil || !strings.Contains(err.Error(), "function of {\"n\": null}: the column n is null, and the field N is a int64: make it a stream.Null[int64]") {
		t.Error(err)
	}
}
