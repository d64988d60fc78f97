package file

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"testing"

	"github.com/apache/arrow/go/v17/arrow"
	"github.com/apache/arrow/go/v17/arrow/array"
	"github.com/apache/arrow/go/v17/arrow/ipc"
	"github.com/parquet-go/parquet-go"

	"turbo/io/connector"
)

// container sets up a real format.
func container(name, options string) func(*Options) {
	return func(o *Options) {
		format := connector.LookupFormat(name)
		cfg, err := connector.FromYAML("format", append([]connector.Field{{Name: "type", Type: connector.String, Doc: "name"}}, format.Fields...), options)
		if err != nil {
			panic(err)
		}
		o.Extension, o.Parts = "."+format.Extension, PartsOf(name)
		o.Roll.Size = 4000
		account, schema := o.Account, o.Schema
		o.NewContainer = func(w io.Writer) (connector.FileWriter, error) {
			return format.NewFile(connector.FileContext{Config: cfg, Schema: schema, BatchRows: 64, Account: account}, w)
		}
	}
}

var parquetForm = form{"parquet", container("parquet", "{compression: zstd}"), func(content []byte) ([]string, error) {
	type row struct {
		ID   int64  `parquet:"id"`
		Text string `parquet:"text"`
	}
	rows, err := parquet.Read[row](bytes.NewReader(content), int64(len(content)))
	if err != nil {
		return nil, err
	}
	var out []string
	for _, r := range rows {
		out = append(out, fmt.Sprintf("%d,%s", r.ID, r.Text))
	}
	return out, nil
}}

func readArrow(next func() (arrow.Record, error)) (out []string, err error) {
	for {
		record, err := next()
		if err == io.EOF {
			return out, nil
		}
		if err != nil {
			return nil, err
		}
		for i := range int(record.NumRows()) {
			out = append(out, fmt.Sprintf("%d,%s", record.Column(0).(*array.Int64).Value(i), record.Column(1).(*array.String).Value(i)))
		}
	}
}

var arrowForm = form{"arrow", container("arrow", "{compression: lz4}"), func(content []byte) ([]string, error) {
	rows, err := readArrowFile(content)
	if err != nil {
		return nil, err
	}
	// A reader of streams sees the same.
	s, err := ipc.NewReader(bytes.NewReader(content[arrowMagicPadded:]))
	if err != nil {
		return nil, err
	}
	defer s.Release()
	streamed, err := readArrow(s.Read)
	if err != nil {
		return nil, err
	}
	if fmt.Sprint(rows) != fmt.Sprint(streamed) {
		return nil, errors.New("the file read as a stream has other rows")
	}
	return rows, nil
}}

func readArrowFile(content []byte) ([]string, error) {
	f, err := ipc.NewFileReader(bytes.NewReader(content))
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return readArrow(f.Read)
}

// wholeForm is a container that cannot be made of parts.
var wholeForm = form{"sealed at every checkpoint", func(o *Options) {
	arrowForm.set(o)
	o.Parts = nil
}, readArrowFile}

func TestContainersSurvivePowerLoss(t *testing.T) {
	for _, f := range []form{parquetForm, arrowForm, wholeForm} {
		t.Run(f.name, func(t *testing.T) {
			for seed := range max(uint64(10), *moreSeeds) {
				if err := life(t, seed, f, seed%2 == 0); err != nil {
					t.Fatalf("seed %d: %v", seed, err)
				}
			}
		})
	}
}
