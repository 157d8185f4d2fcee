package coordinator

import (
	"raylink/coordinator/state"
	"raylink/raylink"
	"raylink/raylink/catalogue"
)

// band is between which rates a device of this claim must lie, in millions of int8 multiply-adds in a second; 0, 0 where the catalogue knows no such model.
func band(c state.Claim) (least, most int64) {
	least, most, _ = catalogue.Band(raylink.Device{Kind: c.Kind, Name: c.Name, Model: c.Model, Memory: c.Memory, Cores: c.Cores, Threads: c.Threads})
	return least, most
}
