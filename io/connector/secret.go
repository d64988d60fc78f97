package connector

import (
	"fmt"
	"log/slog"
	"os"
	"strings"
)

// SecretText is a password or key from the specification. Every way of printing it gives "***"; only Reveal gives the text.
type SecretText struct {
	text string
	file string
	set  bool
}

// NewSecret makes a secret from text.
func NewSecret(text string) SecretText { return SecretText{text: text, set: text != ""} }

// IsSet reports whether there is a secret.
func (s SecretText) IsSet() bool { return s.set }

// Reveal returns the secret. One in a file is read at each call, without the line end, so that a rotated secret is seen.
func (s SecretText) Reveal() (string, error) {
	if s.file == "" {
		return s.text, nil
	}
	data, err := os.ReadFile(s.file)
	if err != nil {
		return "", fmt.Errorf("read the secret: %w", err)
	}
	return strings.TrimRight(string(data), "\r\n"), nil
}

const masked = "***"

// String masks the secret.
func (s SecretText) String() string {
	if !s.set {
		return ""
	}
	return masked
}

// Format masks the secret under every verb of fmt, also %#v and %+v of a struct around it.
func (s SecretText) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte(s.String())) }

// GoString masks the secret.
func (s SecretText) GoString() string { return s.String() }

// MarshalJSON masks the secret.
func (s SecretText) MarshalJSON() ([]byte, error) { return []byte(`"` + s.String() + `"`), nil }

// MarshalText masks the secret.
func (s SecretText) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// MarshalYAML masks the secret.
func (s SecretText) MarshalYAML() (any, error) { return s.String(), nil }

// LogValue masks the secret in logs.
func (s SecretText) LogValue() slog.Value { return slog.StringValue(s.String()) }
