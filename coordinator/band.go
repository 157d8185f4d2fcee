package coordinator

import (
	"raylink/coordinator/state"
	"raylink/raylink/catalogue"
)

// band is between which rates a device of this claim must lie, in millions of int8 multiply-adds in a second; 0, 0 where the catalogue knows no such model.
func band(c state.Claim) (least, most int64) {
	least, most, _ = catalogue.Band(c.Device())
	return least, most
}

// reads is how many random reads of its memory a device of this claim does at least, in millions in a second; 0 for a processor, and where the catalogue
// knows no such model.
func reads(c state.Claim) int64 { return catalogue.Reads(c.Device()) }
