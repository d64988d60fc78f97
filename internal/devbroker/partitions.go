package devbroker

import (
	"context"
	"crypto/tls"
	"errors"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
	"github.com/twmb/franz-go/pkg/sasl"
	"github.com/twmb/franz-go/pkg/sasl/plain"
	"github.com/twmb/franz-go/pkg/sasl/scram"
)

// addPartitions brings a topic to count partitions. kfake has no call for it, so the request takes the way of any client.
func (b *Broker) addPartitions(topic string, count int) error {
	opts, err := b.adminOptions()
	if err != nil {
		return err
	}
	client, err := kgo.NewClient(opts...)
	if err != nil {
		return err
	}
	defer client.Close()
	reqTopic := kmsg.NewCreatePartitionsRequestTopic()
	reqTopic.Topic, reqTopic.Count = topic, int32(count)
	req := kmsg.NewPtrCreatePartitionsRequest()
	req.TimeoutMillis = 60_000
	req.Topics = append(req.Topics, reqTopic)
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	resp, err := req.RequestWith(ctx, client)
	if err != nil {
		return err
	}
	for _, t := range resp.Topics {
		if err := kerr.ErrorForCode(t.ErrorCode); err != nil {
			return err
		}
	}
	return nil
}

// adminOptions are those of a client of this broker that may do everything.
func (b *Broker) adminOptions() ([]kgo.Opt, error) {
	opts := []kgo.Opt{kgo.SeedBrokers(b.address)}
	if b.config.TLS != nil {
		// The other end is this very process: there is nobody to verify.
		opts = append(opts, kgo.DialTLSConfig(&tls.Config{InsecureSkipVerify: true, Certificates: b.config.TLS.Certificates})) //nolint:gosec
	}
	if len(b.config.Users) == 0 {
		return opts, nil
	}
	for _, u := range b.config.Users {
		if !u.Super {
			continue
		}
		var mechanism sasl.Mechanism
		switch auth := (scram.Auth{User: u.Name, Pass: u.Password}); u.Mechanism {
		case "PLAIN":
			mechanism = plain.Auth{User: u.Name, Pass: u.Password}.AsMechanism()
		case "SCRAM-SHA-256":
			mechanism = auth.AsSha256Mechanism()
		default:
			mechanism = auth.AsSha512Mechanism()
		}
		return append(opts, kgo.SASL(mechanism)), nil
	}
	return nil, errors.New("no super user among the users of the broker")
}
