package file

import (
	"fmt"
	"io"
	"slices"

	"turbo/core"
	"turbo/internal/spec"
	"turbo/internal/vfs"
	"turbo/io/compress"
	"turbo/io/connector"
	"turbo/io/ledger"
	"turbo/memory"
)

func init() {
	connector.RegisterSink(connector.SinkSpec{
		Name:    "file",
		Summary: "Files in a directory, exactly once",
		Description: `Rows go into hidden files (` + "`.NAME" + hiddenSuffix + "`" + `). A file is finished when it is large or old enough, or when no row has come for a
while; it gets its visible name, by a rename that never replaces, once the checkpoint that covers it is complete. Readers
that skip names with a leading dot or underscore see finished files only, each row once.

Text files stay open over checkpoints and continue after a crash where the last checkpoint was, compressed ones too. So do Parquet
and Arrow files: a checkpoint adds row groups to the open file.

The delivery ledger, ` + "`_turbo/ledger.jsonl`" + `, lists what each checkpoint delivered; ` + "`turbo verify DIR`" + ` checks the files against it.
A job that finds a delivered file missing or changed does not start.`,
		Guarantee: "exactly once: after a failure the output continues at the last complete checkpoint, nothing is lost or written twice",
		Fields: []connector.Field{
			{Name: "path", Type: connector.String, Required: true, Identity: true, Doc: "The directory. It is made if it does not exist, and belongs to this sink alone.", Example: "./out/arrivals"},
			{Name: "format", Type: connector.Format, Required: true, Doc: "How rows are written.", Example: "{type: parquet, compression: zstd}"},
			{Name: "compression", Type: connector.Enum, Enum: compress.Names(), Default: "none",
				Doc: "Compression of whole files of text formats. Parquet and Arrow compress inside; that is an option of the format."},
			{Name: "compression-level", Type: connector.Int, Default: "0", Min: "0", Max: "22", Doc: "The level of gzip (1 to 9), zstd (1 to 22) or lz4 (1 to 9); 0 is the fastest useful one."},
			{Name: "partition-by", Type: connector.StringMap, Columns: true, Example: "{day: \"DATE_FORMAT(ts, 'yyyy-MM-dd')\"}",
				Doc: "Directories by value: each key names a directory level, its value is an expression over the columns (none: the column of that name). The values stand in the paths and not in the files."},
			{Name: "partition-style", Type: connector.Enum, Enum: []string{"hive", "plain"}, Default: "hive",
				Doc: "hive: directories are called `key=value`. plain: the value alone, and a slash in it separates directories, so that `DATE_FORMAT(ts, 'yyyy/MM/dd/HH')` makes time buckets."},
			{Name: "roll", Type: connector.Object, Doc: "When a file is finished. Each rule holds by itself, and none of them needs new rows.", Fields: []connector.Field{
				{Name: "size", Type: connector.ByteSize, Default: "128MiB", Min: "1", Doc: "From this size on."},
				{Name: "interval", Type: connector.Duration, Default: "1m", MinusOne: true, Doc: "So long after it was opened. -1: never by age."},
				{Name: "inactivity", Type: connector.Duration, Default: "1m", MinusOne: true, Doc: "So long after its last row. -1: never by inactivity."},
				{Name: "on-checkpoint", Type: connector.Bool, Default: "false", Doc: "At every checkpoint: rows are visible sooner, in smaller files."},
			}},
			{Name: "max-open", Type: connector.Int, Default: "64", Min: "1", Max: "10000", Doc: "Files that a worker has open at most. The one that has not got a row for longest is finished when another partition needs one."},
			{Name: "existing", Type: connector.Enum, Enum: ExistingPolicies, Default: "refuse",
				Doc: "What a start without state does with the output of an earlier run of the job: refuse to start, append (leave it beside the new files), or replace (remove the files that the ledger lists)."},
		},
		New: newFromContext,
	})
}

func newFromContext(c *connector.SinkContext) (core.Sink, error) {
	cfg := c.Config
	format := cfg.Format("format")
	o := Options{Runtime: c.Runtime, Dir: cfg.String("path"), Input: c.Schema, MaxOpen: int(cfg.Int("max-open")),
		Existing: Existing(slices.Index(ExistingPolicies, cfg.String("existing")))}
	if o.Dir == "" {
		return nil, cfg.Errorf("path", "a directory is needed")
	}
	plain := cfg.String("partition-style") == "plain"
	for _, e := range cfg.Entries("partition-by") {
		p := Partition{Name: e.Key, Column: c.Schema.Index(e.Key)}
		if p.Column < 0 {
			return nil, cfg.Errorf("partition-by", "no column %s", core.QuoteName(e.Key))
		}
		if err := partitionable(c.Schema.Fields[p.Column].Type); err != nil {
			return nil, cfg.Errorf("partition-by", "%s: %w", e.Key, err)
		}
		if plain {
			p.Name = ""
		}
		o.Partition = append(o.Partition, p)
	}
	var fields []core.Field
	for i, f := range c.Schema.Fields {
		if !slices.ContainsFunc(o.Partition, func(p Partition) bool { return p.Column == i }) {
			if err := format.Spec.Supports(f.Type); err != nil {
				return nil, cfg.Errorf("format", "column %s: %w", core.QuoteName(f.Name), err)
			}
			fields = append(fields, f)
		}
	}
	if len(fields) == 0 {
		return nil, cfg.Errorf("partition-by", "no column is left for the files")
	}
	o.Schema = core.NewSchema(fields...)
	if format.Spec.Check != nil {
		if err := format.Spec.Check(format.Config, o.Schema); err != nil {
			return nil, err
		}
	}
	if err := setEncoding(&o, c, format); err != nil {
		return nil, err
	}
	roll := cfg.Object("roll")
	o.Roll = RollPolicy{Size: roll.Bytes("size"), Interval: max(roll.Duration("interval"), 0), Inactivity: max(roll.Duration("inactivity"), 0), OnCheckpoint: roll.Bool("on-checkpoint")}
	o.Header = ledger.Header{Format: format.Spec.Name, Options: optionTexts(format.Config)}
	if o.Compression != compress.None {
		o.Header.Compression = o.Compression.String()
	}
	return New(o), nil
}

func setEncoding(o *Options, c *connector.SinkContext, format *connector.FormatConfig) (err error) {
	if o.Compression, err = compress.Parse(c.Config.String("compression")); err != nil {
		return c.Config.Errorf("compression", "%w", err)
	}
	o.Level = int(c.Config.Int("compression-level"))
	if err := o.Compression.CheckLevel(o.Level); err != nil {
		return c.Config.Errorf("compression-level", "%w", err)
	}
	o.Extension = "." + format.Spec.Extension + o.Compression.Extension()
	switch {
	case format.Spec.NewFile != nil && o.Compression != compress.None:
		return c.Config.Errorf("compression", "%s files compress inside: set compression in the format's block", format.Spec.Name)
	case format.Spec.NewFile != nil:
		o.NewContainer = func(w io.Writer) (connector.FileWriter, error) {
			return format.Spec.NewFile(connector.FileContext{Config: format.Config, Schema: o.Schema, BatchRows: c.BatchRows, Account: c.Account}, w)
		}
		o.Parts = PartsOf(format.Spec.Name)
	case format.Spec.NewEncoder != nil:
		o.NewEncoder = func() (connector.Encoder, error) {
			return format.Spec.NewEncoder(connector.EncoderContext{Config: format.Config, Schema: o.Schema, Framed: true})
		}
	default:
		return c.Config.Errorf("format", "%s cannot be written", format.Spec.Name)
	}
	return nil
}

// optionTexts are the scalar options of a format as the job spec gives them, for the ledger.
func optionTexts(c *connector.Config) map[string]string {
	block := c.Block()
	if block == nil {
		return nil
	}
	out := map[string]string{}
	for _, e := range block.Entries {
		if e.Key != "type" && e.Value != nil && e.Value.Kind == spec.Scalar {
			out[e.Key] = e.Value.Value
		}
	}
	return out
}

// CountRows counts the rows of a file that a run of the file sink has written: ledger.Options.CountRows for Verify.
func CountRows(h *ledger.Header, f vfs.File, name string, size int64) (int64, error) {
	format := connector.LookupFormat(h.Format)
	if format == nil {
		return 0, fmt.Errorf("format %q is not known here", h.Format)
	}
	fields := append([]connector.Field{{Name: "type", Type: connector.String, Doc: "The name of the format."}}, format.Fields...)
	cfg, err := connector.FromMap("format", fields, h.Options)
	if err != nil {
		return 0, err
	}
	if format.OpenFile != nil {
		return countUnits(format, cfg, f, size)
	}
	codec, err := compress.Parse(h.Compression)
	if err != nil {
		return 0, err
	}
	in, err := codec.NewReader(io.NewSectionReader(f, 0, size))
	if err != nil {
		return 0, err
	}
	defer in.Close()
	splitter, err := format.NewSplitter(cfg)
	if err != nil {
		return 0, err
	}
	records := newRecordReader(in, splitter, 0)
	rows := int64(0)
	for {
		_, err := records.next()
		if err == io.EOF {
			break
		}
		if err != nil {
			return 0, err
		}
		rows++
	}
	if slices.ContainsFunc(format.Fields, func(f connector.Field) bool { return f.Name == "header" }) && cfg.Bool("header") {
		rows--
	}
	return rows, nil
}

func countUnits(format *connector.FormatSpec, cfg *connector.Config, f io.ReaderAt, size int64) (int64, error) {
	r, err := format.OpenFile(noColumns(cfg), f, size)
	if err != nil {
		return 0, err
	}
	defer r.Close()
	rows := int64(0)
	for unit := range r.Units() {
		rows += r.Rows(unit)
	}
	return rows, nil
}

// inspectMemory bounds what looking at a container may take: a record batch of an Arrow file.
const inspectMemory = 1 << 30

// noColumns is for looking at a container without reading a column.
func noColumns(c *connector.Config) connector.FileContext {
	return connector.FileContext{Config: c, Record: core.NewSchema(), Schema: core.NewSchema(), Account: memory.NewPool(inspectMemory).Account("inspect")}
}

// Verify checks a directory that the file sink has written, rows counted.
func Verify(f vfs.FS, dir string) (*ledger.Report, error) {
	return ledger.Verify(f, dir, ledger.Options{CountRows: CountRows})
}
