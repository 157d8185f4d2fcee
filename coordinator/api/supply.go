package api

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"time"

	"github.com/gin-gonic/gin"

	"raylink/coordinator/authority"
	"raylink/coordinator/plan"
	"raylink/coordinator/state"
	"raylink/raylink"
	"raylink/raylink/identity"
	"raylink/raylink/wire"
)

func revisionOf(v any) (string, error) {
	raw, err := json.Marshal(v)
	if err != nil {
		return "", fmt.Errorf("encoding an assignment: %w", err)
	}
	sum := sha256.Sum256(raw)
	return hex.EncodeToString(sum[:12]), nil
}

func (s *Server) getAssignment(c *gin.Context) (any, error) {
	id, err := s.peer(c, identity.Machine)
	if err != nil {
		return nil, err
	}
	if err := s.standing(identity.Machine, id); err != nil {
		return nil, err
	}
	var a wire.Assignment
	return s.poll(c, func(st *state.State) any {
		a = wire.Assignment{Leases: plan.Orders(st, raylink.MachineID(id)), Proofs: plan.ProofOrders(st, raylink.MachineID(id)), Standing: plan.LoggedStanding(st, raylink.MachineID(id))}
		for i := range a.Leases {
			a.Leases[i].RayToken = s.rayToken(st, a.Leases[i].Cluster)
		}
		a.Coordinators, a.Gateways = addresses(st)
		a.ImageKeys, a.ReportSeconds = st.ImageKeys(), plan.ReportSeconds(len(st.Machines))
		return a
	}, func(revision string) any { a.Revision = revision; return a })
}

func (s *Server) rayToken(st *state.State, id raylink.ClusterID) string {
	return s.Authority.ClusterToken(string(id), int64(st.Clusters[id].Generation))
}

func (s *Server) getGatewayAssignment(c *gin.Context) (any, error) {
	id, err := s.peer(c, identity.Gateway)
	if err != nil {
		return nil, err
	}
	if err := s.standing(identity.Gateway, id); err != nil {
		return nil, err
	}
	var a wire.GatewayAssignment
	return s.poll(c, func(st *state.State) any {
		a = wire.GatewayAssignment{Clusters: plan.Routes(st, raylink.GatewayID(id), time.Now())}
		for i := range a.Clusters {
			a.Clusters[i].RayToken = s.rayToken(st, a.Clusters[i].Cluster)
		}
		a.Coordinators, a.Gateways = addresses(st)
		return a
	}, func(revision string) any { a.Revision = revision; return a })
}

// GatewayWord is a gateway's report on its way to the leader, under the id that its certificate proved.
type GatewayWord struct {
	ID     raylink.GatewayID  `json:"id"`
	Report wire.GatewayReport `json:"report"`
}

func (s *Server) postAgentReport(c *gin.Context) (any, error) {
	id, err := s.peer(c, identity.Machine)
	if err != nil {
		return nil, err
	}
	if err := s.standing(identity.Machine, id); err != nil {
		return nil, err
	}
	text, err := receive(c, maxReport)
	if err != nil {
		return nil, err
	}
	text = bytes.Trim(text, " \t\r\n") // what may stand around a JSON value
	if _, err := s.Told.read(raylink.MachineID(id), text, true); err != nil {
		return nil, err
	}
	return nil, s.report(c.Request.Context(), MethodAgent, agentWord(raylink.MachineID(id), text))
}

func (s *Server) postGatewayReport(c *gin.Context) (any, error) {
	id, err := s.peer(c, identity.Gateway)
	if err != nil {
		return nil, err
	}
	if err := s.standing(identity.Gateway, id); err != nil {
		return nil, err
	}
	word := GatewayWord{ID: raylink.GatewayID(id)}
	if err := body(c, maxReport, &word.Report); err != nil {
		return nil, err
	}
	raw, err := json.Marshal(word)
	if err != nil {
		return nil, err
	}
	return nil, s.report(c.Request.Context(), MethodGateway, raw)
}

// reportLimit is how long a report waits for a leader: shorter than an agent's and a gateway's patience, so that they hear in time that this
// coordinator is cut off from the leader, and turn to another.
const reportLimit = 2 * time.Second

// report hands a report to the leader.
func (s *Server) report(ctx context.Context, method string, word []byte) error {
	ctx, cancel := context.WithTimeout(ctx, reportLimit)
	defer cancel()
	_, err := s.Group.CallLeader(ctx, method, word)
	return err
}

// postGatewayCertificate gives a gateway a certificate for an ECDSA key of its own, good for serving its hosts and for nothing else: browsers know no
// Ed25519, which its identity is.
func (s *Server) postGatewayCertificate(c *gin.Context) (any, error) {
	id, err := s.peer(c, identity.Gateway)
	if err != nil {
		return nil, err
	}
	if err := s.standing(identity.Gateway, id); err != nil {
		return nil, err
	}
	var r wire.RenewRequest
	if err := body(c, maxBody, &r); err != nil {
		return nil, err
	}
	request, err := x509.ParseCertificateRequest(r.CSR)
	if err != nil || request.CheckSignature() != nil {
		return nil, raylink.Errorf(raylink.CodeInvalid, "this is no certificate request that its own key has signed").WithHint("send PKCS #10, DER")
	}
	key, ok := request.PublicKey.(*ecdsa.PublicKey)
	if !ok || key.Curve != elliptic.P256() {
		return nil, raylink.Errorf(raylink.CodeUnsupported, "a serving certificate is for an ECDSA key on P-256")
	}
	public := ""
	s.Group.Read(func(st *state.State) { public = st.Gateways[raylink.GatewayID(id)].URL })
	certificate, err := s.Authority.Issue(authority.Request{Public: key, Principal: identity.Principal{Kind: identity.Gateway, ID: id}, Hosts: servingHosts(identity.Gateway, public)})
	if err != nil {
		return nil, err
	}
	return s.joined(id, certificate), nil
}
