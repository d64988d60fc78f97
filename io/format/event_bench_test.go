package format

import (
	"fmt"
	"testing"

	"turbo/core"
)

// eventRecord appends the i-th record of the benchmark "kafka-files": 200 bytes of JSON with seven fields.
func eventRecord(dst []byte, i int64) []byte {
	n := len(dst)
	x := uint64(i) * 0x9E3779B97F4A7C15
	dst = fmt.Appendf(dst, `{"id": %d, "user": "user-%06d", "ts": %d, "lon": -73.%06d, "lat": 40.%06d, "passengers": %d, "note": "`,
		i, x>>44, 1_700_000_000_000+i*37, x>>20%1_000_000, x>>40%1_000_000, i%6)
	const words = "the quick brown fox jumps over the lazy dog and the five boxing wizards jump quickly past the sphinx of black quartz"
	at := int(x >> 59)
	fill := 198 - (len(dst) - n)
	return append(append(dst, words[at:at+fill]...), `"}`...)
}

func eventFields() []core.Field {
	return []core.Field{field("id", "BIGINT NOT NULL"), field("user", "STRING"), field("ts", "BIGINT"), field("lon", "DOUBLE"), field("lat", "DOUBLE"),
		field("passengers", "INT"), field("note", "STRING")}
}

// BenchmarkEventDecode decodes the records of "kafka-files"; one iteration is a record.
func BenchmarkEventDecode(b *testing.B) {
	records := make([][]byte, 1<<14)
	for i := range records {
		records[i] = eventRecord(nil, 4*int64(i)+1_000_000)
	}
	h := newHarness(b, "json", nil, eventFields()...)
	d, builder := h.decoder(), h.builder()
	b.SetBytes(200)
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		if err := d.Decode(records[i%len(records)], builder); err != nil {
			b.Fatal(err)
		}
		if i%4096 == 4095 {
			builder.Finish().Release()
		}
	}
	builder.Close()
}

// BenchmarkEventWrite writes the events of "kafka-files" to Parquet, all columns and each alone; one iteration is a row.
func BenchmarkEventWrite(b *testing.B) {
	all := eventFields()
	for _, compression := range []string{"zstd", "none"} {
		for c := -1; c < len(all); c++ {
			name, fields := "all", all
			if c >= 0 {
				name, fields = all[c].Name, all[c:c+1]
			}
			b.Run(compression+"/"+name, func(b *testing.B) {
				decode := newHarness(b, "json", nil, fields...)
				d, builder := decode.decoder(), decode.builder()
				var batches []*core.Batch
				var record []byte
				for i := range int64(40 * 2048) {
					record = eventRecord(record[:0], 4*i+1_000_000)
					if err := d.Decode(record, builder); err != nil {
						b.Fatal(err)
					}
					if i%2048 == 2047 {
						batches = append(batches, builder.Finish())
					}
				}
				builder.Close()
				benchmarkBatches(b, newHarness(b, "parquet", map[string]string{"compression": compression}, fields...), batches)
			})
		}
	}
}
