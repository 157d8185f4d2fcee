package catalogue

import _ "embed"

// table is the data file, whose head says what its columns are.
//
//go:embed models.txt
var table string
