package device

import (
	"context"
	"path"
	"slices"
	"strconv"
	"strings"

	"raylink/raylink"
	"raylink/raylink/catalogue"
)

// name writes the catalogue's name beside what the driver calls a device.
func name(devices []raylink.Device) {
	for i := range devices {
		if e, ok := catalogue.Match(devices[i]); ok {
			devices[i].Model = e.Name
		}
	}
}

// gpusLooked bounds the GPUs that are told of one machine.
const gpusLooked = 64

// nvidia asks the driver's library. Where that cannot be asked, the kernel module's own files still say which GPUs there are, and they are told with
// the reason why they cannot be used.
func nvidia(ctx context.Context, s Sources, h *raylink.Host) ([]raylink.Device, []Note) {
	files := procNVIDIA(s)
	text, _ := s.Read("/proc/driver/nvidia/version")
	driver := ParseDriver(text)
	var notes []Note
	var devices []raylink.Device
	if s.NVIDIA != nil {
		version, found, err := s.NVIDIA(ctx)
		devices = found
		if version != "" {
			driver = clip(version)
		}
		if err != nil && (len(files) > 0 || driver != "" || !s.Missing(err)) {
			notes = append(notes, Note{"NVIDIA GPUs", err.Error()})
		}
		if err != nil && len(devices) == 0 {
			for i := range files {
				files[i].Fault = clip(err.Error())
			}
			devices = files
		}
	}
	if driver != "" {
		h.Versions[raylink.VersionDriver] = driver
	}
	if len(devices) > gpusLooked {
		notes = append(notes, Note{"NVIDIA GPUs", "there are " + strconv.Itoa(len(devices)) + ", of which the first " + strconv.Itoa(gpusLooked) + " are told"})
		devices = devices[:gpusLooked]
	}
	return devices, notes
}

// procNVIDIA reads /proc/driver/nvidia/gpus, which the kernel module writes. It has no size of memory.
func procNVIDIA(s Sources) []raylink.Device {
	var out []raylink.Device
	for _, file := range s.Glob("/proc/driver/nvidia/gpus/*/information") {
		text, err := s.Read(file)
		if err != nil || len(out) == gpusLooked {
			continue
		}
		if d := ParseNVIDIAInformation(text); d.ID != "" {
			out = append(out, d)
		}
	}
	return out
}

// ParseNVIDIAInformation reads one GPU's /proc/driver/nvidia/gpus/<bus>/information.
func ParseNVIDIAInformation(text string) raylink.Device {
	d := raylink.Device{Kind: raylink.DeviceGPU, Vendor: "nvidia"}
	for line := range strings.Lines(text) {
		key, value, _ := strings.Cut(line, ":")
		value = clip(value)
		switch strings.TrimSpace(key) {
		case "Model":
			d.Name = value
		case "GPU UUID":
			if !strings.Contains(value, "?") { // the module writes question marks until the GPU has been started once
				d.ID = value
			}
		case "Bus Location":
			d.Bus = value
		}
	}
	return d
}

// ParseDriver reads the driver's version from /proc/driver/nvidia/version: the first word of digits and dots behind "Kernel Module"; empty if there is none.
func ParseDriver(text string) string {
	_, rest, ok := strings.Cut(text, "Kernel Module")
	if !ok {
		return ""
	}
	for _, word := range strings.Fields(strings.SplitN(rest, "\n", 2)[0]) {
		if strings.Contains(word, ".") && strings.Trim(word, "0123456789.") == "" {
			return clip(word)
		}
	}
	return ""
}

// amd reads AMD's GPUs by sysfs, which the kernel's driver amdgpu fills (Documentation/gpu/amdgpu in the kernel): mem_info_vram_total in bytes, unique_id
// in hexadecimal (GFX9 and newer), product_name (of cards that carry one: Instincts, workstations). Graphics that are part of a processor have no
// memory worth telling and no unique id, and are left out.
func amd(s Sources) []raylink.Device {
	var out []raylink.Device
	for _, folder := range s.Glob("/sys/class/drm/card*/device") {
		read := func(name string) string {
			text, _ := s.Read(path.Join(folder, name))
			return clip(text)
		}
		if read("vendor") != "0x1002" || strings.Contains(path.Base(path.Dir(folder)), "-") || len(out) == gpusLooked {
			continue
		}
		memory, _ := strconv.ParseInt(read("mem_info_vram_total"), 10, 64)
		id := read("unique_id")
		if memory < 2<<30 && id == "" {
			continue
		}
		d := raylink.Device{Kind: raylink.DeviceGPU, Vendor: "amd", ID: "AMD-" + id, Name: read("product_name"), Memory: memory, Bus: slot(read("uevent"))}
		if d.Name == "" {
			d.Name = amdName(read("device"), read("revision"))
		}
		if id == "" {
			d.ID = "AMD-at-" + d.Bus
			d.Fault = "its driver tells no unique id, by which it could be told from another"
		}
		out = append(out, d)
	}
	slices.SortFunc(out, func(a, b raylink.Device) int { return strings.Compare(a.Bus, b.Bus) })
	return out
}

// slot finds PCI_SLOT_NAME in a uevent whose lines have become words.
func slot(uevent string) string {
	for _, word := range strings.Fields(uevent) {
		if bus, ok := strings.CutPrefix(word, "PCI_SLOT_NAME="); ok {
			return bus
		}
	}
	return ""
}

// amdName names the consumer cards that the catalogue knows by their PCI device and revision (libdrm's amdgpu.ids).
func amdName(device, revision string) string {
	names := map[string]string{
		"0x744c:0xc8": "AMD Radeon RX 7900 XTX", "0x744c:0xcc": "AMD Radeon RX 7900 XT", "0x747e:0xc8": "AMD Radeon RX 7800 XT",
		"0x73bf:0xc0": "AMD Radeon RX 6900 XT", "0x73bf:0xc1": "AMD Radeon RX 6800 XT", "0x73df:0xc1": "AMD Radeon RX 6700 XT",
		"0x7448:0x00": "AMD Radeon Pro W7900", "0x7550:0xc0": "AMD Radeon RX 9070 XT",
	}
	if name, ok := names[device+":"+revision]; ok {
		return name
	}
	return "AMD GPU " + device + " revision " + revision
}
