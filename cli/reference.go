package cli

import (
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// newReference prints docs/reference/cli.md; go run ./internal/docgen uses it.
func newReference() *cobra.Command {
	return &cobra.Command{
		Use:    "reference",
		Short:  "Print the reference of the command line as Markdown",
		Args:   cobra.NoArgs,
		Hidden: true,
		RunE: func(c *cobra.Command, _ []string) error {
			_, err := io.WriteString(c.OutOrStdout(), reference())
			return err
		},
	}
}

// reference is the page of the command line.
func reference() string {
	var b strings.Builder
	b.WriteString("<!-- Written by go run ./internal/docgen: change the code's descriptions, not this page. -->\n\n# The command line\n\n")
	b.WriteString("Results go to standard output, messages and summaries to standard error.\n\n| exit code | |\n|---|---|\n")
	for _, x := range []struct {
		code int
		text string
	}{{exitDone, "done"}, {exitFailed, "it failed: the job, a check"}, {exitUsage, "usage, or a mistake in the spec"},
		{exitSIGINT, "`run` ended after SIGINT"}, {exitTerm, "`run` ended after SIGTERM"}} {
		fmt.Fprintf(&b, "| %d | %s |\n", x.code, x.text)
	}
	describeCommands(&b, newRoot())
	return b.String()
}

func describeCommands(b *strings.Builder, parent *cobra.Command) {
	for _, c := range parent.Commands() {
		if c.Hidden || c.Name() == "help" || c.Name() == "completion" {
			continue
		}
		if c.Runnable() && !group(c) {
			fmt.Fprintf(b, "\n## %s\n\n%s.\n\n    %s\n", c.CommandPath(), c.Short, c.UseLine())
			if long := strings.TrimSpace(c.Long); long != "" {
				fmt.Fprintf(b, "\n%s\n", long)
			}
			describeFlags(b, c.LocalFlags())
		}
		describeCommands(b, c)
	}
}

func describeFlags(b *strings.Builder, flags *pflag.FlagSet) {
	head := "\n| flag | |\n|---|---|\n"
	flags.VisitAll(func(f *pflag.Flag) {
		if f.Hidden || f.Name == "help" {
			return
		}
		b.WriteString(head)
		head = ""
		name := "--" + f.Name
		if f.Shorthand != "" {
			name = "-" + f.Shorthand + ", " + name
		}
		kind, usage := pflag.UnquoteUsage(f)
		if kind != "" {
			name += " " + strings.ToUpper(strings.TrimSuffix(strings.TrimSuffix(kind, "Array"), "s"))
		}
		switch f.DefValue {
		case "", "false", "[]", "0":
		default:
			usage += " (default " + f.DefValue + ")"
		}
		fmt.Fprintf(b, "| `%s` | %s |\n", name, strings.ReplaceAll(usage, "|", `\|`))
	})
}
