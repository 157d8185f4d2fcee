package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"raylink/raylink"
	"raylink/raylink/client"
	"raylink/raylink/identity"
)

func (a *app) login() *cobra.Command {
	var tokenFile, pin, name string
	c := &cobra.Command{
		Use:   "login URL",
		Short: "Keep a network's address, CA and your access token",
		Long: `Login asks a coordinator for its group's CA, checks your access token, and keeps both, with the addresses of all
coordinators, as a context under $XDG_CONFIG_HOME/raylink. The token is read from a file, from standard input,
from RAYLINK_TOKEN, or is asked for: never from the command line, where every user of the machine could see it.`,
		Example: `  raylink login https://raylink.example.org:7443 --ca-sha256 4f1c… --token-file token.txt
  pass raylink | raylink login https://127.0.0.1:7443 --token-file -`,
		Args: wants("URL"),
		RunE: func(c *cobra.Command, args []string) error {
			return a.doLogin(c.Context(), args[0], tokenFile, pin, name)
		},
	}
	c.Flags().StringVar(&tokenFile, "token-file", "", "file that holds the access token; - is standard input")
	c.Flags().StringVar(&pin, "ca-sha256", "", "fingerprint of the group's CA (64 hex digits), as the admin told you")
	c.Flags().StringVar(&name, "name", "", "name of the context (default: the host)")
	return c
}

func (a *app) doLogin(ctx context.Context, coordinator, tokenFile, pin, name string) error {
	if pin = strings.ToLower(strings.ReplaceAll(pin, ":", "")); pin != "" && (len(pin) != 64 || strings.Trim(pin, "0123456789abcdef") != "") {
		return raylink.Errorf(raylink.CodeInvalid, "--ca-sha256 takes 64 hex digits")
	}
	ca, sum, err := client.FetchCA(ctx, coordinator, pin)
	if err != nil {
		return err
	}
	if pin == "" {
		if err := a.confirmCA(ctx, coordinator, sum, tokenFile == "-"); err != nil {
			return err
		}
	}
	token, err := a.loginToken(ctx, tokenFile)
	if err != nil {
		return err
	}
	if _, err := identity.ParseAccessToken(token); err != nil {
		return err
	}
	c, err := client.New(client.Config{Coordinators: []string{coordinator}, CAPEM: ca, Token: token})
	if err != nil {
		return err
	}
	defer c.Close()
	me, err := c.WhoAmI(ctx)
	if err != nil {
		return err
	}
	if name == "" {
		u, err := url.Parse(coordinator)
		if err != nil {
			return fmt.Errorf("reading the URL: %w", err)
		}
		name = u.Hostname()
	}
	if strings.ContainsAny(name, "/\\ \t\n") || strings.HasPrefix(name, ".") {
		return raylink.Errorf(raylink.CodeInvalid, "%q cannot be the name of a context", name).WithHint("give another with --name")
	}
	_, before, err := a.load()
	if err != nil {
		return err
	}
	if err := a.save(name, c.Coordinators(), ca, token); err != nil {
		return err
	}
	fmt.Fprintf(a.out, "Logged in as %s (%s, %s) at %s.\n", me.Name, me.Role, me.Account, coordinator)
	if old := before[name]; old != "" && old != token {
		fmt.Fprintf(a.out, "This takes the place of the login %q that was here; --name keeps several, and --context NAME chooses.\n", name)
	}
	fmt.Fprintf(a.out, "The context %q keeps %d address(es) of coordinators. Next: %s\n", name, len(c.Coordinators()), firstSteps(me.Role))
	return nil
}

// firstSteps is what somebody of a role may want to do first.
func firstSteps(role raylink.Role) string {
	switch role {
	case raylink.RoleAdmin:
		return "`raylink admin status`, `raylink admin account create NAME`, `raylink join-token create`"
	case raylink.RoleSupplier:
		return "`raylink join-token create`, `raylink machine list`, `raylink balance`"
	}
	return "`raylink machine list`, `raylink quote -f cluster.yaml`"
}

// confirmCA shows the fingerprint, and asks whether it is the right one unless the coordinator is on this machine.
func (a *app) confirmCA(ctx context.Context, coordinator, sum string, stdinTaken bool) error {
	fmt.Fprintf(a.err, "The CA of %s has the SHA-256 fingerprint\n  %s\n", coordinator, sum)
	if loopback(coordinator) {
		return nil
	}
	if stdinTaken || !terminal(a.in) {
		return raylink.Errorf(raylink.CodeInvalid, "nobody is here to confirm that fingerprint").
			WithHint("compare it with what the admin told you, then add --ca-sha256 %s", sum)
	}
	ok, err := a.ask(ctx, "Is that what the admin told you? [y/N] ")
	if err == nil && !ok {
		err = raylink.Errorf(raylink.CodeForbidden, "not logged in: the fingerprint was not confirmed")
	}
	return err
}

// loginToken finds the access token, or asks for it without showing it.
func (a *app) loginToken(ctx context.Context, file string) (string, error) {
	if file != "" {
		return a.readSecret(file)
	}
	if token := a.getenv("RAYLINK_TOKEN"); token != "" {
		return strings.TrimSpace(token), nil
	}
	in, ok := a.in.(*os.File)
	if !ok || !terminal(in) {
		return "", raylink.Errorf(raylink.CodeInvalid, "no access token was given").WithHint("add --token-file FILE, or set RAYLINK_TOKEN")
	}
	fmt.Fprint(a.err, "Access token: ")
	screen, err := term.GetState(int(in.Fd()))
	if err != nil {
		return "", fmt.Errorf("looking at the terminal: %w", err)
	}
	text, err := answered(ctx, func() (string, error) {
		secret, err := term.ReadPassword(int(in.Fd()))
		return string(secret), err
	})
	fmt.Fprintln(a.err)
	_ = term.Restore(int(in.Fd()), screen) // after ^C it would go on hiding what is typed
	if err != nil {
		return "", fmt.Errorf("reading the token: %w", err)
	}
	return strings.TrimSpace(text), nil
}

// answered waits for somebody to type, or for ^C. A read from a terminal cannot be ended: after ^C it is left behind, and the process ends.
func answered(ctx context.Context, read func() (string, error)) (string, error) {
	type line struct {
		text string
		err  error
	}
	typed := make(chan line, 1)
	go func() {
		text, err := read()
		typed <- line{text, err}
	}()
	select {
	case <-ctx.Done():
		return "", ctx.Err()
	case l := <-typed:
		return l.text, l.err
	}
}

// ask asks a question whose answer is no unless it is yes.
func (a *app) ask(ctx context.Context, question string) (bool, error) {
	fmt.Fprint(a.err, question)
	line, err := answered(ctx, func() (string, error) { return bufio.NewReaderSize(a.in, 64).ReadString('\n') })
	if err != nil {
		fmt.Fprintln(a.err) // the question's line has no end yet
	}
	if errors.Is(err, io.EOF) {
		err = nil // ^D is no answer, which is no
	}
	if err != nil {
		return false, fmt.Errorf("reading the answer: %w", err)
	}
	answer := strings.ToLower(strings.TrimSpace(line))
	return answer == "y" || answer == "yes", nil
}
