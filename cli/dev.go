package cli

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"syscall"

	"github.com/spf13/cobra"

	"turbo/internal/devbroker"
)

func newDev() *cobra.Command {
	c := &cobra.Command{Use: "dev", Short: "Tools for development"}
	c.AddCommand(newDevKafka())
	return c
}

func newDevKafka() *cobra.Command {
	var config devbroker.Config
	var topics []string
	var logFormat, logLevel string
	c := &cobra.Command{
		Use:   "kafka",
		Short: "Run an embedded Kafka broker for development, until SIGINT or SIGTERM",
		Long: `Runs a Kafka broker in this process, on the loopback interface, for any Kafka client. It is for development and tests: one
process, one replica. Without --dir its records live in memory and are gone with it; with --dir they are in files and there again at the
next start, on the same port when that is free. The first line of the output is the bootstrap address.`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			for _, t := range topics {
				topic, err := parseTopic(t)
				if err != nil {
					return misused(err)
				}
				config.Topics = append(config.Topics, topic)
			}
			if config.Sync && config.Dir == "" {
				return misused(fmt.Errorf("--sync needs --dir: without it records are in memory only"))
			}
			log, err := newLog(c.ErrOrStderr(), logFormat, logLevel)
			if err != nil {
				return err
			}
			config.Log, config.AutoCreate = log, true
			ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
			defer stop()
			b, err := devbroker.Start(config)
			if err != nil {
				return failed(err)
			}
			defer b.Close()
			fmt.Fprintln(c.OutOrStdout(), b.Address())
			fmt.Fprintf(c.ErrOrStderr(), "embedded Kafka broker at %s, for development only; stop it with Ctrl-C\n", b.Address())
			<-ctx.Done()
			return nil
		},
	}
	c.Flags().IntVar(&config.Port, "port", 9092, "port to listen on at 127.0.0.1; 0 chooses a free one, or the one of last time with --dir")
	c.Flags().StringVar(&config.Dir, "dir", "", "keep topics, records and group offsets in this directory")
	c.Flags().StringArrayVar(&topics, "topic", nil, "NAME or NAME:PARTITIONS of a topic to have; may be repeated")
	c.Flags().IntVar(&config.Partitions, "partitions", 4, "partitions of a topic that does not say how many")
	c.Flags().BoolVar(&config.Sync, "sync", false, "make each batch durable before it is acknowledged (with --dir)")
	c.Flags().StringVar(&logFormat, "log-format", "text", "text or json")
	c.Flags().StringVar(&logLevel, "log-level", "warn", "debug, info, warn or error")
	return c
}

// parseTopic reads NAME or NAME:PARTITIONS.
func parseTopic(text string) (devbroker.Topic, error) {
	name, partitions, has := strings.Cut(text, ":")
	t := devbroker.Topic{Name: name}
	var err error
	if has {
		t.Partitions, err = strconv.Atoi(partitions)
	}
	if name == "" || err != nil || has && t.Partitions < 1 {
		return t, fmt.Errorf("--topic %s: expected NAME or NAME:PARTITIONS with at least one partition", text)
	}
	return t, nil
}
