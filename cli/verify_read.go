package cli

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"

	"turbo/core"
	"turbo/internal/clock"
	"turbo/internal/vfs"
	"turbo/io/connector"
	"turbo/io/ledger"
	"turbo/memory"
)

// verifyBatch is how many rows are read at a time.
const verifyBatch = 4096

// verifyMemory bounds the batches and buffers of a comparison.
const verifyMemory = 1 << 30

func verifyRuntime(pool *memory.Pool, name string) connector.Runtime {
	return connector.Runtime{Job: "verify", Run: "verify", Name: name, Parallelism: 1, BatchRows: verifyBatch, BufferTimeout: -1,
		Account: pool.Account(name), FS: vfs.OS(), Clock: clock.Real(), Log: slog.New(slog.DiscardHandler)}
}

// drain gives all batches of a bounded source to each, which owns them.
func drain(ctx context.Context, spec *connector.SourceSpec, c *connector.SourceContext, each func(split int, b *core.Batch) error) error {
	source, err := spec.New(c)
	if err != nil {
		return err
	}
	if err := source.Open(ctx, nil); err != nil {
		return err
	}
	defer source.Close()
	reader, err := source.Reader(0)
	if err != nil {
		return err
	}
	defer reader.Close()
	woken := make(chan struct{}, 1)
	reader.SetWaker(func() {
		select {
		case woken <- struct{}{}:
		default:
		}
	})
	for {
		e, err := reader.Poll()
		if err != nil {
			return err
		}
		switch e.Kind {
		case core.NoEvent:
			select {
			case <-woken:
			case <-ctx.Done():
				return ctx.Err()
			}
		case core.DataEvent:
			if e.Batch != nil {
				if err := each(e.Split, e.Batch); err != nil {
					return err
				}
			}
		case core.DeadLetter:
			e.Batch.Release()
		case core.EndOfInput:
			return nil
		}
	}
}

// readFile reads a file that a run of the file sink has written, by the registry's reader of files.
func readFile(ctx context.Context, pool *memory.Pool, h *ledger.Header, path string, schema *core.Schema, each func(b *core.Batch) error) error {
	if strings.ContainsAny(path, "*?[") {
		return errors.New("its path has a character that is a wildcard to the reader of files")
	}
	spec := connector.LookupSource("file")
	var text strings.Builder
	fmt.Fprintf(&text, "path: %q\nsplit: never\nformat:\n  type: %q\n", path, h.Format)
	for _, key := range sortedKeys(h.Options) {
		fmt.Fprintf(&text, "  %s: %q\n", key, h.Options[key])
	}
	config, err := connector.FromYAML("file", spec.Fields, text.String())
	if err != nil {
		return err
	}
	c := &connector.SourceContext{Runtime: verifyRuntime(pool, "files"), Config: config, Record: schema, Schema: schema}
	for i := range schema.Fields {
		c.Columns = append(c.Columns, i)
	}
	return drain(ctx, spec, c, func(_ int, b *core.Batch) error { return each(b) })
}

func sortedKeys(m map[string]string) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

// roundTrip makes rows what they are after they were written in a text format and read again: a null and an empty text may be one
// there. Containers keep values as they are.
type roundTrip struct {
	encode  connector.Encoder
	decode  connector.Decoder
	builder *core.Builder
	text    []byte
	ends    []int32
}

func newRoundTrip(pool *memory.Pool, h *ledger.Header, schema *core.Schema) (*roundTrip, error) {
	format, config, err := formatConfig(h)
	if err != nil || format.IsContainer() {
		return nil, err
	}
	r := &roundTrip{builder: core.NewBuilder(pool.Account("round trip"), schema, verifyBatch)}
	if r.encode, err = format.NewEncoder(connector.EncoderContext{Config: config, Schema: schema}); err != nil {
		return nil, err
	}
	columns := make([]int, len(schema.Fields))
	for i := range columns {
		columns[i] = i
	}
	r.decode, err = format.NewDecoder(connector.DecoderContext{Config: config, Record: schema, Schema: schema, Columns: columns})
	return r, err
}

// run returns the live rows of b as they are read back; b stays the caller's.
func (r *roundTrip) run(b *core.Batch) (*core.Batch, error) {
	var err error
	if r.text, r.ends, err = r.encode.Encode(r.text[:0], r.ends[:0], b); err != nil {
		return nil, err
	}
	from := int32(0)
	for _, to := range r.ends {
		if err := r.decode.Decode(r.text[from:to], r.builder); err != nil {
			return nil, fmt.Errorf("a row that was written cannot be read back: %w", err)
		}
		from = to
	}
	return r.builder.Finish(), nil
}
