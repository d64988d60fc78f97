// Package server shows a running job to the outside: Prometheus metrics, and the control socket that `turbo status` and `turbo stop` talk to.
// It may import core/supervisor and what it imports.
package server
