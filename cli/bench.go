package cli

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"turbo/bench"
	"turbo/core"
)

func newBench() *cobra.Command {
	var o bench.Options
	c := &cobra.Command{
		Use:   "bench [NAME]...",
		Short: "List the benchmarks, or run some",
		Long:  "Without a name it lists the benchmarks. Each runs turbo and a hand-written loop with the same answer in turn, checks both answers and prints the median ratio and its spread. \"all\" runs every one.",
		RunE: func(c *cobra.Command, args []string) error {
			all := bench.List()
			out := c.OutOrStdout()
			if len(args) == 0 {
				w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
				for _, b := range all {
					fmt.Fprintf(w, "%s\t%s\n", b.Name, b.Summary)
				}
				return w.Flush()
			}
			chosen, err := chooseBenchmarks(all, args)
			if err != nil {
				return misused(err)
			}
			ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
			defer stop()
			for _, b := range chosen {
				fmt.Fprintf(out, "%s: %s\n\n", b.Name, b.Summary)
				if err := b.Run(ctx, out, o); err != nil {
					if ctx.Err() != nil {
						return &codeError{exitSIGINT, fmt.Errorf("benchmark %s: interrupted", b.Name)}
					}
					return failed(fmt.Errorf("benchmark %s: %w", b.Name, err))
				}
				fmt.Fprintln(out)
			}
			return nil
		},
	}
	c.Flags().IntVar(&o.Pairs, "pairs", 0, "interleaved pairs of runs; 0: ten")
	c.Flags().BoolVar(&o.Quick, "quick", false, "fewer rows and pairs, to see that it works")
	c.Flags().StringVar(&o.Dir, "dir", "", "where files and plots go")
	return c
}

func chooseBenchmarks(all []bench.Benchmark, names []string) ([]bench.Benchmark, error) {
	if slices.Equal(names, []string{"all"}) {
		return all, nil
	}
	var known []string
	for _, b := range all {
		known = append(known, b.Name)
	}
	var chosen []bench.Benchmark
	for _, name := range names {
		i := slices.Index(known, name)
		if i < 0 {
			near := ""
			if n := core.Nearest(name, known); n != "" {
				near = fmt.Sprintf(", did you mean %s?", n)
			}
			return nil, fmt.Errorf("there is no benchmark %s%s; known: %s", name, near, strings.Join(known, ", "))
		}
		chosen = append(chosen, all[i])
	}
	return chosen, nil
}
