package api

import (
	"github.com/gin-gonic/gin"

	"raylink/coordinator/state"
	"raylink/raylink"
	"raylink/raylink/identity"
)

// keeper is who may act on the machine that a request names: an admin, a supplier, or the machine itself by its certificate, which stands for its
// owner. The last may act on that one machine alone, by its id.
func (s *Server) keeper(c *gin.Context) (caller, error) {
	if _, ok := bearer(c); ok {
		return s.user(c, raylink.RoleAdmin, raylink.RoleSupplier)
	}
	id, err := s.peer(c, identity.Machine)
	if err != nil {
		return s.user(c, raylink.RoleAdmin, raylink.RoleSupplier) // says that a token is missing
	}
	if id != c.Param("id") {
		return caller{}, raylink.Errorf(raylink.CodeForbidden, "machine %s does not act for another", id).WithHint("use its owner's access token")
	}
	var who caller
	s.Group.Read(func(st *state.State) {
		if m, ok := st.Machines[raylink.MachineID(id)]; ok {
			who = caller{account: m.Owner, role: raylink.RoleSupplier}
		}
	})
	if who.account == "" {
		return who, raylink.Errorf(raylink.CodeNotFound, "no machine %q", id)
	}
	return who, nil
}
