package consensus

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"io"
	"time"
)

// A call's question is: id (8 bytes) · time to answer in ms (4) · flags (1) · method's length (1) · method · body's length (4) · body. Its answer is: id (8)
// · status (1) · body's length (4) · body. Numbers are big-endian. Many calls share one connection; answers come in any order.

const (
	frameLimit   = 4 << 20
	flagLeader   = 1 // to be answered by the leader only
	statusOK     = 0
	statusError  = 1 // the body is a raylink.Error in JSON
	statusLater  = 2 // the same, and nothing was done: ask the leader, or again
	maxCallTime  = 60 * time.Second
	methodLength = 64
)

type question struct {
	id     uint64
	time   time.Duration
	flags  byte
	method string
	body   []byte
}

func (q question) encode() []byte {
	b := make([]byte, 0, 18+len(q.method)+len(q.body))
	b = binary.BigEndian.AppendUint64(b, q.id)
	b = binary.BigEndian.AppendUint32(b, uint32(q.time.Milliseconds()))
	b = append(b, q.flags, byte(len(q.method)))
	b = append(b, q.method...)
	b = binary.BigEndian.AppendUint32(b, uint32(len(q.body)))
	return append(b, q.body...)
}

func readQuestion(r *bufio.Reader) (q question, err error) {
	var head [14]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return q, err
	}
	q.id = binary.BigEndian.Uint64(head[:])
	q.time = min(time.Duration(binary.BigEndian.Uint32(head[8:]))*time.Millisecond, maxCallTime)
	q.flags = head[12]
	if head[13] == 0 || head[13] > methodLength {
		return q, fmt.Errorf("reading a call: its method has %d letters", head[13])
	}
	method := make([]byte, head[13])
	if _, err := io.ReadFull(r, method); err != nil {
		return q, err
	}
	q.method = string(method)
	q.body, err = readBody(r)
	return q, err
}

type answer struct {
	id     uint64
	status byte
	body   []byte
}

func (a answer) encode() []byte {
	b := make([]byte, 0, 13+len(a.body))
	b = binary.BigEndian.AppendUint64(b, a.id)
	b = append(b, a.status)
	b = binary.BigEndian.AppendUint32(b, uint32(len(a.body)))
	return append(b, a.body...)
}

func readAnswer(r *bufio.Reader) (a answer, err error) {
	var head [9]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return a, err
	}
	a.id, a.status = binary.BigEndian.Uint64(head[:]), head[8]
	a.body, err = readBody(r)
	return a, err
}

func readBody(r *bufio.Reader) ([]byte, error) {
	var length [4]byte
	if _, err := io.ReadFull(r, length[:]); err != nil {
		return nil, err
	}
	n := binary.BigEndian.Uint32(length[:])
	if n > frameLimit {
		return nil, fmt.Errorf("reading a call: %d bytes are more than %d", n, frameLimit)
	}
	body := make([]byte, n)
	_, err := io.ReadFull(r, body)
	return body, err
}
