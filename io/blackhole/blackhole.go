// Package blackhole is the sink connector "blackhole": it counts rows and drops them, on the worker. For benchmarks and for trying out
// a job. It may import core, io/connector and what they import.
package blackhole

import (
	"context"

	"turbo/core"
	"turbo/io/connector"
)

func init() {
	connector.RegisterSink(connector.SinkSpec{
		Name:        "blackhole",
		Summary:     "Counts rows and drops them.",
		Description: "Takes every row, changelogs too, and writes nothing. The job's summary and metrics show how many there were.",
		Guarantee:   "nothing is written",
		Changelog:   true,
		New:         func(*connector.SinkContext) (core.Sink, error) { return sink{}, nil },
	})
}

type sink struct{}

func (sink) Open(context.Context, *core.RestoredSink) error          { return nil }
func (sink) Writer(int) (core.SinkWriter, error)                     { return writer{}, nil }
func (sink) Commit(context.Context, core.CommitInfo, [][]byte) error { return nil }
func (sink) Close() error                                            { return nil }

type writer struct{}

func (writer) Write(b *core.Batch) error                          { b.Release(); return nil }
func (writer) Full() bool                                         { return false }
func (writer) SetWaker(func())                                    {}
func (writer) Prepare(_ uint64, _ bool, done func([]byte, error)) { done(nil, nil) }
func (writer) Close() error                                       { return nil }
