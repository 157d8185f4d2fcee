package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"raylink/billing/money"
	"raylink/billing/price"
	"raylink/billing/price/administered"
	"raylink/raylink"
	"raylink/raylink/wire"
)

func (a *app) adminPrice() *cobra.Command {
	return parent("price", "Set the price of IO, and what has to hold for one to be believed", "",
		a.priceKey(), a.priceSet(), a.pricePolicy(), a.priceHalt(), a.priceResume())
}

func (a *app) priceKey() *cobra.Command {
	c := &cobra.Command{
		Use:   "key FILE",
		Short: "Make an operator's key, and have prices that it signs believed",
		Long: `Key makes an Ed25519 key in FILE, which only you can read, and adds its public half to the operators of the price policy. A key that is
there already is added as it is. Only what such a key has signed counts as an administered price: the coordinators cannot make one up.`,
		Example: "  raylink admin price key operator.pem && raylink admin price set 0.25 --key operator.pem", Args: wants("FILE"),
	}
	return remote(a, c, func(c *cobra.Command, s *session, args []string) (wire.Price, error) {
		now, err := s.Price(c.Context()) // first, so that no key is made for a network that does not answer
		if err != nil {
			return now, err
		}
		key, err := operatorKey(args[0])
		if err != nil {
			return now, err
		}
		policy := started(now.Policy)
		if slices.Contains(policy.Operators, key.Public()) {
			return now, nil
		}
		policy.Operators = append(slices.Clone(policy.Operators), key.Public())
		if !slices.Contains(policy.Sources, price.SourceAdministered) {
			policy.Sources = append(slices.Clone(policy.Sources), price.SourceAdministered)
		}
		return s.SetPricePolicy(c.Context(), policy)
	}, func(w io.Writer, p wire.Price) {
		fmt.Fprintf(w, "The operator's key counts now; there are %d. Next: `raylink admin price set 0.25 --key FILE`\n", len(p.Policy.Operators))
	})
}

// operatorKey is the key in the file, made if there is none.
func operatorKey(path string) (*administered.Key, error) {
	if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
		key, err := administered.CreateKey(path)
		if errors.Is(err, fs.ErrNotExist) {
			return nil, raylink.Errorf(raylink.CodeInvalid, "%v", err).WithHint("name a file in a directory that is there")
		}
		return key, err
	}
	return openOperatorKey(path)
}

func openOperatorKey(path string) (*administered.Key, error) {
	key, err := administered.OpenKey(path)
	var known *raylink.Error
	if err != nil && !errors.As(err, &known) {
		err = raylink.Errorf(raylink.CodeInvalid, "%v", err).WithHint("an operator's key is a file that only you can read: chmod 600 %s", path)
	}
	return key, err
}

// started is a policy that can be sent back: the default one where there is none yet.
func started(p price.Policy) price.Policy {
	if p.Check() != nil {
		operators := p.Operators
		p = price.Default()
		p.Operators = operators
	}
	return p
}

type priceOptions struct {
	key, confidence string
	every           time.Duration
	override        bool
}

func (a *app) priceSet() *cobra.Command {
	var o priceOptions
	c := &cobra.Command{
		Use:   "set VALUE --key FILE",
		Short: "Say what one IO costs in USD, signed with an operator's key",
		Long: `Set tells the network a price. It is believed if it is not too far from the one before and from the last hour's average; else settlement in IO
halts, until --override or an admin's resume. A price is believed for some minutes only: --every says it again and again, until Ctrl-C.`,
		Example: "  raylink admin price set 0.25 --key operator.pem --every 5m\n  raylink admin price set 0.41 --key operator.pem --override", Args: wants("VALUE"),
	}
	c.Flags().StringVar(&o.key, "key", "", "the operator's key file, of `raylink admin price key`")
	c.Flags().StringVar(&o.confidence, "confidence", "", "how sure that is: one standard deviation, as VALUE is written")
	c.Flags().DurationVar(&o.every, "every", 0, "say it again after so long, until interrupted")
	c.Flags().BoolVar(&o.override, "override", false, "believe it however far it is from the price before, and end a halt")
	return remote(a, c, func(c *cobra.Command, s *session, args []string) (wire.Price, error) {
		value, err := readPrice(c, args[0])
		if err != nil {
			return wire.Price{}, err
		}
		var confidence money.Price
		if o.confidence != "" {
			if confidence, err = readPrice(c, o.confidence); err != nil {
				return wire.Price{}, err
			}
		}
		if o.key == "" {
			return wire.Price{}, usage(c, "--key is missing: whose word is it?")
		}
		if o.every != 0 && o.every < time.Second {
			return wire.Price{}, usage(c, "--every is at least 1s")
		}
		key, err := openOperatorKey(o.key)
		if err != nil {
			return wire.Price{}, err
		}
		say := func(override bool) (wire.Price, error) {
			return s.SetPrice(c.Context(), wire.PriceRequest{Sample: key.Sign(value, confidence, time.Now()), Override: override})
		}
		said, err := say(o.override)
		if err != nil || o.every == 0 {
			return said, err
		}
		return said, a.keepSaying(c.Context(), o.every, value, func() error { _, err := say(false); return err })
	}, a.showPrice)
}

// keepSaying says a price at every tick until it is interrupted. One that is refused ends it; that nobody answers does not.
func (a *app) keepSaying(ctx context.Context, every time.Duration, value money.Price, say func() error) error {
	fmt.Fprintf(a.err, "Saying %s every %s. Ctrl-C ends it.\n", priceText(value), span(every))
	ticker := time.NewTicker(every)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		}
		err := say()
		switch {
		case ctx.Err() != nil:
			return nil
		case err != nil && raylink.AsError(err).Code == raylink.CodeUnavailable:
			fmt.Fprintln(a.err, "warning:", err)
		case err != nil:
			return err
		}
	}
}

func (a *app) pricePolicy() *cobra.Command {
	var changed price.Policy
	c := &cobra.Command{
		Use:   "policy",
		Short: "Show or change what has to hold for a price to be believed",
		Long: `Policy without flags shows the policy; each flag changes one part of it. Limits are in basis points: 100 are one percent. Sources are
"administered" (signed by one of the operators' keys) and those that coordinators ask, such as "pyth" and "jupiter". Of several that agree the median
is believed.`,
		Example: "  raylink admin price policy\n  raylink admin price policy --max-step-bp 500 --max-age 15m\n  raylink admin price policy --sources administered,pyth --min-sources 2", Args: wants(),
	}
	f := c.Flags()
	f.DurationVar(&changed.MaxAge, "max-age", 0, "how long a price is believed after it was observed")
	f.Int64Var(&changed.MaxStepBP, "max-step-bp", 0, "greatest step from one believed price to the next")
	f.Int64Var(&changed.MaxHourBP, "max-hour-bp", 0, "greatest distance from the last hour's average")
	f.Int64Var(&changed.MaxConfidenceBP, "max-confidence-bp", 0, "greatest uncertainty of a source, in its price")
	f.Int64Var(&changed.MaxSpreadBP, "max-spread-bp", 0, "greatest distance among the sources")
	f.Int64Var(&changed.MinSources, "min-sources", 0, "how many fresh sources it takes")
	f.StringSliceVar(&changed.Sources, "sources", nil, "the sources that are listened to")
	f.StringSliceVar(&changed.Operators, "operators", nil, "the operators' public keys, in base64")
	return remote(a, c, func(c *cobra.Command, s *session, _ []string) (price.Policy, error) {
		now, err := s.Price(c.Context())
		if err != nil {
			return now.Policy, err
		}
		policy, touched := mergedPolicy(c, now.Policy, changed)
		if !touched {
			return now.Policy, nil
		}
		if err := policy.Check(); err != nil {
			return policy, usage(c, "%v", err)
		}
		now, err = s.SetPricePolicy(c.Context(), policy)
		return now.Policy, err
	}, showPricePolicy)
}

// mergedPolicy is the policy with what the flags say.
func mergedPolicy(c *cobra.Command, now, changed price.Policy) (price.Policy, bool) {
	now = started(now)
	touched := false
	for name, set := range map[string]func(){
		"max-age":           func() { now.MaxAge = changed.MaxAge },
		"max-step-bp":       func() { now.MaxStepBP = changed.MaxStepBP },
		"max-hour-bp":       func() { now.MaxHourBP = changed.MaxHourBP },
		"max-confidence-bp": func() { now.MaxConfidenceBP = changed.MaxConfidenceBP },
		"max-spread-bp":     func() { now.MaxSpreadBP = changed.MaxSpreadBP },
		"min-sources":       func() { now.MinSources = changed.MinSources },
		"sources":           func() { now.Sources = changed.Sources },
		"operators":         func() { now.Operators = changed.Operators },
	} {
		if c.Flags().Changed(name) {
			set()
			touched = true
		}
	}
	return now, touched
}

func showPricePolicy(w io.Writer, p price.Policy) {
	pairs(w, "", "believed for", span(p.MaxAge), "step", "at most "+percent(p.MaxStepBP), "from the hour's average", "at most "+percent(p.MaxHourBP),
		"uncertainty", "at most "+percent(p.MaxConfidenceBP), "among sources", "at most "+percent(p.MaxSpreadBP),
		"sources", fmt.Sprintf("%s (at least %d)", strings.Join(p.Sources, ", "), max(p.MinSources, 1)), "operators", strings.Join(p.Operators, ", "))
}

func (a *app) priceHalt() *cobra.Command {
	c := &cobra.Command{Use: "halt REASON", Short: "Stop settlement in IO until you let it go on", Example: "  raylink admin price halt 'the exchange is down'", Args: wants("REASON")}
	return remote(a, c, func(c *cobra.Command, s *session, args []string) (wire.Price, error) {
		if strings.TrimSpace(args[0]) == "" {
			return wire.Price{}, usage(c, "REASON is missing")
		}
		return s.HaltPrice(c.Context(), args[0])
	}, a.showPrice)
}

func (a *app) priceResume() *cobra.Command {
	c := &cobra.Command{Use: "resume", Short: "Let settlement in IO go on, at the latest price that fits the policy", Example: "  raylink admin price resume", Args: wants()}
	return remote(a, c, func(c *cobra.Command, s *session, _ []string) (wire.Price, error) {
		return s.HaltPrice(c.Context(), "")
	}, a.showPrice)
}
