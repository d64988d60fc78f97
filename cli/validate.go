package cli

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"turbo/run"
)

func newValidate() *cobra.Command {
	var f jobFlags
	var offline bool
	var timeout time.Duration
	c := &cobra.Command{
		Use:   "validate JOB.yaml",
		Short: "Check a job spec, and that its sources and sinks can be reached",
		Long: `Prints every mistake in a job spec with its line and column. Then it connects to every source and sink and checks topics, permissions and
directories, unless --offline is given. Nothing is read or written but a probe file in output directories, which is removed.

Exit codes: 0 the job can run, 1 a source or sink cannot be reached, 2 usage or a mistake in the spec.`,
		Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			j, err := f.load(c, args[0])
			if err != nil {
				return err
			}
			ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
			defer stop()
			ctx, cancel := context.WithTimeout(ctx, timeout)
			defer cancel()
			checks, err := run.Validate(ctx, j, !offline)
			if err != nil {
				return specError(c.ErrOrStderr(), args[0], err)
			}
			bad := 0
			for _, k := range checks {
				if k.Err != nil {
					bad++
					fmt.Fprintf(c.ErrOrStderr(), "%s: %s\n", k.Node, strings.TrimPrefix(k.Err.Error(), k.Node+": "))
				} else if k.Tried {
					fmt.Fprintf(c.OutOrStdout(), "%s: ok\n", k.Node)
				} else {
					fmt.Fprintf(c.OutOrStdout(), "%s: nothing outside of turbo to check\n", k.Node)
				}
			}
			switch {
			case bad > 0:
				return failed(fmt.Errorf("%d of %d sources and sinks cannot be used as they are", bad, len(checks)))
			case offline:
				fmt.Fprintf(c.OutOrStdout(), "%s: the spec is valid; sources and sinks were not asked (--offline)\n", args[0])
			default:
				fmt.Fprintf(c.OutOrStdout(), "%s: the spec is valid, and all sources and sinks can be reached\n", args[0])
			}
			return nil
		},
	}
	f.add(c)
	c.Flags().BoolVar(&offline, "offline", false, "check the spec only")
	c.Flags().DurationVar(&timeout, "timeout", 15*time.Second, "how long sources and sinks may take to answer")
	return c
}
