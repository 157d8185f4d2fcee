package main

import (
	"context"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"raylink/billing/money"
	"raylink/raylink"
)

// remote gives a verb its body: it asks the network, and shows the answer.
func remote[T any](a *app, c *cobra.Command, ask func(c *cobra.Command, s *session, args []string) (T, error), people func(w io.Writer, answer T)) *cobra.Command {
	format := outputFlag(c)
	c.RunE = func(c *cobra.Command, args []string) error {
		s, err := a.open()
		if err != nil {
			return err
		}
		defer s.Close()
		answer, err := ask(c, s, args)
		if err != nil {
			return err
		}
		return a.show(*format, answer, func(w io.Writer) { people(w, answer) })
	}
	return c
}

// agree asks before something that moves money. What is a sentence without its end: `Withdraw 5.00 USDC to 7xKX…`.
func (a *app) agree(ctx context.Context, yes bool, what string) error {
	if yes {
		return nil
	}
	if !terminal(a.in) {
		return raylink.Errorf(raylink.CodeInvalid, "%s: this moves money, and nobody is here to agree", what).WithHint("if that is what you want, add --yes")
	}
	agreed, err := a.ask(ctx, what+"? [y/N] ")
	if err == nil && !agreed {
		err = raylink.Errorf(raylink.CodeInvalid, "nothing was done")
	}
	return err
}

// yesFlag adds --yes to a verb that asks by agree.
func yesFlag(c *cobra.Command) *bool {
	return c.Flags().BoolP("yes", "y", false, "do it without asking")
}

// assetFlag adds --asset, of tokens.
func assetFlag(c *cobra.Command, help string) *string {
	asset := c.Flags().String("asset", "", help)
	_ = c.RegisterFlagCompletionFunc("asset", cobra.FixedCompletions([]string{"usdc", "io"}, cobra.ShellCompDirectiveNoFileComp))
	return asset
}

// sum reads an amount above zero: `50` of the asset, or '50 USDC', which must be the same asset if that is given.
func sum(c *cobra.Command, text, asset string) (money.Amount, error) {
	v, err := sumOrZero(c, text, asset)
	if err == nil && v.Sign() == 0 {
		err = usage(c, "%q is nothing: write an amount above zero", text)
	}
	return v, err
}

// sumOrZero is sum, where zero has a meaning.
func sumOrZero(c *cobra.Command, text, asset string) (money.Amount, error) {
	number, named, found := strings.Cut(strings.TrimSpace(text), " ")
	named, asset = strings.ToUpper(strings.TrimSpace(named)), strings.ToUpper(asset)
	switch {
	case found && asset != "" && asset != named:
		return money.Amount{}, usage(c, "%q is not an amount of %s", text, asset)
	case found:
		asset = named
	case asset == "":
		return money.Amount{}, usage(c, "%q of what? Write '%s USDC', or add --asset usdc or --asset io", text, text)
	}
	v, err := money.Parse(number + " " + asset)
	if err != nil || v.Sign() < 0 {
		return money.Amount{}, usage(c, "%q is not an amount: write 50 or '50.25 USDC', with at most 6 decimals (8 of IO)", text)
	}
	return v, nil
}

// token reads the name of a token that is paid with.
func token(c *cobra.Command, text string) (money.Asset, error) {
	if asset := money.Asset(strings.ToUpper(text)); asset == money.USDC || asset == money.IO {
		return asset, nil
	}
	return "", usage(c, "the tokens are usdc and io, not %q", text)
}
