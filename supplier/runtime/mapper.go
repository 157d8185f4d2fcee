package runtime

import "raylink/raylink"

// IDs are a user and a group, as this machine counts them.
type IDs struct{ User, Group int }

// Mapper is what a Runtime is whose containers have user namespaces of their own: there user 1000 is another on the machine.
type Mapper interface {
	// Tenant is who the tenant of a lease in this tier is on the machine. What he is to write is given to these ids before his container starts; a
	// container whose directory belongs to UserID instead is made without a mapping.
	Tenant(tier raylink.Isolation) IDs
}

// Tenant is who a lease's tenant is on the machine: UserID, unless the runtime maps ids.
func Tenant(r Runtime, tier raylink.Isolation) IDs {
	if m, ok := r.(Mapper); ok {
		return m.Tenant(tier)
	}
	return IDs{UserID, UserID}
}
