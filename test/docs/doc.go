// Package docs checks the documentation: every YAML block is given to the parser, and every key of a job has an example in the reference.
package docs
