package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"raylink/raylink"
)

// app is one invocation: the world as a verb sees it.
type app struct {
	in       io.Reader
	out, err io.Writer
	getenv   func(string) string
	context  string // --context
}

// heading is a part of the help.
type heading struct {
	title string
	verbs []*cobra.Command
}

// run does what the arguments say, shows what went wrong, and returns the exit code.
func (a *app) run(ctx context.Context, args []string) int {
	root := a.root()
	root.SetArgs(args)
	if err := root.ExecuteContext(ctx); err != nil {
		return a.fail(ctx, err)
	}
	return 0
}

// fail shows an error on standard error, and gives its exit code.
func (a *app) fail(ctx context.Context, err error) int {
	var own *exit
	if errors.As(err, &own) {
		if own.err != nil {
			fmt.Fprintln(a.err, "error:", err)
		}
		return own.code
	}
	if ctx.Err() != nil && errors.Is(err, context.Canceled) {
		fmt.Fprintln(a.err, "interrupted")
		return 130
	}
	e := raylink.AsError(err)
	message := e.Message
	if wrapped := err.Error(); strings.HasSuffix(wrapped, e.Message) {
		message = wrapped // with what was being done
	}
	fmt.Fprintln(a.err, a.paint(a.err, red, "error:"), message)
	if e.Hint != "" {
		fmt.Fprintln(a.err, a.paint(a.err, bold, "hint:"), e.Hint)
	}
	return e.Code.ExitCode()
}

func (a *app) root() *cobra.Command {
	root := parent("raylink", "Private Ray clusters on other people's machines", `Raylink turns machines that stand idle into private Ray clusters: look at the price, create one, and use it with an
unmodified Ray client. The examples below are a first look.`)
	root.Example = `  raylink login https://raylink.example.org:7443 --token-file token.txt
  raylink quote -f cluster.yaml
  raylink cluster create -f cluster.yaml
  raylink bill first-job

A whole network on this machine, to try it:
  raylink dev`
	root.SilenceErrors, root.SilenceUsage = true, true
	root.SetIn(a.in)
	root.SetOut(a.out)
	root.SetErr(a.err)
	root.PersistentFlags().StringVar(&a.context, "context", "", "which login to use, of those that raylink login made [RAYLINK_CONTEXT]")
	root.SetFlagErrorFunc(func(c *cobra.Command, err error) error { return usage(c, "%v", err) })
	for i, h := range a.verbs() {
		id := fmt.Sprint(i)
		root.AddGroup(&cobra.Group{ID: id, Title: h.title + ":"})
		for _, verb := range h.verbs {
			verb.GroupID = id
			root.AddCommand(verb)
		}
	}
	return root
}

// usage is the error for a command that was called wrongly.
func usage(c *cobra.Command, format string, args ...any) error {
	return raylink.Errorf(raylink.CodeInvalid, format, args...).WithHint("see `%s --help`", c.CommandPath())
}

// parent makes a command that only holds others.
func parent(use, short, long string, children ...*cobra.Command) *cobra.Command {
	c := &cobra.Command{Use: use, Short: short, Long: long, Args: cobra.ArbitraryArgs, SuggestionsMinimumDistance: 2}
	c.RunE = func(c *cobra.Command, args []string) error {
		if len(args) == 0 {
			return c.Help()
		}
		if near := c.SuggestionsFor(args[0]); len(near) > 0 {
			return raylink.Errorf(raylink.CodeInvalid, "%s has no command %q", c.CommandPath(), args[0]).
				WithHint("did you mean `%s %s`?", c.CommandPath(), near[0])
		}
		return usage(c, "%s has no command %q", c.CommandPath(), args[0])
	}
	c.AddCommand(children...)
	return c
}

// wants checks the number of arguments by their names; a name in brackets may be left out.
func wants(names ...string) cobra.PositionalArgs {
	return func(c *cobra.Command, args []string) error {
		if len(args) > len(names) {
			return usage(c, "too many arguments: %q", args[len(names)])
		}
		for _, name := range names[len(args):] {
			if !strings.HasPrefix(name, "[") {
				return usage(c, "%s is missing", name)
			}
		}
		return nil
	}
}
