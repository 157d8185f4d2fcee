package pipenet

import (
	"errors"
	"io"
	"net"
	"testing"
	"testing/synctest"
	"time"
)

func listen(t *testing.T, n *Network, id string) *Layer {
	t.Helper()
	l, err := n.Listen(id)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func TestCutAndHeal(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := New()
		a, b := listen(t, n, "a"), listen(t, n, "b")
		if _, err := n.Listen("a"); err == nil {
			t.Error("two nodes listen as one")
		}
		if _, err := a.Dial("c", time.Second); err == nil {
			t.Error("nobody answers")
		}
		accepted := make(chan net.Conn, 2)
		go func() {
			for {
				c, err := b.Accept()
				if err != nil {
					close(accepted)
					return
				}
				accepted <- c
			}
		}()
		near, err := a.Dial("b", time.Second)
		if err != nil {
			t.Fatal(err)
		}
		far := <-accepted
		go func() {
			if _, err := near.Write([]byte("x")); err != nil {
				t.Error(err)
			}
		}()
		if _, err := io.ReadFull(far, make([]byte, 1)); err != nil || near.RemoteAddr().String() != "b" || far.RemoteAddr().String() != "a" {
			t.Error(err, near.RemoteAddr(), far.RemoteAddr())
		}
		n.Isolate("b", "a", "b")
		if _, err := far.Read(make([]byte, 1)); err == nil {
			t.Error("a connection lives on through a cut")
		}
		began := time.Now()
		if _, err := a.Dial("b", 3*time.Second); err == nil || time.Since(began) != 3*time.Second {
			t.Error("a dial through a cut ends after", time.Since(began), err)
		}
		time.AfterFunc(time.Second, func() { n.Heal("b", "a") })
		if again, err := a.Dial("b", 3*time.Second); err != nil {
			t.Error("a dial does not outlast a short cut:", err)
		} else if err := errors.Join(again.Close(), (<-accepted).Close()); err != nil {
			t.Error(err)
		}
		if err := errors.Join(a.Close(), b.Close(), b.Close()); err != nil {
			t.Error(err)
		}
		<-accepted
		if len(n.conns) != 0 {
			t.Errorf("%d connections are left", len(n.conns))
		}
		listen(t, n, "b")
	})
}
