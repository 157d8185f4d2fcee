package coordinator

import (
	"errors"
	"testing"

	"raylink/billing/price"
	"raylink/raylink"
)

// TestJudgedSamples: a sample that was taken is no error, one that was refused is not proposed again, and any other trouble is tried again.
func TestJudgedSamples(t *testing.T) {
	if err := judged(nil); err != nil {
		t.Error(err)
	}
	if err := judged(raylink.Errorf(raylink.CodeInvalid, "too old")); !errors.Is(err, price.ErrSample) {
		t.Error(err)
	}
	if err := judged(raylink.Errorf(raylink.CodeUnavailable, "no leader")); err == nil || errors.Is(err, price.ErrSample) {
		t.Error(err)
	}
}
