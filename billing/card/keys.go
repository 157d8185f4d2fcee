package card

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"

	"raylink/raylink"
)

// Key is the provider's secret key. It never shows itself: printed, logged or put into JSON it says only which mode it is for.
type Key struct{ secret string }

// ParseKey takes a key as the provider's dashboard shows it: sk_test_…, sk_live_…, or a restricted one, rk_test_…, rk_live_….
func ParseKey(text string) (Key, error) {
	text = strings.TrimSpace(text)
	for _, prefix := range []string{"sk_test_", "sk_live_", "rk_test_", "rk_live_"} {
		if rest, found := strings.CutPrefix(text, prefix); found && len(rest) >= 4 && len(text) <= 300 && visible(text) {
			return Key{text}, nil
		}
	}
	return Key{}, raylink.Errorf(raylink.CodeInvalid, "this is not a secret key of the card provider").
		WithHint("put a key that begins with sk_test_, sk_live_, rk_test_ or rk_live_ into the file; pk_ keys are the public ones")
}

func visible(text string) bool {
	return strings.IndexFunc(text, func(r rune) bool { return r <= ' ' || r > '~' }) < 0
}

// Live says whether the key moves real money.
func (k Key) Live() bool { return strings.HasPrefix(k.secret[min(3, len(k.secret)):], "live_") }

// String is `live key` or `test key`.
func (k Key) String() string {
	switch {
	case k.secret == "":
		return "no key"
	case k.Live():
		return "live key"
	}
	return "test key"
}

// Format writes String for every verb, so that none prints the secret.
func (k Key) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, k.String()) }

// MarshalText is String.
func (k Key) MarshalText() ([]byte, error) { return []byte(k.String()), nil }

// ReadKey reads the key from a file that only its owner may read.
func ReadKey(path string) (Key, error) {
	text, err := readSecret(path)
	if err != nil {
		return Key{}, err
	}
	return ParseKey(text)
}

// maxSecrets is how many webhook secrets may be valid at once.
const maxSecrets = 8

// ReadSecrets reads the webhooks' signing secrets (whsec_…), one a line, from a file that only its owner may read. While a secret is rotated the
// file has the new one and the old one.
func ReadSecrets(path string) ([]string, error) {
	text, err := readSecret(path)
	if err != nil {
		return nil, err
	}
	secrets := strings.Fields(text)
	for _, secret := range secrets {
		if !strings.HasPrefix(secret, "whsec_") || len(secret) < 12 {
			return nil, raylink.Errorf(raylink.CodeInvalid, "%s has a line that is not a webhook's signing secret", path).
				WithHint("each line begins with whsec_; the provider shows it beside the webhook's URL")
		}
	}
	if len(secrets) == 0 || len(secrets) > maxSecrets {
		return nil, raylink.Errorf(raylink.CodeInvalid, "%s has %d webhook secrets, wanted 1 to %d", path, len(secrets), maxSecrets)
	}
	return secrets, nil
}

// readSecret reads a small file that nobody but its owner may read.
func readSecret(path string) (string, error) {
	file, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return "", raylink.Errorf(raylink.CodeNotFound, "there is no file %s", path).WithHint("write the secret into it and run `chmod 600 %s`", path)
	}
	if err != nil {
		return "", fmt.Errorf("opening a secret: %w", err)
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return "", fmt.Errorf("looking at a secret: %w", err)
	}
	if !info.Mode().IsRegular() || info.Mode().Perm()&0o077 != 0 {
		return "", raylink.Errorf(raylink.CodeForbidden, "%s has mode %v: others could read the secret", path, info.Mode()).WithHint("run `chmod 600 %s`", path)
	}
	const limit = 4096
	text, err := io.ReadAll(io.LimitReader(file, limit+1))
	if err != nil {
		return "", fmt.Errorf("reading a secret: %w", err)
	}
	if len(text) > limit {
		return "", raylink.Errorf(raylink.CodeTooLarge, "%s is longer than %d bytes", path, limit)
	}
	return string(text), nil
}
