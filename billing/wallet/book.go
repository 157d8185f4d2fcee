package wallet

import (
	"cmp"
	"slices"
	"time"

	"raylink/raylink"
)

// Challenge is a nonce that an account may sign.
type Challenge struct {
	Account   string
	ExpiresAt time.Time
}

// Proven is a wallet that an account has shown to hold.
type Proven struct {
	Address string
	At      time.Time
}

// Book is which account holds which wallets. It is a plain value of the replicated state; after an error nothing has changed.
type Book struct {
	Challenges map[string]Challenge // by nonce
	Wallets    map[string][]Proven  // by account, oldest first
	Owners     map[string][]string  // accounts by address, sorted: more than one may share a wallet
}

// NewBook is a book without wallets.
func NewBook() *Book {
	return &Book{Challenges: map[string]Challenge{}, Wallets: map[string][]Proven{}, Owners: map[string][]string{}}
}

// Challenge gives the account a nonce to sign within ChallengeLife; it must be random and new. Expired nonces of the same account go.
func (b *Book) Challenge(now time.Time, account, nonce string) error {
	if !plain(account) || !plain(nonce) || len(nonce) < 16 {
		return raylink.Errorf(raylink.CodeInvalid, "a nonce has 16 to %d visible ASCII characters", maxPart)
	}
	if was, ok := b.Challenges[nonce]; ok {
		if was.Account == account {
			return nil
		}
		return raylink.Errorf(raylink.CodeConflict, "this nonce was given out already").WithHint("ask again")
	}
	open, expired := 0, []string{}
	for other, c := range b.Challenges {
		switch {
		case !now.Before(c.ExpiresAt):
			expired = append(expired, other)
		case c.Account == account:
			open++
		}
	}
	if open >= MaxChallenges {
		return raylink.Errorf(raylink.CodeTooLarge, "account %s has %d open challenges", account, open).WithHint("sign one of them, or wait %s", ChallengeLife)
	}
	for _, other := range expired {
		delete(b.Challenges, other)
	}
	b.Challenges[nonce] = Challenge{Account: account, ExpiresAt: now.Add(ChallengeLife)}
	return nil
}

// Prove takes the address in as the account's, if the signature over one of the account's nonces is good, and uses the nonce up. A wallet
// that is the account's already stays as it is.
func (b *Book) Prove(now time.Time, group, account, address, nonce, signature string) error {
	if b.Has(account, address) {
		return nil
	}
	challenge, ok := b.Challenges[nonce]
	if !ok || challenge.Account != account || !now.Before(challenge.ExpiresAt) {
		return raylink.Errorf(raylink.CodeForbidden, "this nonce is not one that account %s may sign now", account).WithHint("ask for a new one and sign it within %s", ChallengeLife)
	}
	if err := Verify(group, account, address, nonce, signature); err != nil {
		return err
	}
	if len(b.Wallets[account]) >= MaxWallets {
		return raylink.Errorf(raylink.CodeTooLarge, "account %s has %d wallets already", account, MaxWallets).WithHint("remove one first")
	}
	delete(b.Challenges, nonce)
	b.Wallets[account] = append(b.Wallets[account], Proven{Address: address, At: now.UTC()})
	owners := append(slices.Clone(b.Owners[address]), account)
	slices.Sort(owners)
	b.Owners[address] = owners
	return nil
}

// Remove forgets that the account holds the address; one that it does not hold is no error.
func (b *Book) Remove(account, address string) {
	if !b.Has(account, address) {
		return
	}
	b.Wallets[account] = slices.DeleteFunc(slices.Clone(b.Wallets[account]), func(p Proven) bool { return p.Address == address })
	if len(b.Wallets[account]) == 0 {
		delete(b.Wallets, account)
	}
	b.Owners[address] = slices.DeleteFunc(slices.Clone(b.Owners[address]), func(a string) bool { return a == account })
	if len(b.Owners[address]) == 0 {
		delete(b.Owners, address)
	}
}

// Has says whether the address is a proven wallet of the account.
func (b *Book) Has(account, address string) bool {
	_, found := slices.BinarySearch(b.Owners[address], account)
	return found
}

// OwnersOf are the accounts that have proven the address, sorted.
func (b *Book) OwnersOf(address string) []string { return b.Owners[address] }

// Of are the account's wallets by their addresses.
func (b *Book) Of(account string) []Proven {
	list := slices.Clone(b.Wallets[account])
	slices.SortFunc(list, func(x, y Proven) int { return cmp.Compare(x.Address, y.Address) })
	return list
}
