// Package arrivals runs examples/arrivals.yaml, the job spec of the project's contract, as it stands: by the turbo binary, against a real
// Apache Kafka, over the real rides when TURBO_DATA names their folder and over generated ones otherwise (it says which). The process is
// killed once on the way and stopped by SIGTERM when everything is read. Then `turbo verify --source` must hold, and test/visible must find
// exactly the rows that a computation of this test's own finds.
//
//	test/real.sh            starts a broker and runs this and the other suites
//	TURBO_KAFKA=HOST:PORT go test ./test/arrivals -v
//
// It consists of tests only. Imports: test/visible; turbo itself only as a binary.
package arrivals
