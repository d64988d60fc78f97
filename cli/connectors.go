package cli

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"turbo/core"
	"turbo/io/connector"
)

func newConnectors() *cobra.Command {
	return &cobra.Command{
		Use:   "connectors [NAME]",
		Short: "List connectors and formats, or show the options of one",
		Args:  cobra.MaximumNArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			w := c.OutOrStdout()
			if len(args) == 0 {
				return listConnectors(w)
			}
			return showConnector(w, args[0])
		},
	}
}

func listConnectors(out io.Writer) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	for _, n := range connector.SourceNames() {
		fmt.Fprintf(w, "source\t%s\t%s\n", n, connector.LookupSource(n).Summary)
	}
	for _, n := range connector.SinkNames() {
		fmt.Fprintf(w, "sink\t%s\t%s\n", n, connector.LookupSink(n).Summary)
	}
	for _, n := range connector.FormatNames() {
		fmt.Fprintf(w, "format\t%s\t%s\n", n, connector.LookupFormat(n).Summary)
	}
	return w.Flush()
}

func showConnector(w io.Writer, name string) error {
	source, sink, format := connector.LookupSource(name), connector.LookupSink(name), connector.LookupFormat(name)
	if source == nil && sink == nil && format == nil {
		all := append(append(connector.SourceNames(), connector.SinkNames()...), connector.FormatNames()...)
		near := ""
		if n := core.Nearest(name, all); n != "" {
			near = fmt.Sprintf(", did you mean %s?", n)
		}
		return misused(fmt.Errorf("there is no connector or format %s%s", name, near))
	}
	if source != nil {
		head(w, "source", name, source.Summary, source.Description, source.Guarantee)
		fields(w, "  ", source.Fields)
		for _, m := range source.Metadata {
			fmt.Fprintf(w, "  metadata %s (%s): %s\n", m.Key, m.Type, m.Doc)
		}
	}
	if sink != nil {
		head(w, "sink", name, sink.Summary, sink.Description, sink.Guarantee)
		fields(w, "  ", sink.Fields)
	}
	if format != nil {
		head(w, "format", name, format.Summary, format.Description, "")
		fields(w, "  ", format.Fields)
	}
	return nil
}

func head(w io.Writer, kind, name, summary, description, guarantee string) {
	fmt.Fprintf(w, "%s %s: %s\n\n%s\n", kind, name, summary, strings.TrimSpace(description))
	if guarantee != "" {
		fmt.Fprintf(w, "\nAfter a failure: %s.\n", strings.TrimSuffix(guarantee, "."))
	}
	fmt.Fprintln(w)
}

func fields(w io.Writer, indent string, all []connector.Field) {
	for _, f := range all {
		notes := []string{f.Type.String()}
		switch {
		case f.Required:
			notes = append(notes, "required")
		case f.Default != "":
			notes = append(notes, "default "+f.Default)
		}
		if len(f.Enum) > 0 {
			notes = append(notes, strings.Join(f.Enum, " | "))
		}
		fmt.Fprintf(w, "%s%s (%s): %s\n", indent, f.Name, strings.Join(notes, ", "), f.Doc)
		fields(w, indent+"  ", f.Fields)
	}
}
