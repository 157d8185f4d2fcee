package endpoint_test

import (
	"context"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/coder/websocket"
)

func TestAPausedClientLosesNothing(t *testing.T) {
	inBubble(t, func(b *bubble) {
		b.head.Submit("j")
		whole := lines(0, 40_000) // more than the sockets on the way hold
		b.head.Append("j", whole)
		c, _, err := websocket.Dial(b.t.Context(), "http://100.64.0.3/c/"+clusterA+"/api/jobs/j/logs/tail", &websocket.DialOptions{
			HTTPClient: &http.Client{Transport: b.toGateway}, HTTPHeader: http.Header{"Authorization": {"Bearer " + alice}},
		})
		if err != nil {
			t.Fatal(err)
		}
		pass(10 * time.Minute) // somebody pressed ^Z
		b.head.Finish("j", "SUCCEEDED", "")
		var got strings.Builder
		for {
			_, text, err := c.Read(context.Background())
			if err != nil {
				if websocket.CloseStatus(err) != websocket.StatusNormalClosure {
					t.Errorf("ended with %v", err)
				}
				break
			}
			got.Write(text)
		}
		if got.String() != whole {
			t.Errorf("got %d of %d bytes", got.Len(), len(whole))
		}
	})
}

func TestSlowHeadersAreNotWaitedFor(t *testing.T) {
	inBubble(t, func(b *bubble) {
		conn, err := b.user.DialContext(b.t.Context(), "tcp", "100.64.0.3:80")
		if err != nil {
			t.Fatal(err)
		}
		begun := time.Now()
		go func() {
			for range 100 {
				if _, err := io.WriteString(conn, "G"); err != nil {
					return
				}
				pass(time.Second)
			}
		}()
		_, _ = io.Copy(io.Discard, conn)
		if after := time.Since(begun); after > 15*time.Second {
			t.Errorf("the connection was held for %v", after)
		}
		_ = conn.Close()
		<-time.After(time.Second)
	})
}

func TestAnonymousAnswersAreBounded(t *testing.T) {
	inBubble(t, func(b *bubble) {
		b.head.SetIndex(strings.Repeat("x", 4<<20))
		conn, err := b.user.DialContext(b.t.Context(), "tcp", "100.64.0.3:80")
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(conn, "GET /c/"+clusterA+"/ HTTP/1.1\r\nHost: g\r\n\r\n"); err != nil {
			t.Fatal(err)
		}
		pass(2 * time.Minute) // it reads nothing meanwhile
		n, err := io.Copy(io.Discard, conn)
		if n >= 4<<20 {
			t.Errorf("a stranger was waited for: %d bytes, %v", n, err)
		}
		_ = conn.Close()
		synctest.Wait()
	})
}
