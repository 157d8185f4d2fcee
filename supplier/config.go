// Package supplier is the agent: it acts for the owner of one machine. It fetches what the machine is to run, makes it so, keeps it so,
// and says what it sees. DESIGN.md beside it tells how.
package supplier

import (
	"fmt"
	"math"
	"net/netip"
	"os"
	"strconv"
	"strings"

	"raylink/billing/money"
	"raylink/raylink"
	"raylink/raylink/ray"
	"raylink/supplier/device"
)

// Config is everything that can be set about an agent.
type Config struct {
	Join       string   `flag:"join" help:"URL of any coordinator of the network to join; needed once"`
	TokenFile  string   `flag:"join-token-file" help:"file with the join token; needed once"`
	Token      string   `flag:"token" env:"RAYLINK_JOIN_TOKEN" help:"the join token itself, where a file cannot be given; single use"`
	Name       string   `flag:"name" help:"what people call this machine; by default its host name"`
	Data       string   `flag:"data" default:"/var/lib/raylink/supplier" help:"directory of the identity, the leases and the minutes not yet settled; a container must see it under the host's own path"`
	CPUs       Cores    `flag:"cpus" help:"cores to rent out, such as 4 or 0.5; by default all"`
	Memory     Bytes    `flag:"memory" help:"memory to rent out, such as 16Gi; by default nine tenths of what there is"`
	GPUs       string   `flag:"gpus" default:"all" help:"GPUs to rent out: all, none, or how many; those of one model that the catalogue knows"`
	Labels     []string `flag:"label" help:"key=value that clusters may select this machine by; names that begin with raylink.io/ are the agent's, and so is what Ray says of a machine's kind (ray.io/accelerator-type)"`
	CPUHour    Price    `flag:"price-cpu-hour" default:"0.02" help:"asking price of one core for an hour, in USD"`
	GPUHour    Price    `flag:"price-gpu-hour" help:"asking price of one GPU for an hour, in USD; by default what the catalogue says of its model"`
	Runtime    string   `flag:"runtime" default:"docker" help:"docker; process, for machines without Docker; or scripted, which only pretends to run anything, for trying out coordinators"`
	DataPlanes string   `flag:"data-planes" default:"auto" help:"process: beside the agent; container: where the agent is a container itself; auto finds out"`
	ImageKey   string   `flag:"image-key" help:"file with public keys in PEM, such as cosign.pub: only images that they signed count as signed; by default the network's own keys"`
	SignedOnly bool     `flag:"require-signed-images" help:"run only images that are signed and ordered by their digest"`
	Emulate    string   `flag:"emulate-arch" help:"offer this architecture instead of the machine's own; for tests, where the kernel runs foreign binaries through an emulator"`
	NoEgress   bool     `flag:"no-egress" help:"let no lease reach the Internet; its tenant is told so"`
	Egress     Bytes    `flag:"egress-bytes" default:"100Gi" help:"what one lease may send to and receive from the Internet together, such as 20Gi; a tenant may ask for less"`
	LeaseDisk  Bytes    `flag:"lease-disk" default:"64Gi" help:"what one lease may hold of the disk, such as 200Gi; a tenant may ask for less. One that holds more is ended"`
	DiskFloor  Bytes    `flag:"disk-floor" default:"5Gi" help:"what leases leave free of the disk of --data: below it the one that holds most is ended"`
	Address    string   `flag:"address" help:"IP address under which other machines reach this one; by default the one it speaks to the coordinators from"`
}

// The values of Config.Runtime and Config.DataPlanes.
const (
	RuntimeDocker   = "docker"
	RuntimeProcess  = raylink.RuntimeProcess
	RuntimeScripted = "scripted"

	PlanesAuto      = "auto"
	PlanesProcess   = "process"
	PlanesContainer = "container"
)

// Cores is a number of cores in 1/10,000. Its text is decimal: "2", "0.5".
type Cores int64

// UnmarshalText reads a positive decimal number with at most four decimals.
func (c *Cores) UnmarshalText(text []byte) error {
	whole, fraction, _ := strings.Cut(string(text), ".")
	digits := whole + (fraction + "0000")[:4]
	n, err := strconv.ParseUint(digits, 10, 40)
	if err != nil || len(fraction) > 4 || whole == "" || n == 0 {
		return fmt.Errorf("%q is no number of cores, such as 4 or 0.5", text)
	}
	*c = Cores(n)
	return nil
}

// MarshalText is the inverse.
func (c Cores) MarshalText() ([]byte, error) {
	text := fmt.Sprintf("%d.%04d", int64(c)/raylink.Unit, int64(c)%raylink.Unit)
	return []byte(strings.TrimSuffix(strings.TrimRight(text, "0"), ".")), nil
}

// Bytes is a size in bytes. Its text is a whole number with Ki, Mi, Gi, Ti or nothing behind it.
type Bytes int64

// UnmarshalText reads "16Gi", "512Mi" or a number of bytes.
func (b *Bytes) UnmarshalText(text []byte) error {
	number, shift := string(text), 0
	for i, unit := range []string{"Ki", "Mi", "Gi", "Ti"} {
		if rest, ok := strings.CutSuffix(strings.TrimSuffix(number, "B"), unit); ok {
			number, shift = rest, 10*(i+1)
			break
		}
	}
	n, err := strconv.ParseInt(strings.TrimSpace(number), 10, 64)
	if err != nil || n <= 0 || n > math.MaxInt64>>shift {
		return fmt.Errorf("%q is no size, such as 16Gi or 512Mi", text)
	}
	*b = Bytes(n << shift)
	return nil
}

// MarshalText writes the size in its largest whole unit.
func (b Bytes) MarshalText() ([]byte, error) {
	n, unit := int64(b), ""
	for _, u := range []string{"Ki", "Mi", "Gi", "Ti"} {
		if n == 0 || n%1024 != 0 {
			break
		}
		n, unit = n/1024, u
	}
	return []byte(strconv.FormatInt(n, 10) + unit), nil
}

// Price is a price of an hour. Its text is a number of US dollars, with or without the unit: "0.02", "0.02 USD/h".
type Price money.Rate

// UnmarshalText reads a price.
func (p *Price) UnmarshalText(text []byte) error {
	rate, err := money.ParseRate(strings.TrimSuffix(strings.TrimSpace(string(text)), " USD/h") + " USD/h")
	*p = Price(rate)
	return err
}

// MarshalText writes it with its unit.
func (p Price) MarshalText() ([]byte, error) { return money.Rate(p).MarshalText() }

func (c *Config) check() error {
	if err := c.checkSettings(); err != nil {
		return err
	}
	return c.checkUser(os.Geteuid())
}

// checkUser refuses a user who cannot do what the agent does.
func (c *Config) checkUser(uid int) error {
	if c.Runtime != RuntimeScripted && uid != 0 {
		return raylink.Errorf(raylink.CodeForbidden, "the agent needs root: it puts network interfaces into the containers of its leases").
			WithHint("run it with sudo, or as the container that README.md shows")
	}
	return nil
}

// checkSettings looks at the settings alone, whoever runs this.
func (c *Config) checkSettings() error {
	if c.Data == "" || !strings.HasPrefix(c.Data, "/") || strings.ContainsAny(c.Data, ":\n") {
		return invalid("--data %q is no absolute path without a colon", c.Data)
	}
	if c.Runtime != RuntimeDocker && c.Runtime != RuntimeProcess && c.Runtime != RuntimeScripted {
		return invalid("--runtime %q is not known", c.Runtime).WithHint("%s, %s and %s are", RuntimeDocker, RuntimeProcess, RuntimeScripted)
	}
	if _, err := c.gpus(); err != nil {
		return err
	}
	if c.DataPlanes != PlanesAuto && c.DataPlanes != PlanesProcess && c.DataPlanes != PlanesContainer {
		return invalid("--data-planes %q is not known", c.DataPlanes).WithHint("%s, %s and %s are", PlanesAuto, PlanesProcess, PlanesContainer)
	}
	if c.Emulate != "" && c.Emulate != "amd64" && c.Emulate != "arm64" {
		return invalid("--emulate-arch %q is not known", c.Emulate).WithHint("amd64 and arm64 are")
	}
	if c.Address != "" {
		if _, err := netip.ParseAddr(c.Address); err != nil {
			return invalid("--address %q is no IP address", c.Address)
		}
	}
	if c.Name == "" {
		name, err := os.Hostname()
		if err != nil {
			return fmt.Errorf("finding the host's name: %w", err)
		}
		c.Name = name
	}
	return nil
}

func invalid(format string, args ...any) *raylink.Error {
	return raylink.Errorf(raylink.CodeInvalid, format, args...)
}

// offer is what the machine is willing to rent out.
func (c *Config) offer(has device.Machine) (raylink.Offer, error) {
	offer := raylink.Offer{
		Resources: raylink.Resources{CPU: int64(c.CPUs), Memory: int64(c.Memory)}, Arch: has.Arch,
		CPUHour: money.Rate(c.CPUHour), GPUHour: money.Rate(c.GPUHour),
	}
	if offer.Resources.CPU == 0 {
		offer.Resources.CPU = int64(has.Cores) * raylink.Unit
	}
	if offer.Resources.Memory == 0 {
		offer.Resources.Memory = has.Memory / 10 * 9
	}
	if c.Emulate != "" && c.Emulate != has.Arch {
		offer.Arch = c.Emulate
		offer.Labels = map[string]string{raylink.LabelEmulated: "true"}
	}
	for _, label := range c.Labels {
		key, value, ok := strings.Cut(label, "=")
		if !ray.OwnersLabel(key) {
			return offer, invalid("--label %s is not the owner's to give", key).WithHint("the agent finds out itself; `raylink supplier --dry-run` shows what it would offer")
		}
		if !ok || key == "" {
			return offer, invalid("--label %q is not key=value", label)
		}
		if offer.Labels == nil {
			offer.Labels = map[string]string{}
		}
		offer.Labels[key] = value
	}
	return offer, nil
}
