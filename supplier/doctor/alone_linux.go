package doctor

import (
	"raylink/raylink"
	"raylink/supplier/runtime/process"
)

// alone looks at what leases need that run without an engine.
func (f *Facts) alone(ask Ask) {
	found := process.Inspect(ask.Data, ask.Image)
	f.Alone = &Alone{Cgroups: found.Groups, Users: found.Users, Images: found.Images}
	f.HasImage = found.HasIt
	if found.Filter != nil {
		f.Alone.FilterErr = found.Filter.Error()
	}
	if found.Limits != nil {
		f.Alone.LimitsErr = found.Limits.Error()
	}
	for _, lease := range found.Running {
		if !ask.Orders[raylink.LeaseID(lease)] && len(f.Left) < listLimit {
			f.Left = append(f.Left, lease)
		}
	}
}
