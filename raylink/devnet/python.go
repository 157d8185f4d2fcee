package devnet

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"raylink/raylink"
)

// pythonLimit is how long a Python may take to say whether it has solders.
const pythonLimit = 20 * time.Second

// FindPython is the Python that runs the local chain: the named one, or else the first with solders of the one that RAYLINK_PYTHON names,
// the one that raylink/devnet/setup/python.sh makes, and python3 of the PATH.
func FindPython(ctx context.Context, named string) (string, error) {
	candidates := []string{named}
	if named == "" {
		candidates = []string{os.Getenv("RAYLINK_PYTHON"), setupPython(), "python3"}
	}
	for _, candidate := range candidates {
		path, err := exec.LookPath(candidate)
		if candidate != "" && err == nil && hasSolders(ctx, path) {
			return filepath.Abs(path)
		}
	}
	what := "no Python with the package solders was found, which the local chain runs on"
	if named != "" {
		what = named + " is no Python with the package solders, which the local chain runs on"
	}
	return "", raylink.Errorf(raylink.CodeUnsupported, "%s", what).
		WithHint("run raylink/devnet/setup/python.sh, which installs it and prints a folder; then add --python FOLDER/bin/python")
}

// setupPython is where python.sh makes its environment.
func setupPython() string {
	cache := os.Getenv("RAYLINK_CACHE")
	if cache == "" {
		base, err := os.UserCacheDir()
		if err != nil {
			return ""
		}
		cache = filepath.Join(base, "raylink")
	}
	return filepath.Join(cache, "venv", "bin", "python")
}

func hasSolders(ctx context.Context, python string) bool {
	ctx, cancel := context.WithTimeout(ctx, pythonLimit)
	defer cancel()
	return exec.CommandContext(ctx, python, "-I", "-c", "import solders.litesvm").Run() == nil
}
