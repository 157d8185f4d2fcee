package egress

import (
	"context"
	"encoding/binary"
	"io"
	"net/netip"
	"slices"
)

// SOCKS5, RFC 1928. Names go to the proxy as names (curl calls that socks5h), or as addresses that the tenant found elsewhere.
const (
	socksVersion = 5
	socksNone    = 0 // no authentication
	socksNoWay   = 0xff
	socksConnect = 1
	socksIPv4    = 1
	socksName    = 3
	socksIPv6    = 4

	socksFailure     = 1
	socksNotAllowed  = 2
	socksUnreachable = 4
	socksConnRefused = 5
	socksNoCommand   = 7
	socksNoAddress   = 8
)

func (p *Proxy) serveSocks(ctx context.Context, t *tenant) {
	host, port, reply := hearSocks(t)
	if reply != 0 {
		answerSocks(t, reply)
		return
	}
	if host == "" {
		return // broken off
	}
	t.greeted()
	far, err := p.reach(ctx, host, port)
	if err != nil {
		answerSocks(t, err.socks)
		return
	}
	defer p.hangUp(far)
	if answerSocks(t, 0) != nil {
		return
	}
	p.carry(ctx, t, far)
}

// hearSocks reads the greeting and the request. An empty host without a reply says that there is nobody to answer.
func hearSocks(t *tenant) (host string, port uint16, reply byte) {
	head := make([]byte, 2)
	if _, err := io.ReadFull(t.reader, head); err != nil {
		return "", 0, 0
	}
	methods := make([]byte, head[1])
	if _, err := io.ReadFull(t.reader, methods); err != nil {
		return "", 0, 0
	}
	if !slices.Contains(methods, socksNone) {
		t.Write([]byte{socksVersion, socksNoWay}) // who does not hear it sees the end
		return "", 0, 0
	}
	if _, err := t.Write([]byte{socksVersion, socksNone}); err != nil {
		return "", 0, 0
	}
	request := make([]byte, 4) // version, command, reserved, kind of address
	if _, err := io.ReadFull(t.reader, request); err != nil || request[0] != socksVersion {
		return "", 0, 0
	}
	if request[1] != socksConnect {
		return "", 0, socksNoCommand
	}
	size := 0
	switch request[3] {
	case socksIPv4:
		size = 4
	case socksIPv6:
		size = 16
	case socksName:
		length, err := t.reader.ReadByte()
		if err != nil {
			return "", 0, 0
		}
		size = int(length)
	default:
		return "", 0, socksNoAddress
	}
	rest := make([]byte, size+2)
	if _, err := io.ReadFull(t.reader, rest); err != nil {
		return "", 0, 0
	}
	host, port = string(rest[:size]), binary.BigEndian.Uint16(rest[size:])
	if addr, ok := netip.AddrFromSlice(rest[:size]); ok && request[3] != socksName {
		host = addr.String()
	}
	if host == "" {
		return "", 0, socksNoAddress
	}
	return host, port, 0
}

// answerSocks says how it went. The address that the proxy speaks from is not told.
func answerSocks(t *tenant, reply byte) error {
	_, err := t.Write([]byte{socksVersion, reply, 0, socksIPv4, 0, 0, 0, 0, 0, 0})
	return err
}
