package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"sigs.k8s.io/yaml"

	"raylink/raylink"
	"raylink/raylink/client"
)

// config is $XDG_CONFIG_HOME/raylink/config.yaml.
type config struct {
	Current  string  `json:"current"`
	Contexts []entry `json:"contexts"`
}

// entry is one network that the user has logged in to.
type entry struct {
	Name         string   `json:"name"`
	Coordinators []string `json:"coordinators"`
	CAFile       string   `json:"ca_file"`
}

// session is a login in use.
type session struct {
	*client.Client
	app    *app
	name   string
	caFile string
	token  string
	kept   []string // the context's coordinators, as config.yaml has them; nil where the login is not from there
}

// Close ends a session. Before that it looks who belongs to the group now, and keeps that, the one that answered first: no single
// address matters then, and the next verb does not begin at a dead one.
func (s *session) Close() {
	defer s.Client.Close()
	if s.kept == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), learnWithin)
	defer cancel()
	s.Refresh(ctx)
	if now := s.Coordinators(); !slices.Equal(now, s.kept) {
		if err := s.app.keepCoordinators(s.name, now); err != nil {
			fmt.Fprintln(s.app.err, "warning: the coordinators' new addresses are not kept:", err)
		}
	}
}

// learnWithin is how long the end of a verb may take to look for new coordinators.
const learnWithin = 2 * time.Second

// keepCoordinators changes the addresses of one context.
func (a *app) keepCoordinators(name string, coordinators []string) error {
	return a.edit(func(c *config, _ map[string]string) {
		for i := range c.Contexts {
			if c.Contexts[i].Name == name {
				c.Contexts[i].Coordinators = coordinators
			}
		}
	})
}

// dir is a directory below an XDG base directory.
func (a *app) dir(variable, fallback string) (string, error) {
	if base := a.getenv(variable); filepath.IsAbs(base) {
		return filepath.Join(base, "raylink"), nil
	}
	home := a.getenv("HOME")
	if home == "" {
		return "", raylink.Errorf(raylink.CodeInvalid, "neither %s nor HOME is set", variable).
			WithHint("set HOME, or RAYLINK_URL, RAYLINK_CA and RAYLINK_TOKEN")
	}
	return filepath.Join(home, fallback, "raylink"), nil
}

func (a *app) configDir() (string, error) { return a.dir("XDG_CONFIG_HOME", ".config") }
func (a *app) stateDir() (string, error)  { return a.dir("XDG_STATE_HOME", ".local/state") }

// load reads both files; that one is missing is no error.
func (a *app) load() (c config, tokens map[string]string, err error) {
	tokens = map[string]string{}
	dir, err := a.configDir()
	if err != nil {
		return c, tokens, err
	}
	for name, into := range map[string]any{"config.yaml": &c, "credentials.yaml": &tokens} {
		text, err := os.ReadFile(filepath.Join(dir, name))
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err == nil {
			err = yaml.UnmarshalStrict(text, into)
		}
		if err != nil {
			return c, tokens, fmt.Errorf("reading %s: %w", filepath.Join(dir, name), err)
		}
	}
	return c, tokens, nil
}

// save keeps a login and makes it the current one. The CA goes beside it, because `ray job submit --verify` wants a file.
func (a *app) save(name string, coordinators []string, caPEM []byte, token string) error {
	dir, err := a.configDir()
	if err != nil {
		return err
	}
	e := entry{Name: name, Coordinators: coordinators, CAFile: filepath.Join(dir, name+".ca.pem")}
	if err := writePrivate(e.CAFile, caPEM); err != nil {
		return err
	}
	return a.edit(func(c *config, tokens map[string]string) {
		c.Contexts = append(slices.DeleteFunc(c.Contexts, func(old entry) bool { return old.Name == name }), e)
		c.Current, tokens[name] = name, token
	})
}

// edit changes both files; of several processes that want to, one does at a time.
func (a *app) edit(change func(*config, map[string]string)) error {
	dir, err := a.configDir()
	if err != nil {
		return err
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("writing the login: %w", err)
	}
	lock, err := os.OpenFile(filepath.Join(dir, ".lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return fmt.Errorf("writing the login: %w", err)
	}
	defer lock.Close() // which unlocks it
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX); err != nil {
		return fmt.Errorf("locking %s: %w", dir, err)
	}
	c, tokens, err := a.load()
	if err != nil {
		return err
	}
	change(&c, tokens)
	for file, value := range map[string]any{"config.yaml": c, "credentials.yaml": tokens} {
		text, err := yaml.Marshal(value)
		if err != nil {
			return fmt.Errorf("writing %s: %w", file, err)
		}
		if err := writePrivate(filepath.Join(dir, file), text); err != nil {
			return err
		}
	}
	return nil
}

// writePrivate puts a file of mode 0600 in the place of an older one.
func writePrivate(path string, data []byte) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return fmt.Errorf("writing %s: %w", path, err)
	}
	f, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+".*") // of mode 0600
	if err != nil {
		return fmt.Errorf("writing %s: %w", path, err)
	}
	defer os.Remove(f.Name()) // gone already after the rename
	_, err = f.Write(data)
	if closed := f.Close(); err == nil {
		err = closed
	}
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		return fmt.Errorf("writing %s: %w", path, err)
	}
	return nil
}

// open finds the login to use: RAYLINK_URL, RAYLINK_CA and RAYLINK_TOKEN over the context that --context, RAYLINK_CONTEXT or the
// last login names.
func (a *app) open() (*session, error) {
	s, coordinators, err := a.chosen()
	if err != nil {
		return nil, err
	}
	if list := a.getenv("RAYLINK_URL"); list != "" {
		coordinators = strings.Split(list, ",")
		s.name, s.kept = "env", nil
	}
	if file := a.getenv("RAYLINK_CA"); file != "" {
		s.caFile, s.token = file, "" // a login's token is not shown to another network
	}
	if token := a.getenv("RAYLINK_TOKEN"); token != "" {
		s.token = strings.TrimSpace(token)
	}
	if len(coordinators) == 0 {
		return nil, raylink.Errorf(raylink.CodeUnauthenticated, "not logged in").
			WithHint("`raylink login https://HOST:7443`, or set RAYLINK_URL, RAYLINK_CA and RAYLINK_TOKEN")
	}
	if s.caFile == "" {
		return nil, raylink.Errorf(raylink.CodeInvalid, "RAYLINK_URL is set, but not which CA to trust").
			WithHint("set RAYLINK_CA to the group's CA file, or use `raylink login`, which fetches it")
	}
	ca, err := os.ReadFile(s.caFile)
	if err != nil {
		return nil, raylink.Errorf(raylink.CodeInvalid, "the group's CA cannot be read: %v", err).WithHint("`raylink login` fetches it anew")
	}
	s.Client, err = client.New(client.Config{Coordinators: coordinators, CAPEM: ca, Token: s.token})
	return s, err
}

// chosen is the context that counts, if there is one.
func (a *app) chosen() (*session, []string, error) {
	wanted := a.context
	if wanted == "" {
		wanted = a.getenv("RAYLINK_CONTEXT")
	}
	c, tokens, err := a.load()
	if err != nil {
		return nil, nil, err
	}
	name := wanted
	if name == "" {
		name = c.Current
	}
	for _, e := range c.Contexts {
		if e.Name == name {
			return &session{app: a, name: name, caFile: e.CAFile, token: tokens[name], kept: e.Coordinators}, e.Coordinators, nil
		}
	}
	if wanted != "" && len(c.Contexts) > 0 {
		known := []string{}
		for _, e := range c.Contexts {
			known = append(known, e.Name)
		}
		return nil, nil, raylink.Errorf(raylink.CodeNotFound, "there is no login named %q", wanted).
			WithHint("`raylink login URL --name %s` makes it; there are: %s", wanted, strings.Join(known, ", "))
	}
	if wanted != "" {
		return nil, nil, raylink.Errorf(raylink.CodeNotFound, "there is no login at all, nor one named %q", wanted).WithHint("`raylink login URL --name %s` makes it", wanted)
	}
	return &session{app: a, name: "env"}, nil, nil
}

// rayToken keeps the access token in a file of its own, for Ray's client, and returns the file's path.
func (a *app) rayToken(s *session) (string, error) {
	dir, err := a.stateDir()
	if err != nil {
		return "", err
	}
	path := filepath.Join(dir, s.name+".token")
	return path, writePrivate(path, []byte(s.token))
}

// readSecret reads a token from a file, or from standard input for "-".
func (a *app) readSecret(file string) (string, error) {
	text, err := a.readInput(file, 4<<10)
	if err != nil {
		return "", err
	}
	token := strings.TrimSpace(string(text))
	if token == "" {
		return "", raylink.Errorf(raylink.CodeInvalid, "no token in %s", file).WithHint("the file holds one line, rl_access_…, as `raylink token create` writes it")
	}
	return token, nil
}

// readInput reads a file, or standard input for "-", up to a limit in bytes.
func (a *app) readInput(file string, limit int64) ([]byte, error) {
	from, name := a.in, "standard input"
	if file != "-" {
		f, err := os.Open(file)
		if err != nil {
			return nil, raylink.Errorf(raylink.CodeInvalid, "%v", err).WithHint("name a file that is there; - is standard input")
		}
		defer f.Close()
		from, name = f, file
	}
	text, err := io.ReadAll(io.LimitReader(from, limit+1))
	if err != nil {
		return nil, raylink.Errorf(raylink.CodeInvalid, "%v", err).WithHint("name a file; - is standard input")
	}
	if int64(len(text)) > limit {
		return nil, raylink.Errorf(raylink.CodeTooLarge, "%s is over %d KiB", name, limit>>10).WithHint("is it the right file?")
	}
	return text, nil
}

// loopback says whether a URL's host is this machine.
func loopback(raw string) bool {
	u, err := url.Parse(raw)
	return err == nil && (u.Hostname() == "localhost" || u.Hostname() == "::1" || strings.HasPrefix(u.Hostname(), "127."))
}
