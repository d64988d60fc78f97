package devbroker

import (
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"

	"github.com/twmb/franz-go/pkg/kfake"
)

// Topic names a topic to have.
type Topic struct {
	Name       string
	Partitions int               // 0: Config.Partitions
	Settings   map[string]string // Kafka's topic settings, such as cleanup.policy or retention.bytes; used when the topic is made
}

// User may log in by SASL. A super user may do everything; another one only what Allow gives.
type User struct {
	Mechanism string // PLAIN, SCRAM-SHA-256 or SCRAM-SHA-512
	Name      string
	Password  string
	Super     bool
	Allow     []kfake.ACL
}

// Config says what broker to start. The zero value is a broker in memory on a free port without topics.
type Config struct {
	// Dir keeps topics, records and group offsets in files; "" keeps them in memory. It is made if it is missing.
	Dir string
	// Port to listen on at 127.0.0.1; 0 chooses a free one, or with Dir the one of last time.
	Port int
	// Topics that are made unless they exist.
	Topics []Topic
	// Partitions of a topic that does not say how many; 0 means 4.
	Partitions int
	// AutoCreate makes a topic when a client asks for a missing one and allows it to be made.
	AutoCreate bool
	// Sync makes each batch durable (fsync) before the producer is answered; only with Dir.
	Sync bool
	// TLS, when set, makes the listener speak TLS only.
	TLS *tls.Config
	// Users, when not empty, turns on SASL, and ACLs when one of them is no super user.
	Users []User
	// Settings of the broker in Kafka's names, such as message.max.bytes.
	Settings map[string]string
	// Log gets the broker's warnings and errors; nil discards them.
	Log *slog.Logger
}

// Broker is a running embedded broker. Its methods may be called by any goroutine.
type Broker struct {
	config  Config
	cluster *kfake.Cluster
	address string
	lock    *os.File
	once    sync.Once
}

// Start starts a broker and returns when it accepts connections. The caller closes it.
func Start(config Config) (*Broker, error) {
	b := &Broker{config: config}
	if config.Partitions <= 0 {
		config.Partitions = 4
	}
	ports := []int{config.Port}
	if config.Dir != "" {
		if err := os.MkdirAll(config.Dir, 0o755); err != nil {
			return nil, fmt.Errorf("devbroker: %w", err)
		}
		lock, err := lockFile(filepath.Join(config.Dir, "LOCK"))
		if err != nil {
			return nil, fmt.Errorf("devbroker: directory %s is in use by another broker (%w); stop that one or use another directory", config.Dir, err)
		}
		b.lock = lock
		if last := lastPort(config.Dir); config.Port == 0 && last != 0 {
			ports = []int{last, 0}
		}
	}
	var err error
	for _, port := range ports {
		b.cluster, err = kfake.NewCluster(options(config, port)...)
		if err == nil || !isAddressError(err) {
			break
		}
	}
	if err != nil {
		b.unlock()
		if isAddressError(err) {
			return nil, fmt.Errorf("devbroker: cannot listen on 127.0.0.1:%d: %w; choose another port or 0 for a free one", config.Port, err)
		}
		return nil, fmt.Errorf("devbroker: %w", err)
	}
	b.address = b.cluster.ListenAddrs()[0]
	if err := b.prepare(config); err != nil {
		b.Close()
		return nil, err
	}
	return b, nil
}

// prepare makes the topics and remembers the address.
func (b *Broker) prepare(config Config) error {
	for _, t := range config.Topics {
		if t.Partitions <= 0 {
			t.Partitions = config.Partitions
		}
		if err := b.EnsureTopic(t); err != nil {
			return err
		}
	}
	if config.Dir == "" {
		return nil
	}
	path := filepath.Join(config.Dir, addressFile)
	if err := os.WriteFile(path+".new", []byte(b.address+"\n"), 0o644); err != nil {
		return fmt.Errorf("devbroker: %w", err)
	}
	if err := os.Rename(path+".new", path); err != nil {
		return fmt.Errorf("devbroker: %w", err)
	}
	return nil
}

const addressFile = "address"

// lastPort returns the port that a broker on dir had last, or 0.
func lastPort(dir string) int {
	content, err := os.ReadFile(filepath.Join(dir, addressFile))
	if err != nil {
		return 0
	}
	_, port, err := net.SplitHostPort(strings.TrimSpace(string(content)))
	if err != nil {
		return 0
	}
	n, err := strconv.Atoi(port)
	if err != nil || n < 1 || n > 65535 {
		return 0
	}
	return n
}

func isAddressError(err error) bool {
	var op *net.OpError
	return errors.As(err, &op) && op.Op == "listen"
}

func options(config Config, port int) []kfake.Opt {
	opts := []kfake.Opt{
		kfake.NumBrokers(1),
		kfake.Ports(port),
		kfake.ClusterID("turbo-dev"),
		kfake.DefaultNumPartitions(config.Partitions),
	}
	if config.Dir != "" {
		opts = append(opts, kfake.DataDir(filepath.Join(config.Dir, "log")))
		if config.Sync {
			opts = append(opts, kfake.SyncWrites())
		}
	}
	if config.AutoCreate {
		opts = append(opts, kfake.AllowAutoTopicCreation())
	}
	if config.TLS != nil {
		opts = append(opts, kfake.TLS(config.TLS))
	}
	if len(config.Settings) > 0 {
		opts = append(opts, kfake.BrokerConfigs(config.Settings))
	}
	if config.Log != nil {
		opts = append(opts, kfake.WithLogger(logger{config.Log}))
	}
	if len(config.Users) > 0 {
		opts = append(opts, kfake.EnableSASL())
	}
	acls := false
	for _, u := range config.Users {
		if u.Super {
			opts = append(opts, kfake.Superuser(u.Mechanism, u.Name, u.Password))
			continue
		}
		acls = true
		opts = append(opts, kfake.User(u.Mechanism, u.Name, u.Password, u.Allow...))
	}
	if acls {
		opts = append(opts, kfake.EnableACLs())
	}
	return opts
}

// Address returns the bootstrap address, HOST:PORT.
func (b *Broker) Address() string { return b.address }

// Cluster returns the broker's insides, for tests that inject faults, compact or delete records.
func (b *Broker) Cluster() *kfake.Cluster { return b.cluster }

// EnsureTopic makes a topic, or adds partitions to it. Fewer partitions than there are is an error.
func (b *Broker) EnsureTopic(t Topic) error {
	have := len(b.cluster.PartitionInfos(t.Name))
	switch {
	case have == 0:
		if err := b.cluster.CreateTopic(t.Name, int32(t.Partitions), t.Settings); err != nil {
			return fmt.Errorf("devbroker: topic %q: %w", t.Name, err)
		}
	case t.Partitions > have:
		if err := b.addPartitions(t.Name, t.Partitions); err != nil {
			return fmt.Errorf("devbroker: topic %q: adding partitions: %w", t.Name, err)
		}
	case t.Partitions > 0 && t.Partitions < have:
		return fmt.Errorf("devbroker: topic %q has %d partitions already and %d were asked for: partitions cannot be taken away; delete the topic or ask for %d",
			t.Name, have, t.Partitions, have)
	}
	return nil
}

// Close stops the broker; with a directory everything is in its files afterwards. A second call does nothing.
func (b *Broker) Close() {
	b.once.Do(func() {
		b.cluster.Close()
		b.unlock()
	})
}

func (b *Broker) unlock() {
	if b.lock != nil {
		b.lock.Close() // gives the lock back
		b.lock = nil
	}
}

// logger passes kfake's warnings and errors on.
type logger struct{ log *slog.Logger }

func (l logger) Logf(level kfake.LogLevel, format string, args ...any) {
	switch level {
	case kfake.LogLevelError:
		l.log.Error(fmt.Sprintf(format, args...), "component", "devbroker")
	case kfake.LogLevelWarn:
		l.log.Warn(fmt.Sprintf(format, args...), "component", "devbroker")
	}
}
