package cli

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"time"

	"turbo/run"
	"turbo/server"
)

// serveMetrics serves --metrics; without an address it does nothing.
func serveMetrics(address string, p *run.Process, line *statusLine) (stop func(), err error) {
	if address == "" {
		return func() {}, nil
	}
	l, err := net.Listen("tcp", address)
	if err != nil {
		return nil, fmt.Errorf("--metrics %s: %w", address, err)
	}
	mux := http.NewServeMux()
	mux.Handle("/metrics", server.Metrics(p.Supervisor, p.Memory))
	s := &http.Server{Handler: mux, ReadHeaderTimeout: 5 * time.Second}
	go func() {
		if err := s.Serve(l); !errors.Is(err, http.ErrServerClosed) {
			line.Note("metrics: " + err.Error())
		}
	}()
	line.Note("metrics at http://" + l.Addr().String() + "/metrics")
	return func() { _ = s.Close() }, nil
}
