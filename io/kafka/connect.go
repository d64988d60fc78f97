package kafka

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/sasl"
	"github.com/twmb/franz-go/pkg/sasl/plain"
	"github.com/twmb/franz-go/pkg/sasl/scram"

	"turbo/core"
	"turbo/io/connector"
)

// Metrics counts what a connector's clients did since it was opened. All fields only grow.
type Metrics struct {
	ConnectErrors atomic.Int64 // connections that could not be made
	Disconnects   atomic.Int64 // connections that ended
	RequestErrors atomic.Int64 // requests that failed on the wire and were tried again
	BytesRead     atomic.Int64 // from brokers, as on the wire
	BytesWritten  atomic.Int64 // to brokers, as on the wire
	away          outages
}

// Down reports whether some broker that a client needs cannot be reached.
func (m *Metrics) Down() bool { return m.away.longest() != nil }

// report renders the figures for core.MetricsReporter.
func (m *Metrics) report() []core.Metric {
	count := func(name, help string, n *atomic.Int64) core.Metric {
		return core.Metric{Name: name, Help: help, Counter: true, Value: float64(n.Load())}
	}
	down := core.Metric{Name: "kafka_down", Help: "1 while a broker that a client needs cannot be reached."}
	if m.Down() {
		down.Value = 1
	}
	return []core.Metric{
		count("kafka_connect_errors_total", "Connections to brokers that could not be made.", &m.ConnectErrors),
		count("kafka_disconnects_total", "Connections to brokers that ended.", &m.Disconnects),
		count("kafka_request_errors_total", "Requests to brokers that failed on the wire and were tried again.", &m.RequestErrors),
		count("kafka_read_bytes_total", "Bytes from brokers, as on the wire.", &m.BytesRead),
		count("kafka_written_bytes_total", "Bytes to brokers, as on the wire.", &m.BytesWritten),
		down,
	}
}

// OnBrokerConnect implements kgo.HookBrokerConnect.
func (m *Metrics) OnBrokerConnect(broker kgo.BrokerMetadata, _ time.Duration, _ net.Conn, err error) {
	if err == nil {
		m.away.answered(broker)
		return
	}
	m.away.failed(broker, err)
	m.ConnectErrors.Add(1)
}

// OnBrokerDisconnect implements kgo.HookBrokerDisconnect.
func (m *Metrics) OnBrokerDisconnect(kgo.BrokerMetadata, net.Conn) { m.Disconnects.Add(1) }

// OnBrokerRead implements kgo.HookBrokerRead.
func (m *Metrics) OnBrokerRead(broker kgo.BrokerMetadata, _ int16, n int, _, _ time.Duration, err error) {
	m.BytesRead.Add(int64(n))
	if err != nil {
		m.RequestErrors.Add(1)
		return
	}
	m.away.answered(broker)
}

// OnBrokerWrite implements kgo.HookBrokerWrite.
func (m *Metrics) OnBrokerWrite(_ kgo.BrokerMetadata, _ int16, n int, _, _ time.Duration, err error) {
	m.BytesWritten.Add(int64(n))
	if err != nil {
		m.RequestErrors.Add(1)
	}
}

// connection is how to reach a cluster: what the configuration says, for messages and for clients.
type connection struct {
	brokers   []string
	mechanism string // "" without SASL
	user      string
	encrypted bool
	tls       *connector.Config // when encrypted: read with each client, as certificates change
	options   []kgo.Opt
	metrics   *Metrics
}

// newConnection reads the keys of connectionFields. It does no I/O.
func newConnection(config *connector.Config, log *slog.Logger) (*connection, error) {
	c := &connection{brokers: config.Strings("brokers"), metrics: &Metrics{}}
	for i, b := range c.brokers {
		if _, _, err := net.SplitHostPort(b); err != nil {
			if strings.Contains(b, "://") {
				return nil, config.Errorf("brokers", "%q: a broker is HOST:PORT without a scheme; TLS is switched on by the key \"tls\"", b)
			}
			c.brokers[i] = net.JoinHostPort(b, "9092")
		}
	}
	if len(c.brokers) == 0 {
		return nil, config.Errorf("brokers", "no broker is given")
	}
	c.options = []kgo.Opt{
		kgo.SeedBrokers(c.brokers...),
		kgo.ClientID(config.String("client-id")),
		kgo.SoftwareNameAndVersion("turbo", "1"),
		kgo.WithHooks(c.metrics),
		kgo.RetryBackoffFn(backoff),
		kgo.MetadataMinAge(250 * time.Millisecond),
		kgo.DisableClientMetrics(),
	}
	if log != nil {
		c.options = append(c.options, kgo.WithLogger(&clientLog{log: log}))
	}
	if block := config.Object("tls"); config.Has("tls") && !block.Off() && block.Bool("enabled") {
		if (block.String("cert") == "") != (block.String("key") == "") {
			return nil, block.Errorf("", "a client certificate needs both \"cert\" and \"key\"")
		}
		c.encrypted, c.tls = true, block
	}
	if config.Has("sasl") {
		mechanism, err := c.sasl(config.Object("sasl"))
		if err != nil {
			return nil, err
		}
		c.options = append(c.options, kgo.SASL(mechanism))
	}
	return c, nil
}

// backoff is the pause before try n+1 of a request: 100 ms doubling to 2 s.
func backoff(tries int) time.Duration {
	return min(100*time.Millisecond<<min(max(tries-1, 0), 5), 2*time.Second)
}

func tlsConfig(block *connector.Config) (*tls.Config, error) {
	t := &tls.Config{
		MinVersion:         tls.VersionTLS12,
		ServerName:         block.String("server-name"),
		InsecureSkipVerify: block.Bool("insecure"), //nolint:gosec // the user's explicit choice
	}
	if ca := block.String("ca"); ca != "" {
		pem, err := os.ReadFile(ca)
		if err != nil {
			return nil, block.Errorf("ca", "%v", err)
		}
		t.RootCAs = x509.NewCertPool()
		if !t.RootCAs.AppendCertsFromPEM(pem) {
			return nil, block.Errorf("ca", "%s has no certificate in PEM form", ca)
		}
	}
	if cert := block.String("cert"); cert != "" {
		pair, err := tls.LoadX509KeyPair(cert, block.String("key"))
		if err != nil {
			return nil, block.Errorf("cert", "%v", err)
		}
		t.Certificates = []tls.Certificate{pair}
	}
	return t, nil
}

// sasl returns the mechanism; the password is revealed at each login, so that one in a file may be rotated.
func (c *connection) sasl(block *connector.Config) (sasl.Mechanism, error) {
	c.mechanism, c.user = block.String("mechanism"), block.String("username")
	password := block.Secret("password")
	if c.user == "" || !password.IsSet() {
		return nil, block.Errorf("", "SASL needs \"username\" and \"password\"")
	}
	user := c.user
	scramAuth := func(context.Context) (scram.Auth, error) {
		text, err := password.Reveal()
		return scram.Auth{User: user, Pass: text}, err
	}
	switch c.mechanism {
	case "PLAIN":
		return plain.Plain(func(context.Context) (plain.Auth, error) {
			text, err := password.Reveal()
			return plain.Auth{User: user, Pass: text}, err
		}), nil
	case "SCRAM-SHA-256":
		return scram.Sha256(scramAuth), nil
	default:
		return scram.Sha512(scramAuth), nil
	}
}

// client makes a client. It reads certificate files, and does no network I/O yet.
func (c *connection) client(more ...kgo.Opt) (*kgo.Client, error) {
	options := append(append([]kgo.Opt{}, c.options...), more...)
	if c.encrypted {
		t, err := tlsConfig(c.tls)
		if err != nil {
			return nil, err
		}
		options = append(options, kgo.DialTLSConfig(t))
	}
	client, err := kgo.NewClient(options...)
	if err != nil {
		return nil, fmt.Errorf("kafka: %w", err)
	}
	return client, nil
}

// How long turbo waits for brokers where no key of the spec says it. Variables, for tests on busy machines.
var (
	validation = 10 * time.Second // for all that a validation asks; its connections get a third of it
	answer     = 30 * time.Second // for the first answer when an audit or a replay begins
	lastCommit = 3 * time.Second  // for the offsets that are still to be committed to the group when a source is closed
)

// reach waits until a broker answers, trying again with a pause until the bound has passed; 0: it tries once, for as long as ctx lasts. A refusal
// that another try cannot change (login, TLS) ends it at once.
func (c *connection) reach(ctx context.Context, client *kgo.Client, bound time.Duration, log *slog.Logger) error {
	if bound > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, max(bound, time.Second))
		defer cancel()
	}
	var last error
	closed := 0
	for try := 1; ; try++ {
		err := client.Ping(ctx)
		if err == nil {
			return nil
		}
		if ctx.Err() == nil || last == nil {
			last = err
		}
		if final := c.refused(err); final != nil {
			return final
		}
		if c.mechanism != "" && errors.Is(err, io.EOF) {
			if closed++; closed == 3 || bound == 0 {
				return c.refusedLogin(err)
			}
		}
		if bound == 0 || ctx.Err() != nil {
			break
		}
		if try == 1 || try%10 == 0 {
			log.Warn("no Kafka broker answers, trying again", "brokers", strings.Join(c.brokers, ","), "tries", try, "error", err)
		}
		select {
		case <-ctx.Done():
		case <-time.After(backoff(try)):
		}
	}
	if context.Cause(ctx) == context.Canceled {
		return ctx.Err()
	}
	within := ""
	if bound > 0 {
		within = fmt.Sprintf(" within %v", bound)
	}
	return fmt.Errorf("none of the brokers %s answers%s: %w; check that the broker runs and that the key \"brokers\" has its address",
		strings.Join(c.brokers, ", "), within, last)
}

// clientLog passes the client's warnings on; its errors are warnings too, as whatever is fatal comes back as an error. A broker that is away
// makes one every other second: the same of the same broker is passed on twice a minute, with how often it came.
type clientLog struct {
	log *slog.Logger

	mu   sync.Mutex
	seen map[string]*repeated
}

type repeated struct {
	next  time.Time // when it is passed on again
	times int       // since it was
}

const repeatAfter = 30 * time.Second

// Level implements kgo.Logger.
func (*clientLog) Level() kgo.LogLevel { return kgo.LogLevelWarn }

// Log implements kgo.Logger.
func (l *clientLog) Log(level kgo.LogLevel, message string, keyvals ...any) {
	at := slog.LevelDebug
	if level <= kgo.LogLevelWarn {
		var times int
		if at, times = l.level(message, keyvals, time.Now()); times > 1 {
			keyvals = append(keyvals[:len(keyvals):len(keyvals)], "times", times)
		}
	}
	l.log.Log(context.Background(), at, "kafka client: "+message, keyvals...)
}

// level decides whether a warning is passed on, and how often it has come since the last one that was.
func (l *clientLog) level(message string, keyvals []any, now time.Time) (at slog.Level, times int) {
	key := message
	for i := 0; i+1 < len(keyvals); i += 2 {
		if name := keyvals[i]; name == "addr" || name == "broker" {
			key += fmt.Sprintf(" %v", keyvals[i+1])
		}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	r := l.seen[key]
	if r == nil {
		if l.seen == nil || len(l.seen) > 1000 {
			l.seen = map[string]*repeated{}
		}
		r = &repeated{}
		l.seen[key] = r
	}
	r.times++
	if now.Before(r.next) {
		return slog.LevelDebug, 0
	}
	times, r.times, r.next = r.times, 0, now.Add(repeatAfter)
	return slog.LevelWarn, times
}
