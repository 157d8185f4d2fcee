package egress

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"syscall"
)

const (
	nameMax      = 253 // bytes
	labelMax     = 63
	addressesMax = 8 // of one name are tried
)

// failure is why a connection did not come about: in words for the tenant, as HTTP and as SOCKS say it. Cause is for the owner's log alone:
// it may name addresses inside the owner's network, which are no business of the tenant's.
type failure struct {
	status int  // of HTTP
	socks  byte // REP of RFC 1928, 6
	policy bool
	words  string
	cause  error
}

// Error is what the tenant is told.
func (f *failure) Error() string { return f.words }

func (f *failure) detail() string {
	if f.cause == nil {
		return f.words
	}
	return f.cause.Error()
}

func malformed(format string, args ...any) *failure {
	return &failure{status: 400, socks: socksNotAllowed, policy: true, words: fmt.Sprintf(format, args...)}
}

func refusal(cause error, format string, args ...any) *failure {
	return &failure{status: 403, socks: socksNotAllowed, policy: true, words: fmt.Sprintf(format, args...), cause: cause}
}

// splitTarget reads host:port as HTTP has it; standard is the port when none is given, 0 where one must be.
func splitTarget(target string, standard uint16) (string, uint16, *failure) {
	if standard != 0 && (strings.HasSuffix(target, "]") || !strings.Contains(target, ":")) {
		target += ":" + strconv.Itoa(int(standard))
	}
	host, digits, err := net.SplitHostPort(target)
	if err != nil {
		return "", 0, malformed("the target is not host:port")
	}
	port, err := strconv.ParseUint(digits, 10, 16)
	if err != nil {
		return "", 0, malformed("the target's port is no number up to 65535")
	}
	return host, uint16(port), nil
}

// literal is the address that a host is, if it is one. Anything else that some resolver would take for a number, such as 2130706433,
// 0x7f.1, 0177.0.0.1 or 127.1, is neither address nor name here.
func literal(host string) (netip.Addr, bool, *failure) {
	if addr, err := netip.ParseAddr(host); err == nil {
		return addr, true, nil
	}
	name := strings.TrimSuffix(host, ".")
	if name == "" || len(name) > nameMax {
		return netip.Addr{}, false, malformed("the host is no name of 1 to %d bytes", nameMax)
	}
	labels := strings.Split(name, ".")
	for _, label := range labels {
		if label == "" || len(label) > labelMax || strings.Trim(strings.ToLower(label), "abcdefghijklmnopqrstuvwxyz0123456789-_") != "" {
			return netip.Addr{}, false, malformed("the host is neither an address nor a name of letters, digits, hyphens and dots")
		}
	}
	last := strings.ToLower(labels[len(labels)-1])
	if hex, ok := strings.CutPrefix(last, "0x"); strings.Trim(last, "0123456789") == "" || ok && strings.Trim(hex, "0123456789abcdef") == "" {
		return netip.Addr{}, false, malformed("the host ends in a number but is no address: write IPv4 as four decimal numbers")
	}
	return netip.Addr{}, false, nil
}

// reach connects to a host that the tenant named. What is judged is an address, never a name, and what was judged is what is dialled: a name that
// leads elsewhere a moment later changes nothing. For the tenant a name that does not exist and one that leads into the owner's network are the same.
func (p *Proxy) reach(ctx context.Context, host string, port uint16) (*line, *failure) {
	ctx, cancel := context.WithTimeout(ctx, reachWithin)
	defer cancel()
	far, err := p.connect(ctx, host, port)
	l := &line{Conn: far, meter: &p.meter}
	if err == nil {
		if err = p.keep(l); err != nil {
			far.Close()
		}
	}
	if err != nil {
		p.refuse(host, port, err)
		return nil, err
	}
	p.opened.Add(1)
	p.open.Add(1)
	return l, nil
}

// hangUp ends what reach began.
func (p *Proxy) hangUp(far *line) {
	far.Close()
	p.open.Add(-1)
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.lines, far)
}

func (p *Proxy) connect(ctx context.Context, host string, port uint16) (net.Conn, *failure) {
	if err := p.shut(); err != nil {
		return nil, err
	}
	if p.meter.room(1) == 0 {
		return nil, refusal(nil, "%s", errSpent)
	}
	own, err := p.config.Own()
	if err != nil { // then nothing can be judged
		return nil, &failure{status: 502, socks: socksFailure, words: "the proxy cannot judge addresses now", cause: err}
	}
	addr, ok, wrong := literal(host)
	if wrong != nil {
		return nil, wrong
	}
	if ok {
		if err := Allowed(addr, port, own); err != nil {
			return nil, refusal(err, "%s is not for a lease to reach: %v", netip.AddrPortFrom(addr, port), err)
		}
		return p.dial(ctx, addr, port)
	}
	if err := Allowed(netip.AddrFrom4([4]byte{1, 1, 1, 1}), port, nil); err != nil { // the port alone: it needs no resolver
		return nil, refusal(err, "port %d is not for a lease to reach: %v", port, err)
	}
	return p.connectName(ctx, strings.ToLower(strings.TrimSuffix(host, ".")), port, own)
}

func (p *Proxy) connectName(ctx context.Context, name string, port uint16, own []netip.Prefix) (net.Conn, *failure) {
	found, err := p.config.Resolve(ctx, name)
	var dns *net.DNSError
	if err != nil && !(errors.As(err, &dns) && dns.IsNotFound) {
		return nil, &failure{status: 504, socks: socksUnreachable, words: name + " cannot be resolved now", cause: err}
	}
	last := refusal(err, "%s has no address of the public Internet", name)
	tried := 0
	for _, addr := range found {
		if err := Allowed(addr, port, own); err != nil {
			if tried == 0 {
				last.cause = fmt.Errorf("%s is %s: %w", name, addr, err)
			}
			continue
		}
		if tried++; tried > addressesMax {
			break
		}
		conn, failed := p.dial(ctx, addr, port)
		if failed == nil {
			return conn, nil
		}
		last = failed
	}
	return nil, last
}

// dial connects to an address that was judged.
func (p *Proxy) dial(ctx context.Context, addr netip.Addr, port uint16) (net.Conn, *failure) {
	to := netip.AddrPortFrom(addr.Unmap(), port)
	conn, err := p.config.Dial(ctx, to)
	var late net.Error
	switch {
	case err == nil:
		return conn, nil
	case errors.Is(err, syscall.ECONNREFUSED):
		return nil, &failure{status: 502, socks: socksConnRefused, words: to.String() + " refuses the connection", cause: err}
	case errors.Is(err, context.DeadlineExceeded), errors.As(err, &late) && late.Timeout():
		return nil, &failure{status: 504, socks: socksUnreachable, words: to.String() + " does not answer", cause: err}
	}
	return nil, &failure{status: 502, socks: socksUnreachable, words: to.String() + " cannot be reached", cause: err}
}
