package main

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"net/url"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"raylink/billing/money"
	"raylink/billing/settle/chain"
	"raylink/billing/settle/chain/solana"
	"raylink/billing/settle/localchain"
	"raylink/billing/solanapay"
	"raylink/raylink"
)

const (
	payLook  = 250 * time.Millisecond // between two looks at a payment that is on its way
	payAgain = 2 * time.Second        // between two sendings of the same bytes
	payLimit = 3 * time.Minute
)

// walletNew makes a wallet's key file.
func (a *app) walletNew() *cobra.Command {
	c := &cobra.Command{
		Use:   "new FILE",
		Short: "Make a wallet: a key file as solana-keygen writes it",
		Long: `New makes a key and writes it to a file that only you can read. Whoever has the file has the wallet's money, and nobody can
make it again: keep a copy. A file that is there is never written over.`,
		Example: "  raylink wallet new wallet.json",
		Args:    wants("FILE"),
	}
	format := outputFlag(c)
	c.RunE = func(_ *cobra.Command, args []string) error {
		_, key, err := ed25519.GenerateKey(rand.Reader)
		if err != nil {
			return fmt.Errorf("making a key: %w", err)
		}
		if err := solana.WriteKey(args[0], key); err != nil {
			return raylink.Errorf(raylink.CodeConflict, "%v", err).WithHint("name a file that is not there yet")
		}
		made := struct {
			Address chain.Address `json:"address"`
			File    string        `json:"file"`
		}{localchain.AddressOf(key), args[0]}
		return a.show(*format, made, func(w io.Writer) {
			fmt.Fprintf(w, "%s\nIts key is in %s. Next: `raylink wallet prove %s --key %s`\n", made.Address, made.File, made.Address, made.File)
		})
	}
	return c
}

// payment is what `raylink wallet pay` is asked for, and what became of it.
type payment struct {
	From      chain.Address   `json:"from"`
	To        chain.Address   `json:"to"`
	Amount    money.Amount    `json:"amount"`
	Mint      chain.Address   `json:"mint"`
	Message   string          `json:"message,omitempty"`
	Memo      string          `json:"memo,omitempty"`
	Signature chain.Signature `json:"signature"`
}

// walletPay pays a Solana Pay URL, as wallet apps do.
func (a *app) walletPay() *cobra.Command {
	var keyFile, node, much string
	var yes bool
	c := &cobra.Command{
		Use:   "pay URL",
		Short: "Pay a Solana Pay URL with a key file, as a wallet app would",
		Long: `Pay sends the tokens that a Solana Pay URL asks for from a key file's wallet, with the memo and the references that the URL
names, and waits until the transfer is finalized. It is meant for local chains, devnet and scripts. The wallet must have a
little SOL for the fee.`,
		Example: "  raylink wallet pay 'solana:…' --key wallet.json --rpc http://127.0.0.1:8899",
		Args:    wants("URL"),
	}
	c.Flags().StringVar(&keyFile, "key", "", "the wallet's key file, as solana-keygen or `raylink wallet new` writes it")
	c.Flags().StringVar(&node, "rpc", "", "URL of a Solana node's JSON-RPC")
	c.Flags().StringVar(&much, "amount", "", "how much, where the URL leaves it to you")
	c.Flags().BoolVarP(&yes, "yes", "y", false, "spend without asking")
	format := outputFlag(c)
	c.RunE = func(c *cobra.Command, args []string) error {
		if keyFile == "" || node == "" {
			return usage(c, "--key FILE and --rpc URL are needed")
		}
		if !yes && !terminal(a.in) {
			return raylink.Errorf(raylink.CodeInvalid, "this spends money, and nobody is here to agree").WithHint("look at the URL, then add --yes")
		}
		key, err := solana.ReadKey(keyFile)
		if err != nil {
			return raylink.Errorf(raylink.CodeInvalid, "%v", err).WithHint("`raylink wallet new FILE` makes one")
		}
		line, err := solana.New(solana.Config{URL: node})
		if err != nil {
			return raylink.Errorf(raylink.CodeInvalid, "%v", err).WithHint("--rpc takes the http or https URL of a Solana node")
		}
		defer line.Close()
		ctx, cancel := context.WithTimeout(c.Context(), payLimit)
		defer cancel()
		order, err := readOrder(ctx, line, args[0], much)
		if err != nil {
			return err
		}
		order.From = key
		p, err := a.pay(ctx, line, order, yes)
		if err != nil {
			return err
		}
		return a.show(*format, p, func(w io.Writer) {
			fmt.Fprintf(w, "Paid %s from %s to %s.\nTransaction %s is finalized.\n", amount(p.Amount), p.From, p.To, p.Signature)
		})
	}
	return c
}

// order is a payment as the URL asks for it.
type order struct {
	localchain.Payment
	message string
}

// readOrder reads the URL. Which token it is of, the chain tells by the mint's decimals; a known mint is called by its name.
func readOrder(ctx context.Context, line *solana.Client, text, much string) (o order, err error) {
	address := chain.Address(mintIn(text))
	mint, err := findMint(ctx, line, address)
	if err != nil {
		return o, err
	}
	r, err := solanapay.Parse(text, map[string]money.Asset{string(address): mint.Asset})
	if err != nil {
		return o, raylink.Errorf(raylink.CodeInvalid, "%v", err).WithHint("`raylink topup` prints such a URL; put it in quotes")
	}
	if much != "" {
		given, err := money.Parse(much + " " + string(mint.Asset))
		if err != nil || given.Sign() <= 0 || r.Amount.Sign() != 0 && r.Amount != given {
			return o, raylink.Errorf(raylink.CodeInvalid, "--amount %s does not fit: the URL asks for %s", much, amount(r.Amount)).
				WithHint("leave --amount away where the URL names one; write it as 5 or 2.50")
		}
		r.Amount = given
	}
	if r.Amount.Sign() <= 0 {
		return o, raylink.Errorf(raylink.CodeInvalid, "the URL leaves the amount to you").WithHint("add --amount")
	}
	o = order{localchain.Payment{To: chain.Address(r.Recipient), Mint: mint, Amount: r.Amount.Minor, Memo: r.Memo}, r.Message}
	for _, reference := range r.References {
		o.References = append(o.References, chain.Address(reference))
	}
	return o, nil
}

// mintIn is the mint that a Solana Pay URL names.
func mintIn(text string) string {
	_, query, _ := strings.Cut(text, "?")
	values, err := url.ParseQuery(query)
	if err != nil {
		return ""
	}
	return values.Get("spl-token")
}

// findMint looks at the mint on the chain: USDC has 6 decimals, IO has 8.
func findMint(ctx context.Context, line *solana.Client, address chain.Address) (chain.Mint, error) {
	if err := solanapay.CheckAddress(string(address)); err != nil {
		return chain.Mint{}, raylink.Errorf(raylink.CodeInvalid, "the URL names no token").WithHint("a Solana Pay URL of a top-up has spl-token=…; put it in quotes")
	}
	var failures []error
	for _, asset := range []money.Asset{money.USDC, money.IO} {
		mint := solana.NewMint(asset, address)
		err := line.Check(ctx, mint)
		if err == nil {
			return mint, nil
		}
		failures = append(failures, err)
	}
	return chain.Mint{}, fmt.Errorf("looking at the token %s: %w", address, errors.Join(failures...))
}

// pay shows the payment, asks, and pays.
func (a *app) pay(ctx context.Context, line *solana.Client, o order, yes bool) (payment, error) {
	p := payment{From: localchain.AddressOf(o.From), To: o.To, Amount: money.Amount{Minor: o.Amount, Asset: o.Mint.Asset}, Mint: o.Mint.Address, Message: o.message, Memo: o.Memo}
	if !yes {
		fmt.Fprintf(a.err, "%s of the token %s\n  from %s\n  to   %s\n  for  %s\n", amount(p.Amount), p.Mint, p.From, p.To, strings.TrimSpace(p.Message+" "+p.Memo))
		ok, err := a.ask(ctx, "Pay it? [y/N] ")
		if err == nil && !ok {
			err = raylink.Errorf(raylink.CodeForbidden, "not paid: you did not agree")
		}
		if err != nil {
			return p, err
		}
	}
	list, err := o.Instructions()
	if err != nil {
		return p, err
	}
	block, err := line.Blockhash(ctx)
	if err != nil {
		return p, err
	}
	raw, name, err := localchain.Sign(list, block.Hash, o.From)
	if err != nil {
		return p, err
	}
	p.Signature = name
	return p, settleFinal(ctx, line, raw, name, block.LastValidHeight)
}

// settleFinal sends the same bytes until they are finalized, have failed, or can be taken no more.
func settleFinal(ctx context.Context, line *solana.Client, raw []byte, name chain.Signature, lastValid uint64) error {
	look := time.NewTicker(payLook)
	defer look.Stop()
	var sent time.Time
	for {
		height, err := line.Height(ctx) // before the status: what is unknown above its last height is dead
		var status chain.Status
		if err == nil {
			status, err = line.Status(ctx, name)
		}
		switch {
		case err != nil: // the line may come back; the context bounds it
		case status.Stage == chain.Finalized:
			return nil
		case status.Stage == chain.Failed:
			return raylink.Errorf(raylink.CodeFunds, "transaction %s failed: %s", name, status.Reason).WithHint("nothing moved; does the wallet hold enough of the token?")
		case status.Stage == chain.Unknown && height > lastValid:
			return raylink.Errorf(raylink.CodeUnavailable, "transaction %s was not taken in time", name).WithHint("nothing moved; try again")
		case status.Stage == chain.Unknown && time.Since(sent) >= payAgain:
			sent = time.Now()
			var refused *chain.RefusedError
			if err := line.Send(ctx, raw); errors.As(err, &refused) && refused.Code != chain.Replayed {
				return raylink.Errorf(raylink.CodeFunds, "%v", err).WithHint("nothing moved; does the wallet hold enough of the token, and SOL for the fee?")
			}
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("waiting for transaction %s: %w", name, ctx.Err())
		case <-look.C:
		}
	}
}
