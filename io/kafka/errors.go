package kafka

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"turbo/core"
)

// refused returns an error in words when err is one that trying again cannot change, else nil.
func (c *connection) refused(err error) error {
	if err == nil {
		return nil
	}
	var (
		unknownCA x509.UnknownAuthorityError
		hostname  x509.HostnameError
		invalid   x509.CertificateInvalidError
		record    tls.RecordHeaderError
		verify    *tls.CertificateVerificationError
	)
	switch {
	case errors.Is(err, kerr.SaslAuthenticationFailed), errors.Is(err, kerr.IllegalSaslState):
		return fmt.Errorf("the broker refuses the login of user %q by %s: %w; check \"username\", \"password\" and \"mechanism\" in \"sasl\"", c.user, c.mechanism, err)
	case errors.Is(err, kerr.UnsupportedSaslMechanism):
		return fmt.Errorf("the broker does not offer the SASL mechanism %s: %w; choose another \"mechanism\" in \"sasl\"", c.mechanism, err)
	case errors.As(err, &unknownCA):
		return fmt.Errorf("the broker's certificate is signed by an unknown authority: %w; give its certificate as \"ca\" in \"tls\"", err)
	case errors.As(err, &hostname):
		return fmt.Errorf("the broker's certificate is for another host: %w; use that name in \"brokers\", or give it as \"server-name\" in \"tls\"", err)
	case errors.As(err, &invalid), errors.As(err, &verify):
		return fmt.Errorf("the broker's certificate is not valid: %w", err)
	case errors.As(err, &record):
		return fmt.Errorf("the broker does not speak TLS on this port: %w; use its TLS port, or leave \"tls\" out", err)
	case !c.encrypted && strings.Contains(err.Error(), "tls alert record"):
		return fmt.Errorf("the broker speaks TLS on this port, and the connection is without (%w): it probably wants TLS (\"tls\")", err)
	case strings.Contains(err.Error(), "remote error: tls:"): // the type of an alert is not exported
		return fmt.Errorf("the broker refuses the TLS connection: %w; it may ask for a client certificate (\"cert\" and \"key\" in \"tls\")", err)
	}
	var eof *kgo.ErrFirstReadEOF
	if errors.As(err, &eof) {
		switch {
		case !c.encrypted && c.mechanism == "":
			return fmt.Errorf("the broker closes the connection at the first request: %w; it probably wants TLS (\"tls\") or a login (\"sasl\") on this port", err)
		case !c.encrypted:
			return fmt.Errorf("the broker closes the connection at the first request: %w; it probably wants TLS (\"tls\") on this port", err)
		case c.mechanism == "":
			return fmt.Errorf("the broker closes the connection at the first request: %w; it probably wants a login (\"sasl\") on this port", err)
		}
	}
	return nil
}

// refusedLogin is the error for a broker that ends the connection during the login in place of an answer, as some do.
func (c *connection) refusedLogin(err error) error {
	return fmt.Errorf("the broker closes the connection at the login of user %q by %s: %w; check "+
		"\"username\", \"password\" and \"mechanism\" in \"sasl\"", c.user, c.mechanism, err)
}

// explain puts an error of a request about a topic ("" for none) into words.
func (c *connection) explain(err error, topic string) error {
	about := ""
	if topic != "" {
		about = fmt.Sprintf("topic %q: ", topic)
	}
	who := "this client"
	if c.user != "" {
		who = fmt.Sprintf("user %q", c.user)
	}
	if final := c.refused(err); final != nil {
		return fmt.Errorf("%s%w", about, final)
	}
	switch {
	case errors.Is(err, kerr.TopicAuthorizationFailed):
		return fmt.Errorf("%saccess is refused to %s: %w; an ACL must allow Read and Describe for a source, Write and Describe for a sink", about, who, err)
	case errors.Is(err, kerr.GroupAuthorizationFailed):
		return fmt.Errorf("access to the consumer group is refused to %s: %w; an ACL must allow Read on the group, or leave \"group\" out", who, err)
	case errors.Is(err, kerr.ClusterAuthorizationFailed), errors.Is(err, kerr.TransactionalIDAuthorizationFailed):
		return fmt.Errorf("%saccess is refused to %s: %w", about, who, err)
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, io.EOF):
		return fmt.Errorf("%sthe brokers %s do not answer: %w", about, strings.Join(c.brokers, ", "), err)
	}
	if about == "" {
		return err
	}
	return fmt.Errorf("%s%w", about, err)
}

// missingTopic is the error for a topic that the cluster does not have; names are those that it has.
func missingTopic(topic string, names []string) error {
	near := ""
	switch n := core.Nearest(topic, names); {
	case n != "":
		near = fmt.Sprintf("; did you mean %q?", n)
	case len(names) == 0:
		near = "; it has none, or lets this client see none"
	case len(names) <= 8:
		near = "; it has " + strings.Join(names, ", ")
	}
	return fmt.Errorf("topic %q does not exist on this cluster%s", topic, near)
}

// partitionError is an error at one place of the log.
func partitionError(topic string, partition int32, offset int64, err error) error {
	return fmt.Errorf("topic %s, partition %d, offset %d: %w", topic, partition, offset, err)
}
