package cli

import (
	"fmt"
	"io"
	"log/slog"
	"os"
	"runtime"
	"runtime/debug"
	"strings"

	"github.com/spf13/cobra"

	"turbo/internal/spec"
	"turbo/job"
	"turbo/run"
)

func newRoot() *cobra.Command {
	root := &cobra.Command{
		Use:           "turbo",
		Short:         "Runs stream and batch jobs on one machine, exactly once",
		SilenceUsage:  true,
		SilenceErrors: true,
	}
	root.CompletionOptions.HiddenDefaultCmd = true
	root.Version = versionText()
	root.SetVersionTemplate("{{.Version}}\n")
	root.AddCommand(newRun(), newExplain(), newSchema(), newVersion(), newConnectors(), newVerify(), newDemo())
	root.AddCommand(newValidate(), newStatus(), newWhy(), newStop(), newDev(), newBench(), newDLQ(), newReference())
	for _, c := range root.Commands() {
		if c.HasSubCommands() && !c.Runnable() { // cobra takes a wrong subcommand for a wish for help, and ends with 0
			c.Args, c.Annotations = cobra.NoArgs, map[string]string{groupMark: ""}
			c.RunE = func(c *cobra.Command, _ []string) error { return c.Help() }
		}
	}
	return root
}

const groupMark = "group"

// group reports whether a command only has others below it, and does nothing itself.
func group(c *cobra.Command) bool {
	_, is := c.Annotations[groupMark]
	return is
}

// jobFlags are the flags of every command that reads a job spec.
type jobFlags struct {
	parallelism int
	defines     []string
	set         []string
}

func (f *jobFlags) add(c *cobra.Command) {
	c.Flags().IntVarP(&f.parallelism, "parallelism", "p", 0, "number of workers; beats engine.parallelism")
	c.Flags().StringArrayVarP(&f.defines, "define", "D", nil, "NAME=VALUE fills ${NAME} in the spec; beats the environment")
	c.Flags().StringArrayVar(&f.set, "set", nil, "KEY=VALUE overrides a key of the spec, such as engine.buffer-timeout=1ms")
}

// load reads a job spec. Mistakes in it are printed one a line; the error then says how many there were.
func (f *jobFlags) load(c *cobra.Command, path string) (*job.Job, error) {
	o := job.Options{Set: f.set, Parallelism: f.parallelism, Defines: map[string]string{}}
	for _, d := range f.defines {
		name, value, ok := strings.Cut(d, "=")
		if !ok || name == "" {
			return nil, misused(fmt.Errorf("-D %s: expected NAME=VALUE", d))
		}
		o.Defines[name] = value
	}
	if c.Flags().Changed("parallelism") && f.parallelism < 1 {
		return nil, misused(fmt.Errorf("-p %d: expected at least one worker", f.parallelism))
	}
	j, err := job.Load(path, o)
	if err != nil {
		return nil, specError(c.ErrOrStderr(), path, err)
	}
	for _, w := range j.Warnings {
		fmt.Fprintf(c.ErrOrStderr(), "warning: %v\n", w)
	}
	return j, nil
}

// specError prints the mistakes of a spec and returns the error that ends the command.
func specError(w io.Writer, path string, err error) error {
	var list spec.Errors
	if !asErrors(err, &list) {
		return misused(err)
	}
	for _, e := range list {
		fmt.Fprintln(w, e)
	}
	if len(list) == 1 {
		return misused(fmt.Errorf("%s has a mistake", path))
	}
	return misused(fmt.Errorf("%s has %d mistakes", path, len(list)))
}

// newLog returns the logger of --log-format and --log-level, on w.
func newLog(w io.Writer, format, level string) (*slog.Logger, error) {
	var l slog.Level
	if err := l.UnmarshalText([]byte(level)); err != nil {
		return nil, misused(fmt.Errorf("--log-level %s: expected debug, info, warn or error", level))
	}
	o := &slog.HandlerOptions{Level: l}
	switch format {
	case "text":
		return slog.New(slog.NewTextHandler(w, o)), nil
	case "json":
		return slog.New(slog.NewJSONHandler(w, o)), nil
	}
	return nil, misused(fmt.Errorf("--log-format %s: expected text or json", format))
}

func newExplain() *cobra.Command {
	var f jobFlags
	c := &cobra.Command{
		Use:   "explain JOB.yaml",
		Short: "Show the plan of a job: operators, exchanges, row kinds, guarantees",
		Long: `Shows what a job would do: its operators and exchanges, and what its sinks get. When the job has state, it also says what has changed in the
spec since the state was written, and whether the state still fits.`,
		Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			j, err := f.load(c, args[0])
			if err != nil {
				return err
			}
			_, err = io.WriteString(c.OutOrStdout(), j.Plan.Explain()+stateText(j))
			return err
		},
	}
	f.add(c)
	return c
}

// stateText says how the job differs from the state that it would go on from; "" when there is none, or no difference.
func stateText(j *job.Job) string {
	checkpoint, changes, err := run.Changes(j)
	var b strings.Builder
	switch {
	case err != nil:
		fmt.Fprintf(&b, "\n%v\n", err)
	case len(changes) > 0:
		fmt.Fprintf(&b, "\nthe job has changed since its state (checkpoint %d) was written, and keeps the state\n", checkpoint)
		for _, change := range changes {
			fmt.Fprintf(&b, "  %s\n", change)
		}
	}
	return b.String()
}

func newSchema() *cobra.Command {
	return &cobra.Command{
		Use:   "schema",
		Short: "Print the JSON Schema of job specs, for editors",
		Args:  cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			s, err := job.Schema()
			if err != nil {
				return failed(err)
			}
			_, err = fmt.Fprintf(c.OutOrStdout(), "%s\n", s)
			return err
		},
	}
}

// version is set by -ldflags at a release.
var version = "dev"

// versionText is what "turbo version" prints.
func versionText() string {
	v := version
	if info, ok := debug.ReadBuildInfo(); ok && v == "dev" {
		for _, s := range info.Settings {
			if s.Key == "vcs.revision" {
				v += " " + s.Value[:min(12, len(s.Value))]
			}
		}
	}
	return fmt.Sprintf("turbo %s, %s, %s/%s", v, runtime.Version(), runtime.GOOS, runtime.GOARCH)
}

func newVersion() *cobra.Command {
	return &cobra.Command{
		Use:   "version",
		Short: "Print the version",
		Args:  cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			_, err := fmt.Fprintln(c.OutOrStdout(), versionText())
			return err
		},
	}
}

// terminal reports whether f is one.
func terminal(f *os.File) bool { return isTerminal(int(f.Fd())) }
