// Package spec reads specification files (YAML) into a tree whose every key and value knows its file, line and
// column, fills in variables, applies overrides from the command line, and collects errors so that one run reports all
// mistakes. It may import core (for the nearest-name search) and the YAML module; it knows no connector and no job.
//
// Invariants:
//
//  1. Every Error has a position, unless the file as a whole is at fault.
//  2. A variable is filled in inside one scalar, after the YAML was parsed: its value can never add keys or structure.
//  3. Node.At maps an offset within a value back to the place in the file, also behind variables, quotes and in blocks.
//  4. Input is bounded: MaxBytes, MaxDepth and MaxNodes (aliases count each time they are used).
package spec
