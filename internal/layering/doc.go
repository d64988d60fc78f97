// Package layering holds the test of the project's layering; see docs/design.md.
package layering
