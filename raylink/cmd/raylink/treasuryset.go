package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"time"

	"github.com/spf13/cobra"

	"raylink/billing/deposit"
	"raylink/billing/money"
	"raylink/billing/settle/chain"
	"raylink/billing/settle/chain/solana"
	"raylink/raylink"
	"raylink/raylink/wire"
)

type treasuryOptions struct {
	chain, wallet, usdc, io, rpc string
	least, two                   []string
}

func (a *app) treasurySet() *cobra.Command {
	var o treasuryOptions
	c := &cobra.Command{
		Use:   "set",
		Short: "Name the chain, the tokens that are taken, and the wallet that holds them",
		Long: `Set names the treasury: tokens of these mints, by the plain token program, sent to this wallet's token accounts, are credited; nothing else is. On mainnet
the mints of USDC and IO are known, on devnet that of USDC; --usdc-mint and --io-mint name others. --rpc has a node asked whether all of it is
there. Where no mint of IO is known and none is given, only USDC is taken. Changing a token's mint or wallet sends all new payments elsewhere: it asks
first, and is refused while the treasury holds any of that token, pays some out, or somebody's top-up of it is open; so choose a wallet to stay with.`,
		Example: "  raylink admin treasury set --chain mainnet --wallet 7xKXtg2CW87d97TXJSDpbD5jBkheTqA83TZRuJosgAsU\n" +
			"  raylink admin treasury set --chain local --wallet ADDRESS --usdc-mint ADDRESS --io-mint ADDRESS --rpc http://127.0.0.1:8899",
		Args: wants(),
	}
	f := c.Flags()
	f.StringVar(&o.chain, "chain", "", "mainnet, devnet or local")
	f.StringVar(&o.wallet, "wallet", "", "our wallet, whose key a signer has")
	f.StringVar(&o.usdc, "usdc-mint", "", "mint of USDC, where it is not the chain's own")
	f.StringVar(&o.io, "io-mint", "", "mint of IO, where it is not the chain's own")
	f.StringVar(&o.rpc, "rpc", "", "a node to check this with [RAYLINK_SOLANA_RPC, which others on this machine cannot see]")
	f.StringArrayVar(&o.least, "least", nil, "smaller deposits stay in suspense, such as '0.1 USDC'; for each token")
	f.StringArrayVar(&o.two, "two-nodes", nil, "greater deposits are credited only if two nodes agree, else they wait in suspense; such as '1000 USDC' (0: never); for each token")
	_ = c.RegisterFlagCompletionFunc("chain", cobra.FixedCompletions([]string{"mainnet", "devnet", "local"}, cobra.ShellCompDirectiveNoFileComp))
	yes := yesFlag(c)
	return remote(a, c, func(c *cobra.Command, s *session, _ []string) (wire.Treasury, error) {
		treasury, err := o.treasury(c)
		if err != nil {
			return wire.Treasury{}, err
		}
		if o.rpc = cmp.Or(o.rpc, a.getenv(rpcVariable)); o.rpc != "" {
			if err := o.check(c.Context(), treasury); err != nil {
				return wire.Treasury{}, err
			}
		}
		now, err := s.Treasury(c.Context())
		if err != nil {
			return now, err
		}
		rules, err := o.rules(c, now.Rules)
		if err != nil {
			return now, err
		}
		if len(now.Mints) > 0 && !reflect.DeepEqual(now.Mints, treasury) {
			if err := a.agree(c.Context(), *yes, fmt.Sprintf("Send all new payments to wallet %s on %s instead of %s on %s", o.wallet, o.chain, now.Mints[0].Wallet, now.Chain)); err != nil {
				return now, err
			}
		}
		return s.SetTreasury(c.Context(), wire.TreasuryRequest{Chain: o.chain, Treasury: treasury, Rules: &rules})
	}, a.showTreasury)
}

// preset is what is known of the chain.
func preset(c *cobra.Command, name string) (solana.Preset, error) {
	switch name {
	case "mainnet":
		return solana.Mainnet(), nil
	case "devnet":
		return solana.Devnet(), nil
	case "local":
		return solana.Preset{Name: name, USDC: solana.NewMint(money.USDC, ""), IO: solana.NewMint(money.IO, "")}, nil
	}
	return solana.Preset{}, usage(c, "--chain takes mainnet, devnet or local, not %q", name)
}

// treasury are the mints with our token accounts, sorted by asset as the network keeps them.
func (o treasuryOptions) treasury(c *cobra.Command) (deposit.Treasury, error) {
	known, err := preset(c, o.chain)
	if err != nil {
		return nil, err
	}
	if o.wallet == "" {
		return nil, usage(c, "--wallet is missing")
	}
	var list deposit.Treasury
	for _, x := range []struct {
		mint  chain.Mint
		given string
	}{{known.IO, o.io}, {known.USDC, o.usdc}} {
		if x.given != "" {
			x.mint.Address = chain.Address(x.given)
		}
		if x.mint.Address == "" {
			continue
		}
		account, err := solana.NewBuilder(x.mint).TokenAccount(chain.Address(o.wallet), x.mint)
		if err != nil {
			return nil, usage(c, "the wallet %.60q or the mint %.60q is not an address: %v", o.wallet, x.mint.Address, err)
		}
		list = append(list, deposit.Mint{Asset: x.mint.Asset, Mint: string(x.mint.Address), Program: string(x.mint.Program), Decimals: x.mint.Decimals,
			Account: string(account), Wallet: o.wallet})
	}
	if len(list) == 0 {
		return nil, usage(c, "a local chain has no mints that are known: give --usdc-mint or --io-mint")
	}
	return list, nil
}

// check asks the node whether mints and token accounts are there.
func (o treasuryOptions) check(ctx context.Context, list deposit.Treasury) error {
	node, err := solana.New(solana.Config{URL: o.rpc, Timeout: rpcTimeout})
	if err != nil {
		return raylink.Errorf(raylink.CodeInvalid, "--rpc: %v", err).WithHint("it is a URL such as http://127.0.0.1:8899")
	}
	defer node.Close()
	if known, _ := preset(nil, o.chain); known.Genesis != "" {
		if err := node.CheckGenesis(ctx, known.Genesis); err != nil {
			return raylink.Errorf(raylink.CodeConflict, "the node is not one of %s: %v", o.chain, err)
		}
	}
	for _, m := range list {
		if err := node.Check(ctx, chain.Mint{Asset: m.Asset, Address: chain.Address(m.Mint), Program: chain.Address(m.Program), Decimals: m.Decimals}); err != nil {
			return raylink.Errorf(raylink.CodeConflict, "the mint of %s: %v", m.Asset, err)
		}
		_, err := node.Account(ctx, chain.Address(m.Account))
		if errors.Is(err, chain.ErrNoAccount) {
			return raylink.Errorf(raylink.CodeConflict, "wallet %s has no account for %s", m.Wallet, m.Asset).WithHint("make one: send it any amount of that token from a wallet app")
		}
		if err != nil {
			return fmt.Errorf("looking at our account for %s: %w", m.Asset, err)
		}
	}
	return nil
}

// How a node is asked: rpcTimeout bounds one call, and rpcVariable names it where no flag does, because the URL of a provider's node holds a key.
const (
	rpcTimeout  = 20 * time.Second
	rpcVariable = "RAYLINK_SOLANA_RPC"
)

// rules are those that hold now, with what the flags say.
func (o treasuryOptions) rules(c *cobra.Command, now deposit.Rules) (deposit.Rules, error) {
	if now.Min == nil && now.Big == nil {
		now = deposit.DefaultRules()
	}
	rules := deposit.Rules{}
	var err error
	if rules.Min, err = bounds(c, now.Min, o.least); err == nil {
		rules.Big, err = bounds(c, now.Big, o.two)
	}
	return rules, err
}

// bounds changes the bounds of those tokens that the texts name.
func bounds(c *cobra.Command, now map[money.Asset]int64, texts []string) (map[money.Asset]int64, error) {
	changed := maps.Clone(now)
	if changed == nil {
		changed = map[money.Asset]int64{}
	}
	for _, text := range texts {
		v, err := sumOrZero(c, text, "")
		if err != nil {
			return nil, err
		}
		if v.Asset == money.USD {
			return nil, usage(c, "bounds are of USDC and IO, not of %s", amount(v))
		}
		changed[v.Asset] = v.Minor
	}
	return changed, nil
}

func (a *app) treasuryCaps() *cobra.Command {
	var perPayout, perHour, minimum []string
	var often string
	c := &cobra.Command{
		Use:   "caps",
		Short: "Bound what may leave: in one payout, in an hour, how little, how often",
		Long: `Caps changes the bounds of payouts; what is not given stays. More than a cap waits for ` + "`raylink admin payout approve`" + `. Each bound names its token and may be
given twice, once for each. The state machine enforces them, and a signer has its own besides.`,
		Example: "  raylink admin treasury caps --per-payout '500 USDC' --per-payout '2000 IO' --per-hour '5000 USDC'\n  raylink admin treasury caps --minimum '2 USDC' --every 6h", Args: wants(),
	}
	c.Flags().StringArrayVar(&perPayout, "per-payout", nil, "most in one payout, such as '500 USDC'")
	c.Flags().StringArrayVar(&perHour, "per-hour", nil, "most in any hour")
	c.Flags().StringArrayVar(&minimum, "minimum", nil, "least in one payout")
	c.Flags().StringVar(&often, "every", "", "how often suppliers are paid, such as 1h")
	return remote(a, c, func(c *cobra.Command, s *session, _ []string) (wire.Treasury, error) {
		if c.Flags().NFlag() == 0 {
			return wire.Treasury{}, usage(c, "what is to change? --per-payout, --per-hour, --minimum or --every")
		}
		now, err := s.Treasury(c.Context())
		if err != nil {
			return now, err
		}
		r := wire.PayoutPolicyRequest{Policy: now.Policy, Every: now.Every}
		if often != "" {
			if _, err := time.ParseDuration(often); err != nil {
				return now, usage(c, "--every is a duration such as 1h, not %q", often)
			}
			r.Every = often
		}
		for _, b := range []struct {
			into  *map[money.Asset]int64
			texts []string
		}{{&r.Policy.PerPayout, perPayout}, {&r.Policy.PerHour, perHour}, {&r.Policy.Minimum, minimum}} {
			if *b.into, err = bounds(c, *b.into, b.texts); err != nil {
				return now, err
			}
		}
		return s.SetPayoutPolicy(c.Context(), r)
	}, a.showTreasury)
}
