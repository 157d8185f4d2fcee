package main

import (
	"bufio"
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"raylink/billing/settle/chain"
	"raylink/billing/settle/chain/solana"
	"raylink/raylink"
	"raylink/raylink/wire"
)

// signatureLimit is the most characters that are read of a signature.
const signatureLimit = 4 << 10

// wallet holds the verbs on wallets; each has a constructor of its own.
func (a *app) wallet() *cobra.Command {
	return parent("wallet", "Prove and list the wallets that are yours", "",
		a.walletNew(),
		a.walletPay(),
		a.walletProve(),
		a.walletList(),
		a.walletRemove(),
	)
}

func (a *app) walletList() *cobra.Command {
	c := &cobra.Command{Use: "list", Aliases: []string{"ls"}, Short: "List your proven wallets", Example: "  raylink wallet list", Args: wants()}
	return remote(a, c, func(c *cobra.Command, s *session, _ []string) ([]wire.Wallet, error) { return s.Wallets(c.Context()) }, showWallets)
}

func showWallets(w io.Writer, list []wire.Wallet) {
	if len(list) == 0 {
		fmt.Fprintln(w, "No wallet is proven. `raylink wallet prove ADDRESS` proves one.")
		return
	}
	rows := [][]string{{"ADDRESS", "PROVEN"}}
	for _, x := range list {
		rows = append(rows, []string{x.Address, ago(&x.At)})
	}
	grid(w, "", rows...)
}

func (a *app) walletRemove() *cobra.Command {
	c := &cobra.Command{
		Use: "remove ADDRESS", Short: "Forget a proven wallet",
		Long: `Remove takes a wallet off your account: nothing new is paid to it, and what it sends counts as yours only with a top-up's
reference. What was on its way to it already is paid to it all the same.`,
		Example: "  raylink wallet remove 7xKXtg2CW87d97TXJSDpbD5jBkheTqA83TZRuJosgAsU", Args: wants("ADDRESS"), ValidArgsFunction: a.walletNames,
	}
	return remote(a, c, func(c *cobra.Command, s *session, args []string) ([]wire.Wallet, error) {
		known, err := s.Wallets(c.Context())
		if err != nil {
			return nil, err
		}
		for _, x := range known {
			if x.Address == args[0] {
				return s.RemoveWallet(c.Context(), x.Address)
			}
		}
		return nil, raylink.Errorf(raylink.CodeNotFound, "%.60q is no proven wallet of yours", args[0]).WithHint("`raylink wallet list` shows them")
	}, showWallets)
}

type proofOptions struct{ key, nonce, signature string }

func (a *app) walletProve() *cobra.Command {
	var o proofOptions
	c := &cobra.Command{
		Use:   "prove [ADDRESS]",
		Short: "Prove that a wallet is yours, by signing a text with it",
		Long: `Prove is needed once for each wallet that money is paid to. You sign a text that names your account with the wallet (a wallet app
calls it "sign message"); that moves nothing. --key signs with a key file as solana-keygen writes it. Without it the text is shown, and the
signature (base58 or base64) is read from standard input, or given with --nonce and --signature in a second call.`,
		Example: "  raylink wallet prove --key wallet.json\n  raylink wallet prove 7xKXtg2CW87d97TXJSDpbD5jBkheTqA83TZRuJosgAsU\n" +
			"  raylink wallet prove 7xKXtg2CW87d97TXJSDpbD5jBkheTqA83TZRuJosgAsU --nonce nonce-abcdefghij --signature BASE58",
		Args: wants("[ADDRESS]"),
	}
	c.Flags().StringVar(&o.key, "key", "", "the wallet's key file, which only you can read; it is not sent")
	c.Flags().StringVar(&o.nonce, "nonce", "", "of the text that was signed, as an earlier call has shown it")
	c.Flags().StringVar(&o.signature, "signature", "", "over that text, in base58 or base64")
	format := outputFlag(c)
	c.RunE = func(c *cobra.Command, args []string) error {
		address, key, err := o.wallet(c, args)
		if err != nil {
			return err
		}
		s, err := a.open()
		if err != nil {
			return err
		}
		defer s.Close()
		r := wire.WalletRequest{Address: address, Nonce: o.nonce, Signature: o.signature}
		if r.Signature == "" {
			challenge, err := s.ChallengeWallet(c.Context(), address)
			if err != nil {
				return err
			}
			if key == nil && *format != "table" {
				return a.show(*format, challenge, nil) // for a program that signs, and calls again
			}
			r.Nonce = challenge.Nonce
			if r.Signature, err = a.signature(c.Context(), challenge, key); err != nil {
				return err
			}
		}
		list, err := s.ProveWallet(c.Context(), r)
		if err != nil {
			return err
		}
		return a.show(*format, list, func(w io.Writer) {
			fmt.Fprintf(w, "%s is proven.\n\n", address)
			showWallets(w, list)
		})
	}
	return c
}

// wallet is the address that is to be proven, and its key if there is a file with it.
func (o proofOptions) wallet(c *cobra.Command, args []string) (string, ed25519.PrivateKey, error) {
	if (o.nonce == "") != (o.signature == "") {
		return "", nil, usage(c, "--nonce and --signature go together: the one that the text had, and the one over it")
	}
	if o.key == "" {
		if len(args) == 0 {
			return "", nil, usage(c, "ADDRESS is missing")
		}
		return args[0], nil, nil
	}
	if o.signature != "" {
		return "", nil, usage(c, "--key makes the signature: it does not go with --signature")
	}
	key, err := solana.ReadKey(o.key)
	if err != nil {
		return "", nil, raylink.Errorf(raylink.CodeInvalid, "%v", err).WithHint("--key names a file of solana-keygen that only you can read")
	}
	address := string(chain.AddressOf(key.Public().(ed25519.PublicKey)))
	if len(args) > 0 && args[0] != address {
		return "", nil, usage(c, "%s is the key of %s, not of %.60s", o.key, address, args[0])
	}
	return address, key, nil
}

// signature is the one over the text: by the key, or by whoever reads it.
func (a *app) signature(ctx context.Context, challenge wire.WalletChallenge, key ed25519.PrivateKey) (string, error) {
	if key != nil {
		return string(chain.SignatureOf(ed25519.Sign(key, []byte(challenge.Text)))), nil
	}
	fmt.Fprintf(a.out, "Sign this text with the wallet, to the byte: it has %d bytes, and the last one ends its last line.\n\n%s\n", len(challenge.Text), challenge.Text)
	if terminal(a.in) {
		fmt.Fprint(a.err, "Signature, in base58 or base64: ")
	}
	line, err := answered(ctx, func() (string, error) { return bufio.NewReader(io.LimitReader(a.in, signatureLimit)).ReadString('\n') })
	if err != nil && !errors.Is(err, io.EOF) {
		return "", fmt.Errorf("reading the signature: %w", err)
	}
	if line = strings.TrimSpace(line); line == "" {
		return "", raylink.Errorf(raylink.CodeInvalid, "no signature was given").
			WithHint("sign the text within 15 minutes, then: raylink wallet prove %s --nonce %s --signature SIGNATURE", challenge.Address, challenge.Nonce)
	}
	return line, nil
}

// walletNames completes the proven wallets.
func (a *app) walletNames(c *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
	ctx, cancel := context.WithTimeout(c.Context(), 2*time.Second)
	defer cancel()
	s, err := a.open()
	if err != nil || len(args) > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	defer s.Close()
	list, err := s.Wallets(ctx)
	if err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	var names []string
	for _, x := range list {
		names = append(names, x.Address)
	}
	return names, cobra.ShellCompDirectiveNoFileComp
}
