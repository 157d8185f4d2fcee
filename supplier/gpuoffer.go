package supplier

import (
	"log/slog"
	"strconv"

	"raylink/billing/money"
	"raylink/raylink"
	"raylink/raylink/catalogue"
)

// The words of Config.GPUs beside a number.
const (
	gpusAll  = "all"
	gpusNone = "none"
)

// gpus is how many GPUs are rented out at most: 0 is all of them, -1 none.
func (c *Config) gpus() (int, error) {
	switch c.GPUs {
	case "", gpusAll:
		return 0, nil
	case gpusNone, "0":
		return -1, nil
	}
	n, err := strconv.ParseUint(c.GPUs, 10, 7)
	if err != nil {
		return 0, invalid("--gpus %q is no number of GPUs", c.GPUs).WithHint("%s, %s or a number such as 2", gpusAll, gpusNone)
	}
	return int(n), nil
}

// offerGPUs adds to an offer what the catalogue calls the host's devices: the processor's name as a label, and as the accelerator where people ask for it by that (Apple's);
// and the host's GPUs, those of one model that the catalogue knows, as many as the owner rents out. What is not offered stays in the host's inventory with
// the reason as its fault, so that it is neither proven nor placed on. Without a price of the owner's, the catalogue's hint for the model is asked.
func (c *Config) offerGPUs(offer *raylink.Offer, host *raylink.Host, log *slog.Logger) error {
	most, err := c.gpus()
	if err != nil {
		return err
	}
	if c.Runtime == RuntimeProcess {
		most = -1 // it hands out none
	}
	found, gpus, left := catalogue.Offer(*host, catalogue.Bounds{GPUs: most, GPUHour: offer.GPUHour})
	for _, l := range left {
		for i := range host.Devices {
			if d := &host.Devices[i]; d.ID == l.Device && d.Kind == raylink.DeviceGPU && d.Fault == "" {
				d.Fault = l.Why
				log.Info("a GPU is not offered", "gpu", d.ID, "name", d.Name, "why", l.Why)
			}
		}
	}
	if name := found.Labels[catalogue.LabelProcessor]; name != "" && offer.Labels[raylink.LabelEmulated] == "" { // an emulated one is nobody's product
		if offer.Labels == nil {
			offer.Labels = map[string]string{}
		}
		offer.Labels[catalogue.LabelProcessor], offer.Accelerator = name, found.Accelerator
	}
	if len(gpus) == 0 {
		return nil
	}
	offer.Resources.GPU, offer.Accelerator = found.Resources.GPU, found.Accelerator
	if entry, ok := catalogue.Find(found.Accelerator); ok && offer.GPUHour == money.Rate(0) {
		offer.GPUHour = entry.Price
	}
	return nil
}

// whole completes an offer with the host's devices, and refuses one that the coordinators would: they take no notice of it, and nobody would learn why.
func (c *Config) whole(offer *raylink.Offer, host *raylink.Host, log *slog.Logger) error {
	if err := c.offerGPUs(offer, host, log); err != nil {
		return err
	}
	return offer.Check()
}
