package file

import (
	"errors"
	"strings"
	"syscall"
	"testing"

	"turbo/internal/vfs"
	"turbo/io/ledger"
)

// TestSinkFaults: a full disk or a failing one fails the write or the checkpoint with the file's name, and after the repair
// a restart has everything.
func TestSinkFaults(t *testing.T) {
	for _, c := range []struct {
		name string
		rule vfs.Rule
		err  error
	}{
		{"full while writing", vfs.Rule{Pattern: ".*turbo-open", Bytes: 300}, syscall.ENOSPC},
		{"sync of a file", vfs.Rule{Op: vfs.OpSync, Pattern: ".*turbo-open", After: 3, Times: 1}, syscall.EIO},
		{"sync of a directory", vfs.Rule{Op: vfs.OpSyncDir, After: 6, Times: 1}, syscall.EIO},
		{"ledger full", vfs.Rule{Pattern: ledger.Name, Bytes: 900}, syscall.ENOSPC},
		{"rename", vfs.Rule{Op: vfs.OpRename, After: 1, Times: 1}, syscall.EACCES},
		{"create", vfs.Rule{Op: vfs.OpCreate, After: 4, Times: 1}, syscall.EACCES},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := newBench(t, func(o *Options) { o.Roll.Size = 150 })
			faulty := vfs.NewFaulty(b.mem)
			b.fs = faulty
			c.rule.Err = c.err
			faulty.Add(c.rule)
			run := func() error {
				for b.id < 60 {
					if err := b.write(2, []string{"a", "b"}[b.id%4/2]); err != nil {
						return err
					}
					if b.id%6 == 0 {
						if err := b.prepare(false); err != nil {
							return err
						}
						if err := b.commit(); err != nil {
							return err
						}
					}
				}
				if err := b.prepare(true); err != nil {
					return err
				}
				return b.commit()
			}
			failed := false
			for range 10 {
				before := b.last
				if err := b.start(); err != nil {
					if !errors.Is(err, c.err) {
						t.Fatal(err)
					}
					failed = true
					faulty.Clear()
					continue
				}
				if before != nil {
					b.id = rowsOf(b)
				} else {
					b.id = 0
				}
				err := run()
				if err == nil {
					break
				}
				if !errors.Is(err, c.err) || !strings.Contains(err.Error(), outDir) {
					t.Fatalf("the error does not say what and where: %v", err)
				}
				failed = true
				faulty.Clear()
			}
			if !failed {
				t.Fatal("the fault did not happen")
			}
			b.stop()
			report, err := ledger.Verify(b.mem, outDir, ledger.Options{})
			b.must(err)
			if !report.OK() || report.Rows != 60 || !report.Final {
				t.Fatalf("%d rows, %v", report.Rows, report.Problems)
			}
			if b.account.Used() != 0 {
				t.Fatalf("%d bytes are not given back", b.account.Used())
			}
		})
	}
}

// rowsOf is how many rows the newest checkpoint covers, by its ledger.
func rowsOf(b *bench) int64 {
	s := b.sink.ledger.State()
	n := s.Rows
	for _, f := range s.Last.Open {
		n += f.Rows
	}
	return n
}
