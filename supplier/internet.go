package supplier

import (
	"net"
	"net/netip"
	"strconv"
	"strings"

	"raylink/raylink/wire"
	"raylink/supplier/dataplane"
	"raylink/supplier/runtime"
)

// listedMax is how many addresses of a cluster are named one by one: those of a /24.
const listedMax = 256

// closedByOwner is what a tenant hears from the proxy where the owner said --no-egress.
const closedByOwner = "the owner of this machine lets no lease reach the Internet (--no-egress)"

// egress is what a lease may exchange with the Internet: the smaller of what its order and this machine's owner say. Nil is nothing, as the order
// itself wants it; where the owner forbids what the order allows, there is a proxy that says so.
func (a *Agent) egress(order wire.LeaseOrder, used int64) *runtime.Egress {
	if !order.Egress.Allow {
		return nil
	}
	if a.parts.NoEgress {
		return &runtime.Egress{Used: used, Closed: closedByOwner}
	}
	e := &runtime.Egress{Bytes: order.Egress.Bytes, Used: used}
	if own := a.parts.EgressBytes; own > 0 && (e.Bytes == 0 || own < e.Bytes) {
		e.Bytes = own
	}
	if address, err := a.parts.Address(); err == nil { // otherwise the addresses of the interfaces are all that is known
		e.Host = address
	}
	return e
}

// environment is the order's, with the proxy's variables where the lease has one. What the tenant set himself stays, and none are set
// beside it; to what is not to go through a proxy the cluster is added.
func (a *Agent) environment(order wire.LeaseOrder) map[string]string {
	if a.egress(order, 0) == nil {
		return order.Env
	}
	env := map[string]string{}
	proxy := proxyAddress()
	for name, value := range map[string]string{
		"HTTP_PROXY": "http://" + proxy, "HTTPS_PROXY": "http://" + proxy, "ALL_PROXY": "http://" + proxy, "NO_PROXY": noProxy(order.Mesh.Address, hostname(order.Node)),
	} {
		env[name], env[strings.ToLower(name)] = value, value
	}
	for name := range order.Env { // one case of a name that the tenant set speaks for both
		delete(env, strings.ToUpper(name))
		delete(env, strings.ToLower(name))
	}
	own := noProxy(order.Mesh.Address, hostname(order.Node))
	for name, value := range order.Env {
		if strings.EqualFold(name, "NO_PROXY") && value != "" && value != "*" { // without these the cluster would talk to itself through the proxy
			value += "," + own
		}
		env[name] = value
	}
	return env
}

// proxyAddress is where the proxy listens, in a lease's namespace.
func proxyAddress() string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(dataplane.EgressPort)) }

// noProxy names what is not to go through the proxy. Go, gRPC, curl since 7.86 and Python's requests know prefixes; Python's own urllib and
// with it aiohttp only compare text, so a small cluster's addresses are named one by one as well, also those of nodes that are yet to come.
func noProxy(own netip.Prefix, node string) string {
	names := []string{"localhost", "127.0.0.1", "::1", "127.0.0.0/8", "100.64.0.0/10"}
	if node != "" {
		names = append(names, node)
	}
	if own.IsValid() {
		names = append(names, own.Masked().String())
		address := own.Masked().Addr()
		for i := 0; own.Addr().BitLen()-own.Bits() <= 8 && i < listedMax && own.Contains(address); i++ {
			names = append(names, address.String())
			address = address.Next()
		}
		if own.Addr().BitLen()-own.Bits() > 8 {
			names = append(names, own.Addr().String())
		}
	}
	return strings.Join(names, ",")
}
