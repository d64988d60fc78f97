package file

import (
	"fmt"

	"turbo/core"
	"turbo/internal/vfs"
	"turbo/io/compress"
	"turbo/io/connector"
)

var metadataColumns = []connector.MetadataColumn{
	{Key: "path", Type: core.Of(core.String).Required(), Doc: "The file's path."},
	{Key: "offset", Type: core.Of(core.Int64).Required(), Doc: "Where the record begins: its first byte in the uncompressed file; in Parquet and Arrow files the row's number from 0."},
	{Key: "line", Type: core.Of(core.Int64), Doc: "The record's number in the file from 1, a header counted; null in Parquet and Arrow files and behind the first cut of a file that is read in parts."},
}

func init() {
	connector.RegisterSource(connector.SourceSpec{
		Name:    "file",
		Summary: "One file, the files that match a pattern, or those of a directory",
		Description: `Reads the files that are there and ends, or with ` + "`watch`" + ` waits for more. Hidden files (a leading dot or underscore) are left
out, so the output directory of a file sink can be read while it grows. Compression is told by the file's extension:
.gz, .zst, .sz or .snappy (framed), .lz4.

Workers share the files. Large ones are cut: Parquet and Arrow between row groups or record batches, uncompressed text between lines. A file must
not change after it was found; files are best written under a hidden name and renamed.`,
		Guarantee: "exactly once: positions are in the checkpoint",
		Fields: []connector.Field{
			{Name: "path", Type: connector.String, Required: true, Identity: true, Example: "./in/*.csv.gz",
				Doc: "A file, a directory (all files below it), or a pattern with `*`, `?`, `[...]` and `**` for any number of directories."},
			{Name: "format", Type: connector.Format, Required: true, Doc: "How records are read.", Example: "csv"},
			{Name: "compression", Type: connector.Enum, Enum: append([]string{"auto"}, compress.Names()...), Default: "auto", Doc: "Compression of text files; auto goes by each file's extension."},
			{Name: "watch", Type: connector.Duration, Min: "1ms", Example: "10s",
				Doc: "Look for new files so often, and never end. A file is read once it was seen twice without a change. Without it the files that are there at the start are read."},
			{Name: "split", Type: connector.Enum, Enum: []string{"auto", "never", "lines"}, Default: "auto",
				Doc: "Whether large files are cut. auto: where a record is surely a line (raw, json, csv without quotes), and containers. lines: CSV with quotes too, because no field has a line end in it. never: files are read whole."},
			{Name: "split-size", Type: connector.ByteSize, Default: "64MiB", Min: "1", Doc: "The size of the parts of a file that is cut."},
		},
		Metadata:      metadataColumns,
		DefaultSchema: defaultSchema,
		New: func(c *connector.SourceContext) (core.Source, error) {
			format := c.Config.Format("format")
			if format.Spec.OpenFile == nil && (format.Spec.NewDecoder == nil || format.Spec.NewSplitter == nil) {
				return nil, c.Config.Errorf("format", "%s cannot be read from files", format.Spec.Name)
			}
			if format.Spec.OpenFile != nil && c.Config.String("compression") != "auto" && c.Config.String("compression") != "none" {
				return nil, c.Config.Errorf("compression", "%s files compress inside", format.Spec.Name)
			}
			if c.Record != nil {
				for _, f := range c.Record.Fields {
					if err := format.Spec.Supports(f.Type); err != nil {
						return nil, c.Config.Errorf("format", "column %s: %w", core.QuoteName(f.Name), err)
					}
				}
				if format.Spec.Check != nil {
					if err := format.Spec.Check(format.Config, c.Record); err != nil {
						return nil, err
					}
				}
			}
			return newSource(c)
		},
	})
}

// defaultSchema takes the columns from the first file, if it is a container, or from the format.
func defaultSchema(c *connector.Config) (*core.Schema, error) {
	format := c.Format("format")
	if format.Spec.OpenFile == nil {
		if format.Spec.DefaultSchema == nil {
			return nil, c.Errorf("format", "%s files do not say which columns they have: a schema is needed", format.Spec.Name)
		}
		return format.Spec.DefaultSchema(format.Config)
	}
	f := vfs.OS()
	list, err := discover(f, c.String("path"))
	if err != nil {
		return nil, c.Errorf("path", "%w", err)
	}
	if len(list) == 0 {
		return nil, c.Errorf("path", "no file is there to take the columns from: a schema is needed")
	}
	file, err := f.Open(list[0].path)
	if err != nil {
		return nil, c.Errorf("path", "%w", err)
	}
	defer file.Close()
	r, err := format.Spec.OpenFile(noColumns(format.Config), file, list[0].size)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", list[0].path, err)
	}
	defer r.Close()
	return r.FileSchema(), nil
}
