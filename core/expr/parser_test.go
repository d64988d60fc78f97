package expr

import (
	"errors"
	"testing"
)

func TestParse(t *testing.T) {
	for src, want := range map[string]string{
		"a + b * c - d":                       "(a + (b * c)) - d",
		"a || b + c":                          "(a || b) + c",
		"NOT a = b AND c OR d":                "((NOT (a = b)) AND c) OR d",
		"a = b IS NULL":                       "(a = b) IS NULL",
		"NOT a IS NULL":                       "NOT (a IS NULL)",
		"a BETWEEN 1 AND 2 AND b":             "(a BETWEEN 1 AND 2) AND b",
		"a not between symmetric 1 and b + 1": "a NOT BETWEEN SYMMETRIC 1 AND (b + 1)",
		"-a.b[1].c":                           "-a.b[1].c",
		"- 5":                                 "-5",
		"2 - -5":                              "2 - (-5)",
		"x in (1, 2) and y not in ('a')":      "(x IN (1, 2)) AND (y NOT IN ('a'))",
		"s LIKE 'x!%' ESCAPE '!' or b":        "(s LIKE 'x!%' ESCAPE '!') OR b",
		"case x when 1 then 'a' else 'b' end || s":         "CASE x WHEN 1 THEN 'a' ELSE 'b' END || s",
		"CAST(FLOOR((74.05 - ABS(lon)) / 0.0014) AS INT)":  "CAST(FLOOR((74.05 - ABS(lon)) / 0.0014) AS INT)",
		"cast(a as decimal(10, 2)) > 0":                    "CAST(a AS decimal(10, 2)) > 0",
		"TRY_CAST(a AS ROW<x INT, y ARRAY<STRING>>)":       "TRY_CAST(a AS ROW<x INT, y ARRAY<STRING>>)",
		"extract(day from ts)":                             "EXTRACT(DAY FROM ts)",
		"floor(ts to hour)":                                "FLOOR(ts TO HOUR)",
		"trim(s)":                                          "TRIM(BOTH ' ' FROM s)",
		"trim(leading 'x' from s)":                         "TRIM(LEADING 'x' FROM s)",
		"substring(s from 2 for 3)":                        "SUBSTRING(s, 2, 3)",
		"position('a' in s)":                               "POSITION('a' IN s)",
		"overlay(s placing 'x' from 1 for 2)":              "OVERLAY(s PLACING 'x' FROM 1 FOR 2)",
		"timestampadd(DAY, 1, ts)":                         "TIMESTAMPADD(DAY, 1, ts)",
		"json_value(j, '$.a' returning int null on empty)": "JSON_VALUE(j, '$.a' RETURNING int NULL ON EMPTY)",
		"json_value(j, '$.a' default 1 on error)":          "JSON_VALUE(j, '$.a' DEFAULT 1 ON ERROR)",
		"interval -'1-2' year to month":                    "INTERVAL -'1-2' YEAR TO MONTH",
		"ts + interval '10' seconds":                       "ts + INTERVAL '10' SECOND",
		"date '2024-01-01' < date":                         "DATE '2024-01-01' < date",
		"array[1, 2][1]":                                   "ARRAY[1, 2][1]",
		"map['a', 1]['a']":                                 "MAP['a', 1]['a']",
		"(1, 'a').f0":                                      "ROW(1, 'a').f0",
		"count(*) + sum(distinct x)":                       "COUNT(*) + SUM(DISTINCT x)",
		"`select` + `a``b` -- the end":                     "`select` + `a``b`",
		"/* x */ a /* y */":                                "a",
		"a is not distinct from b":                         "a IS NOT DISTINCT FROM b",
		"'it''s' || U&'\\00e9' || X'4a'":                   "('it''s' || 'é') || X'4A'",
		"left(s, 2) || right(s, ?)":                        "LEFT(s, 2) || RIGHT(s, ?)",
		"current_date > d":                                 "CURRENT_DATE > d",
		"a is unknown":                                     "a IS UNKNOWN",
	} {
		n, err := Parse(src)
		if err != nil {
			t.Errorf("%s: %v", src, err)
			continue
		}
		if n.String() != want {
			t.Errorf("%s\n got %s\nwant %s", src, n, want)
		}
		again, err := Parse(n.String())
		if err != nil || again.String() != n.String() {
			t.Errorf("%s: its text %s does not parse to itself: %v", src, n, err)
		}
	}
}

func TestSyntaxErrors(t *testing.T) {
	for src, want := range map[string]string{
		"":                       "line 1, column 1: expected an expression, found an empty text",
		"a +":                    "line 1, column 4: expected an expression, found the end of the text",
		"a == 1":                 "line 1, column 4: expected an expression, found \"=\"",
		"a b":                    "line 1, column 3: expected an operator or the end of the expression, found \"b\"",
		"(a + b":                 "line 1, column 7: expected \")\" for the bracket opened at column 1, found the end of the text",
		"a)":                     "line 1, column 2: expected an operator or the end of the expression, found \")\" (this bracket was not opened)",
		"a = 'x":                 "line 1, column 5: this string is not closed: expected '",
		"a = \"x\"":              "line 1, column 5: unexpected '\"': a string is written in single quotes, an identifier in backticks",
		"a\n  AND AND b":         "line 2, column 7: expected an expression, found the reserved word AND: write it in backticks to use it as a name",
		"CASE a THEN 1 END":      "line 1, column 8: expected WHEN, found \"THEN\"",
		"CASE WHEN a THEN 1":     "line 1, column 19: expected WHEN, ELSE or END of the CASE at column 1, found the end of the text",
		"CAST(a INT)":            "line 1, column 8: expected AS and a type, as in CAST(x AS INT), found \"INT\"",
		"a BETWEEN 1":            "line 1, column 12: expected AND and the upper bound of BETWEEN, found the end of the text",
		"a IS 5":                 "line 1, column 6: expected NULL, TRUE, FALSE, UNKNOWN or DISTINCT FROM after IS, found the number 5",
		"INTERVAL 5 DAY":         "line 1, column 10: the value of an INTERVAL stands in quotes: INTERVAL '5' DAY",
		"a /* x":                 "line 1, column 3: this comment is not closed: expected */",
		"1a":                     "line 1, column 1: a word must not begin with a digit: put \"1a\" in backticks or leave a space after the number",
		"f(a, )":                 "line 1, column 6: expected an expression, found \")\"",
		"EXTRACT(FOO FROM a)":    "line 1, column 9: expected a time unit such as YEAR, MONTH, DAY, HOUR, MINUTE or SECOND, found \"FOO\"",
		"a IN (SELECT 1)":        "line 1, column 7: a subquery is not allowed here",
		"éa + #":                 "line 1, column 6: unexpected character '#'",
		"MAP['a']":               "line 1, column 1: MAP[...] needs a value for every key: it has 1 elements",
		"a SIMILAR TO b":         "line 1, column 3: SIMILAR TO is not supported: use LIKE or REGEXP(text, regex)",
		"JSON_VALUE(a, '$' FOO)": "line 1, column 19: expected RETURNING, NULL, ERROR, DEFAULT or \")\" in the call of JSON_VALUE, found \"FOO\"",
	} {
		_, err := Parse(src)
		var s *SyntaxError
		if !errors.As(err, &s) {
			t.Errorf("%q: got %v, want a syntax error", src, err)
		} else if s.Error() != want {
			t.Errorf("%q\n got %s\nwant %s", src, s, want)
		}
	}
}

func FuzzParse(f *testing.F) {
	for _, s := range []string{"a + b * -1.5e3", "CASE WHEN a IS NULL THEN 'x' ELSE s END", "CAST(a AS ROW<x INT>)", "JSON_VALUE(j, '$.a' RETURNING INT NULL ON ERROR)",
		"INTERVAL '1' DAY", "a[1].b NOT IN (1, 2)", "TRIM(BOTH FROM s)", "U&'\\0041' LIKE X'41' ESCAPE '!'", "EXTRACT(DAY FROM `x y`)", "ROW(1, 2).f0", "f(DISTINCT a)"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, src string) {
		n, err := Parse(src)
		if err != nil {
			return
		}
		if n.Pos() < 0 || n.End() > len(src) || n.Pos() > n.End() {
			t.Fatalf("%q: span %d..%d", src, n.Pos(), n.End())
		}
		text := n.String()
		again, err := Parse(text)
		if err != nil {
			t.Fatalf("%q became %q: %v", src, text, err)
		}
		if again.String() != text {
			t.Fatalf("%q became %q became %q", src, text, again)
		}
	})
}
