package catalogue

import (
	"fmt"
	"strconv"
	"strings"

	"raylink/raylink"
)

// Bytes of its memory's bandwidth that a random read is reckoned to cost a GPU at most, so that what such a device does at least is its bandwidth divided by
// these. A read of 8 bytes takes a sector of 32 at least, and mostly a row of its own: reads of 128 bytes from anywhere in gigabytes, which took the same
// rows, were what Ethash's miners did until 2022, 64 of them a hash. Their public lists, as remembered here and not looked up again, come to 0.8 to 0.95 of
// the bandwidth for HBM2, GDDR6 and GDDR6X (A100 170 MH/s, V100 90, RTX 3090 121, RTX 3060 49), 0.65 to 0.8 for the first GDDR6 (T4 25, RTX 2080 Ti 57) and
// 0.55 for GDDR5X (GTX 1080 Ti 32). So 128 is what is to be expected, and the rest is margin.
const (
	geforce = 256 // twice
	ecc     = 384 // three times: error correction stands beside the data, and some models come with several sorts of memory, of which this is the slowest
	old     = 512 // four times: Pascal's address translation and GDDR5X; AMD's, which nothing is known of
)

// bandwidths has a line for each GPU: name | GB in a second, by the maker's data sheet | bytes that a read is reckoned to cost. Of several forms of a model
// (PCIe and SXM) it is the slowest. No walk was ever timed on one of them.
const bandwidths = `
# NVIDIA, datacentre
P4 | 192 | 512
P40 | 346 | 512
P100 | 732 | 512
V100-16G | 900 | 384
V100-32G | 900 | 384
T4 | 300 | 384
A2 | 200 | 384
A10 | 600 | 384
A10G | 600 | 384
A16 | 200 | 384
A30 | 933 | 384
A40 | 696 | 384
A100-40G | 1555 | 384
A100-80G | 1935 | 384
A800 | 1935 | 384
L4 | 300 | 384
L40 | 864 | 384
L40S | 864 | 384
H100 | 2000 | 384
H100-94G | 3350 | 384
H800 | 2000 | 384
H20 | 4000 | 384
GH200 | 4000 | 384
H200 | 4800 | 384
B200 | 7700 | 384
B300 | 7700 | 384
GB200 | 7700 | 384
# NVIDIA, GeForce
RTX-2060 | 336 | 256
RTX-2060-SUPER | 448 | 256
RTX-2070 | 448 | 256
RTX-2070-SUPER | 448 | 256
RTX-2080 | 448 | 256
RTX-2080-SUPER | 496 | 256
RTX-2080-Ti | 616 | 256
RTX-3050 | 224 | 256
RTX-3060 | 360 | 256
RTX-3060-Ti | 448 | 256
RTX-3070 | 448 | 256
RTX-3070-Ti | 608 | 256
RTX-3080 | 760 | 256
RTX-3080-12G | 912 | 256
RTX-3080-Ti | 912 | 256
RTX-3090 | 936 | 256
RTX-3090-Ti | 1008 | 256
RTX-4060 | 272 | 256
RTX-4060-Ti | 288 | 256
RTX-4060-Ti-16G | 288 | 256
RTX-4070 | 480 | 256
RTX-4070-SUPER | 504 | 256
RTX-4070-Ti | 504 | 256
RTX-4070-Ti-SUPER | 672 | 256
RTX-4080 | 716 | 256
RTX-4080-SUPER | 736 | 256
RTX-4090 | 1008 | 256
RTX-4090-D | 1008 | 256
RTX-5060 | 448 | 256
RTX-5060-Ti | 448 | 256
RTX-5060-Ti-16G | 448 | 256
RTX-5070 | 672 | 256
RTX-5070-Ti | 896 | 256
RTX-5080 | 960 | 256
RTX-5090 | 1792 | 256
RTX-5090-D | 1792 | 256
GTX-1060 | 192 | 512
GTX-1070 | 256 | 512
GTX-1070-Ti | 256 | 512
GTX-1080 | 320 | 512
GTX-1080-Ti | 484 | 512
GTX-1650 | 128 | 256
GTX-1660 | 192 | 256
GTX-1660-SUPER | 336 | 256
GTX-1660-Ti | 288 | 256
# NVIDIA, laptops
RTX-3060-Laptop | 336 | 256
RTX-3070-Laptop | 384 | 256
RTX-3080-Laptop | 384 | 256
RTX-4060-Laptop | 256 | 256
RTX-4070-Laptop | 256 | 256
RTX-4080-Laptop | 432 | 256
RTX-4090-Laptop | 576 | 256
RTX-5070-Laptop | 384 | 256
RTX-5080-Laptop | 896 | 256
RTX-5090-Laptop | 896 | 256
# NVIDIA, workstations
Quadro-RTX-4000 | 416 | 384
Quadro-RTX-5000 | 448 | 384
Quadro-RTX-6000 | 624 | 384
Quadro-RTX-8000 | 624 | 384
RTX-A2000 | 288 | 384
RTX-A2000-12G | 288 | 384
RTX-A4000 | 448 | 384
RTX-A4500 | 640 | 384
RTX-A5000 | 768 | 384
RTX-A5500 | 768 | 384
RTX-A6000 | 768 | 384
RTX-4000-Ada | 280 | 384
RTX-4500-Ada | 432 | 384
RTX-5000-Ada | 576 | 384
RTX-6000-Ada | 960 | 384
RTX-PRO-6000 | 1597 | 384
RTX-PRO-5000 | 1344 | 384
RTX-PRO-4500 | 896 | 384
RTX-PRO-4000 | 432 | 384
# AMD
MI210 | 1638 | 512
MI250X | 1638 | 512
MI300X | 5300 | 512
MI325X | 6000 | 512
RX-6700-XT | 384 | 512
RX-6800-XT | 512 | 512
RX-6900-XT | 512 | 512
RX-7800-XT | 624 | 512
RX-7900-XT | 800 | 512
RX-7900-XTX | 960 | 512
RX-9070-XT | 640 | 512
W7900 | 864 | 512
`

// reads has what each GPU does at least, read once. Nothing writes to it.
var reads = mustReads(bandwidths)

// Reads is how many random reads of its memory such a device does at least, in millions in a second; 0 for a processor, whose memory has no faster stand-in,
// and where the catalogue knows no such model. Who claims a better model is asked for more.
func Reads(d raylink.Device) int64 {
	e, ok := Match(d)
	if !ok {
		return 0
	}
	return reads[e.Name]
}

func mustReads(table string) map[string]int64 {
	out := map[string]int64{}
	for line := range strings.Lines(table) {
		line = strings.TrimSpace(line)
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		f := strings.Split(line, " | ")
		if len(f) != 3 {
			panic(fmt.Sprintf("the bandwidths' line %q has %d columns, not 3", line, len(f))) // the table is ours, and tested
		}
		bandwidth, err := strconv.ParseInt(f[1], 10, 64)
		each, err2 := strconv.ParseInt(f[2], 10, 64)
		if err != nil || err2 != nil || each != geforce && each != ecc && each != old {
			panic(fmt.Sprintf("the bandwidths' line %q: %v, %v", line, err, err2))
		}
		out[f[0]] = bandwidth * 1000 / each
	}
	return out
}
