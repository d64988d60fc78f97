package stream_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"turbo/core"
	"turbo/stream"
	"turbo/stream/streamtest"
)

type deposit struct {
	Account string
	Amount  int64
	At      time.Time `turbo:"at,TIMESTAMP(6),time"`
}

type balance struct {
	Account string
	Balance int64
	Final   bool
}

// byRows keeps a balance for each account and speaks at each row and, by a timer, at a full hundred seconds after it.
func byRows(job *stream.Env) {
	stream.Process(streamtest.Source[deposit](job, "deposits").KeyBy("account"), "balances", func(s *stream.Setup) stream.Processor[deposit, balance] {
		sum := stream.Value[int64](s, "sum")
		return stream.Processor[deposit, balance]{
			Row: func(ctx *stream.Context[balance], d *deposit) error {
				was, _ := sum.Get()
				sum.Set(was + d.Amount)
				ctx.Emit(balance{d.Account, was + d.Amount, false})
				ctx.SetTimer(second(int(d.At.Unix()/100*100 + 100)))
				return nil
			},
			Timer: func(ctx *stream.Context[balance], timer stream.Timer) error {
				was, _ := sum.Get()
				ctx.Emit(balance{timer.KeyString(), was, true})
				return nil
			},
		}
	}).Collect("out")
}

// byColumns does the same in batch form.
func byColumns(job *stream.Env) {
	in := streamtest.Source[deposit](job, "deposits")
	stream.ProcessBatch[balance](in.KeyBy("account"), "balances", func(s *stream.Setup) stream.BatchProcessor {
		sum := stream.Columns(s, "sum", []core.Field{{Name: "sum", Type: core.Of(core.Int64).Required()}})
		schema := in.Columns()
		account, amount, at := schema.Index("account"), schema.Index("amount"), schema.TimeColumn
		var times []core.Time
		return stream.BatchProcessor{
			Rows: func(ctx *stream.BatchContext, in *stream.Rows) error {
				if err := sum.Begin(in.Slots); err != nil {
					return err
				}
				sums, amounts, ts, out := sum.Ints(0), in.Batch.Columns[amount].Int64s(), in.Batch.Columns[at].Int64s(), ctx.Out()
				times = times[:0]
				for i, slot := range in.Slots {
					r := in.Row(i)
					sums.Set(slot, sums.At(slot)+amounts[r])
					out.Copy(0, in.Batch.Columns[account], r)
					out.Int64(1, sums.At(slot))
					out.Bool(2, false)
					times = append(times, core.Time(ts[r]/100e6*100e6+100e6))
				}
				out.EndRows(len(in.Slots))
				ctx.RegisterTimers(false, in.Slots, times)
				return nil
			},
			Timers: func(ctx *stream.BatchContext, in *stream.Rows) error {
				sums, out := sum.Ints(0), ctx.Out()
				for i, slot := range in.Slots {
					out.Copy(0, in.Batch.Columns[0], in.Row(i))
					out.Int64(1, sums.At(slot))
					out.Bool(2, true)
				}
				out.EndRows(len(in.Slots))
				return nil
			},
		}
	}).Collect("out")
}

// TestProcessBatch: the batch form says what the row form says, over watermarks, restores and other parallelisms.
func TestProcessBatch(t *testing.T) {
	for seed := range uint64(10) {
		var outputs [2][]string
		for form, build := range []func(*stream.Env){byRows, byColumns} {
			r := rand.New(rand.NewPCG(seed, 1))
			var snapshot []byte
			at := int64(0)
			for leg := range 3 {
				job := stream.New("batch")
				build(job)
				options := []streamtest.Option{streamtest.WithT(t), streamtest.Workers(1 + r.IntN(3))}
				if leg > 0 {
					options = append(options, streamtest.From(snapshot))
				}
				h := streamtest.New(job, options...)
				in, out := streamtest.Input[deposit](h, "deposits"), streamtest.Output[balance](h, "out")
				for range 1 + r.IntN(5) {
					var rows []deposit
					for range 1 + r.IntN(20) {
						at += r.Int64N(20)
						rows = append(rows, deposit{fmt.Sprintf("a%d", r.IntN(4)), r.Int64N(100), second(int(at))})
					}
					if err := in.Push(rows...); err != nil {
						t.Fatal(err)
					}
					if err := in.Watermark(second(int(at) - 10)); err != nil {
						t.Fatal(err)
					}
				}
				if leg == 2 {
					if err := in.End(); err != nil {
						t.Fatal(err)
					}
				}
				for _, b := range out.Rows() {
					outputs[form] = append(outputs[form], fmt.Sprint(leg, b))
				}
				if leg < 2 {
					var err error
					if snapshot, err = h.Snapshot(t.Context()); err != nil {
						t.Fatal(err)
					}
				}
				h.Close()
			}
			slices.Sort(outputs[form])
		}
		if len(outputs[0]) < 10 || !slices.Equal(outputs[0], outputs[1]) {
			t.Fatalf("seed %d: by rows\n%v\nby columns\n%v", seed, outputs[0], outputs[1])
		}
	}
}
