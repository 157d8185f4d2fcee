package devnet

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestSupplierExample plays examples/supplier: doctor, an owner's wishes, and an uninstall after which the machine is as it was.
func TestSupplierExample(t *testing.T) {
	if os.Getenv("RAYLINK_REAL") == "" {
		t.Skip("needs root, Docker and the worker image: `make test` sets RAYLINK_REAL=1 and brings them")
	}
	binary, err := filepath.Abs(setting(t, "RAYLINK_BIN", "../../bin/raylink"))
	if err != nil {
		t.Fatal(err)
	}
	demo := exec.CommandContext(t.Context(), "bash", "../../examples/supplier/demo.sh")
	demo.Env = append(os.Environ(), "RAYLINK="+binary)
	told, err := demo.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, told)
	}
	for _, want := range []string{"Nothing was changed.", "missing. It earns nothing", "what was opened is right, bit for bit", "Nothing keeps this machine from earning.", "next change", "No difference: containers"} {
		if !strings.Contains(string(told), want) {
			t.Errorf("it does not tell %q:\n%s", want, told)
		}
	}
}
