// Package flights runs a whole job over usFlights2001.parquet, which another writer has made, and compares counts and sums by origin with
// what parquet-go, a reader that turbo does not use, finds in it. It needs TURBO_DATA and consists of tests only.
//
// Imports: package run and what is below it; test/visible.
package flights
