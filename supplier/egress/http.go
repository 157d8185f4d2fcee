package egress

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
)

const phraseMax = 300 // bytes

// serveHTTP answers one request. A plain one ends its connection: those are rare, and every one is judged anew.
func (p *Proxy) serveHTTP(ctx context.Context, t *tenant) {
	request, err := http.ReadRequest(t.reader)
	if err != nil {
		if t.bounded.N <= 0 {
			answerHTTP(t, &failure{status: http.StatusRequestHeaderFieldsTooLarge, words: fmt.Sprintf("the request's head is larger than %d bytes", headerMax)})
		} else if !errors.Is(err, io.EOF) {
			answerHTTP(t, malformed("this is a proxy for HTTP, CONNECT and SOCKS5; that was none of them"))
		}
		return
	}
	t.greeted()
	if request.Method == http.MethodConnect {
		p.serveConnect(ctx, t, request.RequestURI)
		return
	}
	if request.URL.Scheme != "http" || request.URL.Host == "" {
		answerHTTP(t, malformed("this is a proxy: ask it for http://…, or CONNECT host:port"))
		return
	}
	p.servePlain(ctx, t, request)
}

func (p *Proxy) serveConnect(ctx context.Context, t *tenant, target string) {
	host, port, wrong := splitTarget(target, 0)
	if wrong != nil {
		answerHTTP(t, wrong)
		return
	}
	far, wrong := p.reach(ctx, host, port)
	if wrong != nil {
		answerHTTP(t, wrong)
		return
	}
	defer p.hangUp(far)
	if _, err := io.WriteString(t, "HTTP/1.1 200 Connection established\r\n\r\n"); err != nil {
		return
	}
	p.carry(ctx, t, far)
}

// carry is a tunnel that ends with the context as well.
func (p *Proxy) carry(ctx context.Context, t *tenant, far *line) {
	defer context.AfterFunc(ctx, func() { far.Close() })()
	p.tunnel(t, far)
}

func (p *Proxy) servePlain(ctx context.Context, t *tenant, request *http.Request) {
	host, port, wrong := splitTarget(request.URL.Host, 80)
	if wrong != nil {
		answerHTTP(t, wrong)
		return
	}
	far, wrong := p.reach(ctx, host, port)
	if wrong != nil {
		answerHTTP(t, wrong)
		return
	}
	defer p.hangUp(far)
	if strings.EqualFold(request.Header.Get("Expect"), "100-continue") {
		if _, err := io.WriteString(t, "HTTP/1.1 100 Continue\r\n\r\n"); err != nil {
			return
		}
	}
	answer, err := forward(ctx, request, far)
	if err != nil {
		p.failed.Add(1)
		words := host + " did not answer as HTTP does"
		if errors.Is(err, errSpent) {
			words = errSpent.Error()
		}
		answerHTTP(t, &failure{status: http.StatusBadGateway, words: words})
		return
	}
	defer answer.Body.Close()
	stripHops(answer.Header)
	answer.Close = true
	if !request.ProtoAtLeast(1, 1) { // knows nothing of chunks: the end of the connection is the end of the body
		answer.TransferEncoding = nil
	}
	answer.Write(t) // who does not hear it has gone
}

// forward sends the request over a connection that was judged, and no other: redirects are the tenant's to follow, and judged again then.
func forward(ctx context.Context, request *http.Request, far *line) (*http.Response, error) {
	dialled := false
	transport := &http.Transport{
		DialContext: func(context.Context, string, string) (net.Conn, error) {
			if dialled {
				return nil, errors.New("the connection was used up")
			}
			dialled = true
			return far, nil
		},
		DisableKeepAlives: true, DisableCompression: true, MaxResponseHeaderBytes: headerMax, ResponseHeaderTimeout: answerWithin,
	}
	out := request.WithContext(ctx)
	out.RequestURI, out.Close = "", true
	stripHops(out.Header)
	out.Header.Del("Expect")
	if _, ok := out.Header["User-Agent"]; !ok {
		out.Header.Set("User-Agent", "") // otherwise Go's own
	}
	return transport.RoundTrip(out)
}

// stripHops removes what is between the tenant and the proxy alone (RFC 9110, 7.6.1), a proxy's password first of all.
func stripHops(header http.Header) {
	for _, names := range header["Connection"] {
		for name := range strings.SplitSeq(names, ",") {
			header.Del(strings.TrimSpace(name))
		}
	}
	for _, name := range []string{
		"Connection", "Proxy-Connection", "Keep-Alive", "Proxy-Authenticate", "Proxy-Authorization", "Te", "Trailer", "Transfer-Encoding", "Upgrade",
	} {
		header.Del(name)
	}
}

// answerHTTP says why not, and is the last thing said on a connection.
func answerHTTP(t *tenant, why *failure) {
	text := "raylink: " + why.words + "\n"
	// Who does not hear it has gone.
	fmt.Fprintf(t, "HTTP/1.1 %d %s (%s)\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: %d\r\nConnection: close\r\n\r\n%s",
		why.status, http.StatusText(why.status), phrase(why.words), len(text), text)
}

// phrase makes words fit for a status line: where a CONNECT is refused, pip, requests and Go's programs show that line alone, and no body.
func phrase(words string) string {
	words = strings.Map(func(r rune) rune {
		if r < ' ' || r > '~' {
			return '?'
		}
		return r
	}, words)
	return words[:min(len(words), phraseMax)]
}
