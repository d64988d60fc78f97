package expr

// operatorDocs describes the operators and special forms for the reference.
func operatorDocs() []FunctionDoc {
	var docs []FunctionDoc
	add := func(category, name, sig, doc, examples string) {
		docs = append(docs, FunctionDoc{Name: name, Category: category, Signatures: []string{sig}, Doc: doc, Examples: parseExamples(examples)})
	}
	const arithmetic, comparison, logic, special = "Arithmetic", "Comparison", "Logic", "Special forms"
	add(arithmetic, "+", "a + b", "The sum. Integers keep the wider type and wrap around on overflow; DECIMAL grows by a digit and is NULL beyond 38; INT with FLOAT gives FLOAT, everything with DOUBLE gives DOUBLE. "+
		"A time plus an INTERVAL gives a time; a DATE stays one for a constant interval of whole days or months and else becomes a TIMESTAMP(3).", "1 + 2 => 3\n1.5 + 2 => 3.5\nDATE '2024-01-31' + INTERVAL '1' MONTH => DATE '2024-02-29'")
	add(arithmetic, "-", "a - b, -a", "The difference, or the number with its sign changed, with the types of +. A time minus a time is an INTERVAL DAY TO SECOND.",
		"5 - 7 => -2\nTIMESTAMP '2024-03-01 00:00:00' - TIMESTAMP '2024-02-29 12:00:00' => INTERVAL '+0 12:00:00.000' DAY TO SECOND")
	add(arithmetic, "*", "a * b", "The product, with the types of +; DECIMAL(p1, s1) by DECIMAL(p2, s2) gives DECIMAL(p1 + p2 + 1, s1 + s2). An INTERVAL times a number is one.", "6 * 7 => 42\n1.5 * 2.25 => 3.375\nINTERVAL '2' DAY * 3 => INTERVAL '+6 00:00:00.000' DAY TO SECOND")
	add(arithmetic, "/", "a / b", "The quotient. Integers are cut toward zero. Dividing an integer or a DECIMAL by zero is an error, a FLOAT or DOUBLE by zero is infinite or NaN.", "7 / 2 => 3\n1.0 / 3 => 0.333333333333\n7 / 2e0 => 3.5")
	add(arithmetic, "%", "a % b", "The remainder, with the sign of a and the type of b. By zero it is an error for integers and DECIMAL.", "-7 % 3 => -1")
	for _, c := range [...][3]string{{"=", "equal to", "1 = 1.0 => TRUE"}, {"<>", "not equal to", "'a' <> 'b' => TRUE"}, {"<", "less than", "DATE '2024-01-01' < '2024-01-02' => TRUE"}, {"<=", "at most", "2 <= 2 => TRUE"}, {">", "greater than", "1 > NULL => NULL"}, {">=", "at least", "'b' >= 'a' => TRUE"}} {
		doc := "Whether a is " + c[1] + " b; NULL when one is NULL. Strings compare byte by byte, FALSE is less than TRUE. A string constant is read as DATE, TIME or TIMESTAMP where it is compared with one."
		if c[0] == "<>" {
			doc += " Also !=."
		}
		add(comparison, c[0], "a "+c[0]+" b", doc, c[2])
	}
	add(comparison, "IS NULL", "a IS [NOT] NULL", "Whether a is NULL. Never NULL itself.", "NULL IS NULL => TRUE\n5 IS NOT NULL => TRUE")
	add(comparison, "IS DISTINCT FROM", "a IS [NOT] DISTINCT FROM b", "Whether a and b differ, where NULL equals NULL and nothing else. Never NULL itself.", "NULL IS DISTINCT FROM 1 => TRUE\nNULL IS NOT DISTINCT FROM NULL => TRUE")
	add(comparison, "BETWEEN", "a [NOT] BETWEEN [SYMMETRIC] low AND high", "a >= low AND a <= high; SYMMETRIC: the bounds may stand in either order.", "2 BETWEEN 1 AND 3 => TRUE\n2 BETWEEN SYMMETRIC 3 AND 1 => TRUE")
	add(comparison, "IN", "a [NOT] IN (value, ...)", "Whether a equals one of the values; NULL when none equals and one of them, or a, is NULL.", "2 IN (1, 2) => TRUE\n3 IN (1, NULL) => NULL\n3 NOT IN (1, 2) => TRUE")
	add(comparison, "LIKE", "a [NOT] LIKE pattern [ESCAPE 'c']", "Whether the whole text matches the pattern: % stands for any characters, _ for one, and c takes the meaning from the one behind it.", "'turbo' LIKE 't%b_' => TRUE\n'100%' LIKE '100!%' ESCAPE '!' => TRUE")
	add(logic, "AND", "a AND b", "FALSE when one side is, else NULL when one side is, else TRUE. b is evaluated only for rows where a is not FALSE.", "TRUE AND NULL => NULL\nFALSE AND 1 / 0 = 1 => FALSE")
	add(logic, "OR", "a OR b", "TRUE when one side is, else NULL when one side is, else FALSE. b is evaluated only for rows where a is not TRUE.", "FALSE OR NULL => NULL\nTRUE OR 1 / 0 = 1 => TRUE")
	add(logic, "NOT", "NOT a", "The opposite; NULL stays NULL.", "NOT TRUE => FALSE")
	add(logic, "IS TRUE", "a IS [NOT] {TRUE | FALSE | UNKNOWN}", "Whether a is that; UNKNOWN is NULL. Never NULL itself.", "(1 = NULL) IS UNKNOWN => TRUE\n(1 = NULL) IS NOT TRUE => TRUE")
	add(special, "||", "a || b", "The two texts, or BYTES, one after the other; NULL when one is.", "'tur' || 'bo' => 'turbo'")
	add(special, "CASE", "CASE WHEN condition THEN value ... [ELSE value] END, CASE a WHEN b THEN value ... [ELSE value] END", "The value of the first branch whose condition is true, or whose b equals a; NULL when none is and there is no ELSE. A branch is evaluated only for the rows that take it.",
		"CASE WHEN 1 > 2 THEN 'a' ELSE 'b' END => 'b'\nCASE 5 WHEN 5 THEN 'five' END => 'five'")
	add(special, "CAST", "CAST(a AS type)", "a as another type. Numbers narrow as in Java: integers wrap around, DOUBLE to integer cuts the fraction and saturates; DECIMAL that does not fit is NULL. A text that is no value of the type is an error. BOOLEAN becomes 'TRUE' or 'FALSE'.",
		"CAST('12' AS INT) => 12\nCAST(2.7 AS INT) => 2\nCAST(1.0E10 AS STRING) => '1.0E10'")
	add(special, "TRY_CAST", "TRY_CAST(a AS type)", "As CAST, but NULL where that is an error.", "TRY_CAST('twelve' AS INT) => NULL")
	add(special, "ARRAY", "ARRAY[a, ...], array[i]", "An array of the values, and the element i of an array, counted from 1: NULL beyond its end, an error below 1.", "ARRAY[10, 20][2] => 20\nARRAY[10, 20][3] => NULL")
	add(special, "MAP", "MAP[key, value, ...], map[key]", "A map of the entries, and the value of a key: NULL when there is none.", "MAP['a', 1, 'b', 2]['b'] => 2")
	add(special, "ROW", "ROW(a, ...), (a, b, ...), row.field", "A row of the values, whose fields are called f0, f1, ..., and the field of a row.", "ROW(1, 'x').f1 => 'x'")
	add(special, "INTERVAL", "INTERVAL 'n' unit [TO unit]", "A span of time: of YEAR and MONTH, or of WEEK, DAY, HOUR, MINUTE and SECOND.", "INTERVAL '1 12' DAY TO HOUR => INTERVAL '+1 12:00:00.000' DAY TO SECOND\nINTERVAL '1-6' YEAR TO MONTH => INTERVAL '+1-06' YEAR TO MONTH")
	return docs
}
