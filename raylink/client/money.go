package client

import (
	"context"
	"io"
	"net/http"
	"net/url"

	"raylink/billing/payout"
	"raylink/billing/price"
	"raylink/raylink"
	"raylink/raylink/wire"
)

// SetCap bounds what the caller's account spends in a day (UTC); zero takes the bound away.
func (c *Client) SetCap(ctx context.Context, r wire.CapRequest) (wire.Balance, error) {
	return write[wire.Balance](ctx, c, http.MethodPut, at("cap"), r)
}

// SetBudget changes the most that a cluster may ever cost, in USD, and when it warns before; zero is no limit but the purse.
func (c *Client) SetBudget(ctx context.Context, idOrName string, r wire.BudgetRequest) (wire.Cluster, error) {
	return write[wire.Cluster](ctx, c, http.MethodPut, at("clusters", idOrName, "budget"), r)
}

// Topup announces money that is to come; the answer says how to pay it.
func (c *Client) Topup(ctx context.Context, r wire.TopupRequest) (wire.Topup, error) {
	return write[wire.Topup](ctx, c, http.MethodPost, at("topups"), r)
}

// Topups lists the caller's top-ups, the newest first; an admin's call lists all.
func (c *Client) Topups(ctx context.Context) ([]wire.Topup, error) {
	return get[[]wire.Topup](ctx, c, at("topups"), nil)
}

// TopupByID is one top-up.
func (c *Client) TopupByID(ctx context.Context, id string) (wire.Topup, error) {
	return get[wire.Topup](ctx, c, at("topups", id), nil)
}

// ChallengeWallet asks for the text that proves a wallet when it is signed with it.
func (c *Client) ChallengeWallet(ctx context.Context, address string) (wire.WalletChallenge, error) {
	return write[wire.WalletChallenge](ctx, c, http.MethodPost, at("wallets", "challenge"), wire.WalletRequest{Address: address})
}

// ProveWallet shows the signature over a challenge's text.
func (c *Client) ProveWallet(ctx context.Context, r wire.WalletRequest) ([]wire.Wallet, error) {
	return write[[]wire.Wallet](ctx, c, http.MethodPost, at("wallets"), r)
}

// Wallets are the caller's proven wallets.
func (c *Client) Wallets(ctx context.Context) ([]wire.Wallet, error) {
	return get[[]wire.Wallet](ctx, c, at("wallets"), nil)
}

// RemoveWallet forgets a wallet of the caller's.
func (c *Client) RemoveWallet(ctx context.Context, address string) ([]wire.Wallet, error) {
	return write[[]wire.Wallet](ctx, c, http.MethodDelete, at("wallets", address), nil)
}

// Settlement is how the caller is paid as a supplier.
func (c *Client) Settlement(ctx context.Context) (wire.Settlement, error) {
	return get[wire.Settlement](ctx, c, at("settlement"), nil)
}

// SetSettlement changes it.
func (c *Client) SetSettlement(ctx context.Context, r wire.Settlement) (wire.Settlement, error) {
	return write[wire.Settlement](ctx, c, http.MethodPut, at("settlement"), r)
}

// Earnings is what an account has earned as a supplier; the caller's own for an empty id.
func (c *Client) Earnings(ctx context.Context, id raylink.AccountID) (wire.Earnings, error) {
	return get[wire.Earnings](ctx, c, at("earnings"), accountQuery(id))
}

// EarningsFile copies to w what the journal says of an account's earnings, with the group's receipt: what `raylink verify` takes. The caller's own for an empty
// id. See Journal for its errors.
func (c *Client) EarningsFile(ctx context.Context, id raylink.AccountID, w io.Writer) error {
	return c.copied(ctx, at("earnings", "export"), accountQuery(id), w)
}

func accountQuery(id raylink.AccountID) url.Values {
	query := url.Values{}
	if id != "" {
		query.Set("account", string(id))
	}
	return query
}

// Withdraw takes unspent balance out, to a proven wallet or back to the card.
func (c *Client) Withdraw(ctx context.Context, r wire.WithdrawalRequest) (payout.Payout, error) {
	return write[payout.Payout](ctx, c, http.MethodPost, at("withdrawals"), r)
}

// Payouts lists the caller's payouts, the newest first; an admin's call lists all, or those of an account.
func (c *Client) Payouts(ctx context.Context, id raylink.AccountID) ([]payout.Payout, error) {
	return get[[]payout.Payout](ctx, c, at("payouts"), accountQuery(id))
}

// ChangePayout approves, retries or cancels a payout.
func (c *Client) ChangePayout(ctx context.Context, id, action string) (payout.Payout, error) {
	return write[payout.Payout](ctx, c, http.MethodPost, at("payouts", id, action), wire.PayoutAction{})
}

// Price is what IO costs, and whether that is believed.
func (c *Client) Price(ctx context.Context) (wire.Price, error) {
	return get[wire.Price](ctx, c, at("price"), nil)
}

// Versions is the policy of minimum versions.
func (c *Client) Versions(ctx context.Context) (wire.Versions, error) {
	return get[wire.Versions](ctx, c, at("policy", "versions"), nil)
}

// SetVersions replaces it by one that an operator has signed; admins only.
func (c *Client) SetVersions(ctx context.Context, v wire.Versions) (wire.Versions, error) {
	return write[wire.Versions](ctx, c, http.MethodPut, at("policy", "versions"), v)
}

// SetPrice tells a sample; admins only.
func (c *Client) SetPrice(ctx context.Context, r wire.PriceRequest) (wire.Price, error) {
	return write[wire.Price](ctx, c, http.MethodPost, at("price"), r)
}

// SetPricePolicy says which sources count; admins only.
func (c *Client) SetPricePolicy(ctx context.Context, p price.Policy) (wire.Price, error) {
	return write[wire.Price](ctx, c, http.MethodPut, at("price", "policy"), p)
}

// HaltPrice stops settlement in IO, or lets it go on where the reason is empty; admins only.
func (c *Client) HaltPrice(ctx context.Context, reason string) (wire.Price, error) {
	return write[wire.Price](ctx, c, http.MethodPost, at("price", "halt"), wire.HaltRequest{Reason: reason})
}

// Treasury is the admin's page of money.
func (c *Client) Treasury(ctx context.Context) (wire.Treasury, error) {
	return get[wire.Treasury](ctx, c, at("treasury"), nil)
}

// SetTreasury names the tokens that are taken.
func (c *Client) SetTreasury(ctx context.Context, r wire.TreasuryRequest) (wire.Treasury, error) {
	return write[wire.Treasury](ctx, c, http.MethodPut, at("treasury"), r)
}

// SetPayoutPolicy bounds payouts.
func (c *Client) SetPayoutPolicy(ctx context.Context, r wire.PayoutPolicyRequest) (wire.Treasury, error) {
	return write[wire.Treasury](ctx, c, http.MethodPut, at("treasury", "payouts"), r)
}

// SetBuyback sets the policy of buying back and burning.
func (c *Client) SetBuyback(ctx context.Context, r wire.BuybackRequest) (wire.Treasury, error) {
	return write[wire.Treasury](ctx, c, http.MethodPut, at("treasury", "buyback"), r)
}

// RunPayouts pays suppliers now, out of turn.
func (c *Client) RunPayouts(ctx context.Context) (wire.Treasury, error) {
	return write[wire.Treasury](ctx, c, http.MethodPost, at("treasury", "run"), struct{}{})
}

// HaltPayouts stops payouts of an asset, or of all, or lets them go on where the reason is empty.
func (c *Client) HaltPayouts(ctx context.Context, r wire.HaltRequest) (wire.Treasury, error) {
	return write[wire.Treasury](ctx, c, http.MethodPost, at("treasury", "halt"), r)
}

// RecordSwap books a swap that was done outside.
func (c *Client) RecordSwap(ctx context.Context, r wire.SwapRequest) (wire.Treasury, error) {
	return write[wire.Treasury](ctx, c, http.MethodPost, at("treasury", "swaps"), r)
}

// AssignSuspense credits a deposit in suspense to an account.
func (c *Client) AssignSuspense(ctx context.Context, r wire.AssignRequest) (wire.Treasury, error) {
	return write[wire.Treasury](ctx, c, http.MethodPost, at("suspense", "assign"), r)
}

// RefundSuspense returns a deposit in suspense to a proven wallet.
func (c *Client) RefundSuspense(ctx context.Context, r wire.RefundRequest) (payout.Payout, error) {
	return write[payout.Payout](ctx, c, http.MethodPost, at("suspense", "refund"), r)
}

// PardonCard lets an account pay by card again; admins only.
func (c *Client) PardonCard(ctx context.Context, id raylink.AccountID) (wire.Account, error) {
	return write[wire.Account](ctx, c, http.MethodPost, at("accounts", string(id), "pardon"), struct{}{})
}

// SignerWork is what a signer is asked to sign.
func (c *Client) SignerWork(ctx context.Context) (wire.SignerWork, error) {
	return get[wire.SignerWork](ctx, c, at("signer", "work"), nil)
}

// RecordAnchor tells which finalized transaction carries a checkpoint's memo.
func (c *Client) RecordAnchor(ctx context.Context, r wire.AnchorRequest) error {
	return c.do(ctx, call{method: http.MethodPost, path: at("signer", "anchors"), in: r, key: newKey()})
}

// RecordAttempt tells of a signed transaction before anybody may send it. The same once more is no error.
func (c *Client) RecordAttempt(ctx context.Context, a payout.Attempted) error {
	return c.do(ctx, call{method: http.MethodPost, path: at("signer", "attempts"), in: a, key: newKey()})
}
