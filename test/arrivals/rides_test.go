package arrivals

import (
	"compress/gzip"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"
)

// ride is an event as it goes to the broker: the columns of the job spec.
type ride struct {
	id         int64
	event      string
	ts         time.Time
	lon, lat   string
	passengers int
}

func (r ride) csv() string {
	return fmt.Sprintf("%d,%s,%s,%s,%s,%d", r.id, r.event, r.ts.Format("2006-01-02 15:04:05.000"), r.lon, r.lat, r.passengers)
}

// rides are the real ones, or generated ones when there are none. what says which.
func rides(t *testing.T) (all []ride, what string) {
	t.Helper()
	if dir := os.Getenv("TURBO_DATA"); dir != "" {
		name := filepath.Join(dir, "nycTaxiRides.csv.gz")
		all, err := realRides(name)
		if err == nil {
			return all, fmt.Sprintf("the %d real taxi events of %s", len(all), filepath.Base(name))
		}
		if !errors.Is(err, fs.ErrNotExist) {
			t.Fatalf("%s: %v", name, err)
		}
	}
	random := rand.New(rand.NewPCG(11, 12))
	at := time.Date(2013, 1, 1, 23, 0, 0, 0, time.UTC)
	for i := range 50_000 {
		at = at.Add(time.Duration(random.IntN(150)) * time.Millisecond)
		all = append(all, ride{int64(i / 2), []string{"START", "END"}[i%2], at, strconv.FormatFloat(-74.05+random.Float64()*0.35, 'f', 6, 64),
			strconv.FormatFloat(40.5+random.Float64()*0.4, 'f', 6, 64), random.IntN(6)})
	}
	return all, fmt.Sprintf("%d GENERATED taxi events, because TURBO_DATA names no folder with nycTaxiRides.csv.gz", len(all))
}

// realRides maps the columns: the position of a START event is that of the start, of an END event that of the end.
func realRides(name string) (all []ride, err error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	unpacked, err := gzip.NewReader(f)
	if err != nil {
		return nil, err
	}
	in := csv.NewReader(unpacked)
	for {
		row, err := in.Read()
		if err == io.EOF {
			return all, nil
		}
		if err != nil {
			return nil, err
		}
		var r ride
		if r.id, err = strconv.ParseInt(row[0], 10, 64); err != nil {
			return nil, err
		}
		if r.ts, err = time.Parse("2006-01-02 15:04:05", row[2]); err != nil {
			return nil, err
		}
		if r.passengers, err = strconv.Atoi(row[8]); err != nil {
			return nil, err
		}
		r.event, r.lon, r.lat = row[1], row[4], row[5]
		if r.event == "END" {
			r.lon, r.lat = row[6], row[7]
		}
		all = append(all, r)
	}
}
