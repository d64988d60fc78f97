package taxi

import (
	"bufio"
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
	"strings"
	"testing"
	"time"
)

// ride is what the programs use of a row of the file.
type ride struct {
	end        bool
	at         time.Time
	lon, lat   float64 // where the event happened: of an END event columns 7 and 8
	located    bool    // it has both
	passengers int64
}

const stamp = "2006-01-02 15:04:05"

// input is the file of rides and its rows.
type input struct {
	file  string
	what  string
	rides []ride
	real  bool
}

// theInput finds the real rides, or makes some.
func theInput(t *testing.T) *input {
	t.Helper()
	if dir := os.Getenv("TURBO_DATA"); dir != "" {
		name, err := filepath.Abs(filepath.Join(dir, "nycTaxiRides.csv.gz"))
		if err != nil {
			t.Fatal(err)
		}
		rides, err := read(name)
		if err == nil {
			return &input{name, fmt.Sprintf("the %d REAL taxi events of %s", len(rides), filepath.Base(name)), rides, true}
		}
		if !errors.Is(err, fs.ErrNotExist) {
			t.Fatalf("%s: %v", name, err)
		}
	}
	name := filepath.Join(t.TempDir(), "rides.csv.gz")
	if err := generate(name, 5000); err != nil {
		t.Fatal(err)
	}
	rides, err := read(name)
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return &input{name, fmt.Sprintf("%d GENERATED taxi events, because TURBO_DATA names no folder with nycTaxiRides.csv.gz", len(rides)), rides, false}
}

func read(name string) (rides []ride, err error) {
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
	in.FieldsPerRecord = 11
	for {
		row, err := in.Read()
		if err == io.EOF {
			return rides, nil
		}
		if err != nil {
			return nil, err
		}
		r := ride{end: row[1] == "END", located: row[6] != "" && row[7] != ""}
		if r.at, err = time.Parse(stamp, row[2]); err != nil {
			return nil, err
		}
		if r.located {
			if r.lon, err = strconv.ParseFloat(row[6], 64); err != nil {
				return nil, err
			}
			if r.lat, err = strconv.ParseFloat(row[7], 64); err != nil {
				return nil, err
			}
		}
		if r.passengers, err = strconv.ParseInt(row[8], 10, 64); err != nil {
			return nil, err
		}
		rides = append(rides, r)
	}
}

// places are where rides of the generated file end for sure: on the edges of the city, just outside, nowhere; lon and lat.
var places = []string{
	"-74.05,40.9", "-74.0500001,40.9", "-73.7,40.7", "-73.7000001,40.7", "-73.9,40.5", "-73.9,40.5000001", "-73.9,41.0", "-73.9,41.0000001",
	"0,0", ",", "-73.98,", ",40.75", "73.98,40.75", "-73.9786,40.7525", "-73.98000,40.75000", "-74.0486,40.99875",
}

// generate writes n events over an hour and three quarters, in order, often several in one second and some at the very end of a window. A dozen
// places are so popular that they get their fifty passengers again and again.
func generate(name string, n int) (err error) {
	f, err := os.Create(name)
	if err != nil {
		return err
	}
	packed := gzip.NewWriter(f)
	out := bufio.NewWriter(packed)
	random := rand.New(rand.NewPCG(7, 13))
	begin := time.Date(2013, 1, 1, 0, 0, 0, 0, time.UTC)
	var popular [12]string
	for i := range popular {
		popular[i] = fmt.Sprintf("%.6f,%.6f", -74.01+random.Float64()*0.1, 40.7+random.Float64()*0.1)
	}
	for i := range n {
		at := begin.Add(time.Duration(i) * 6300 * time.Second / time.Duration(n)).Truncate(time.Second)
		if end := at.Truncate(10 * time.Minute).Add(10 * time.Minute); end.Sub(at) <= 3*time.Second { // every other window has its end met, and not the seconds before
			at = end
		}
		place := fmt.Sprintf("%.6f,%.6f", -74.05+random.Float64()*0.35, 40.5+random.Float64()*0.5)
		switch {
		case i%40 < 1:
			place = places[random.IntN(len(places))]
		case random.IntN(10) < 7:
			place = popular[min(random.IntN(len(popular)), random.IntN(len(popular)))]
		}
		passengers := 1 + max(0, random.IntN(9)-3)
		if i%3 == 0 {
			fmt.Fprintf(out, "%d,START,%s,1970-01-01 00:00:00,%s,-73.9,40.8,%d,7,7\n", n+i, at.Format(stamp), place, passengers)
		} else {
			fmt.Fprintf(out, "%d,END,%s,%s,-73.95,40.75,%s,%d,7,7\n", i, at.Format(stamp), at.Add(-time.Minute*20).Format(stamp), place, passengers)
		}
	}
	return errors.Join(out.Flush(), packed.Close(), f.Close())
}

// TestGenerated holds the generated rides to what the comparison needs: every place, rows on the ends of windows, order.
func TestGenerated(t *testing.T) {
	name := filepath.Join(t.TempDir(), "rides.csv.gz")
	if err := generate(name, 5000); err != nil {
		t.Fatal(err)
	}
	rides, err := read(name)
	if err != nil {
		t.Fatal(err)
	}
	met, ends := map[string]bool{}, 0
	for i, r := range rides {
		if i > 0 && r.at.Before(rides[i-1].at) {
			t.Fatalf("row %d goes back in time", i)
		}
		if r.at.Equal(r.at.Truncate(5 * time.Minute)) {
			ends++
		}
		for _, p := range places {
			lon, lat, _ := strings.Cut(p, ",")
			x, xerr := strconv.ParseFloat(lon, 64)
			y, yerr := strconv.ParseFloat(lat, 64)
			if r.end && r.located == (xerr == nil && yerr == nil) && (!r.located || r.lon == x && r.lat == y) {
				met[p] = true
			}
		}
	}
	if len(met) != len(places) || ends < 20 {
		t.Errorf("%d of %d places, %d rows on the ends of windows", len(met), len(places), ends)
	}
}
