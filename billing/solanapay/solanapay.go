// Package solanapay writes and reads the URL of a Solana Pay transfer request, version 1 of the specification in the repository
// solana-foundation/solana-pay: solana:<recipient>?amount=…&spl-token=<mint>&reference=…&label=…&message=…&memo=…
//
// Only requests for a token are known here; without a mint the URL would ask for SOL, which nobody credits. The recipient is a
// wallet, never its token account: the payer's wallet derives that. The URL is a wish and proves nothing; what counts is what arrives.
package solanapay

import (
	"cmp"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"unicode"
	"unicode/utf8"

	"raylink/billing/money"
)

// Limits of a request. Sizes are bytes before escaping; MaxURL keeps the QR code small enough for a terminal.
const (
	MaxURL        = 1024
	MaxReferences = 8
	MaxLabel      = 64
	MaxMessage    = 200
	MaxMemo       = 128
)

// What New and Parse refuse; tell them apart with errors.Is.
var (
	ErrSyntax  = errors.New("not a Solana Pay transfer request")
	ErrAddress = errors.New("not 32 bytes in base58")
	ErrMint    = errors.New("mint is not one that we take")
	ErrAmount  = errors.New("amount cannot be asked for")
	ErrText    = errors.New("text is too long or has characters that cannot be shown")
)

// Request asks for a transfer of a token. Addresses are 32 bytes in base58.
type Request struct {
	Recipient  string       // the wallet that receives, not its token account
	Mint       string       // of the token
	Amount     money.Amount // never negative; zero leaves the amount to the payer. Its asset is the mint's
	References []string     // keys that let us find the transaction; any 32 bytes
	Label      string       // who asks
	Message    string       // what for
	Memo       string       // goes onto the chain, for all to read
}

const scheme = "solana:"

// New is the request's URL, always spelled in the same way. An error names the field.
func New(r Request) (string, error) {
	if err := check(r); err != nil {
		return "", fmt.Errorf("writing a transfer request: %w", err)
	}
	var b strings.Builder
	b.WriteString(scheme + r.Recipient)
	mark := byte('?')
	add := func(key, value string) {
		if value != "" {
			b.WriteByte(mark)
			b.WriteString(key + "=" + escape(value))
			mark = '&'
		}
	}
	add("amount", amountText(r.Amount))
	add("spl-token", r.Mint)
	for _, reference := range r.References {
		add("reference", reference)
	}
	add("label", r.Label)
	add("message", r.Message)
	add("memo", r.Memo)
	if b.Len() > MaxURL {
		return "", fmt.Errorf("writing a transfer request: %w: %d bytes, at most %d", ErrText, b.Len(), MaxURL)
	}
	return b.String(), nil
}

// Parse reads a request strictly: each field at most once (references apart), none unknown, the mint one of mints, the amount
// with at most its decimals and without an exponent. What it accepts, New writes in a form that reads the same.
func Parse(text string, mints map[string]money.Asset) (Request, error) {
	r, err := parse(text, mints)
	if err != nil {
		return Request{}, fmt.Errorf("reading a transfer request: %w", err)
	}
	return r, nil
}

func parse(text string, mints map[string]money.Asset) (Request, error) {
	if len(text) > MaxURL {
		return Request{}, fmt.Errorf("%w: %d bytes, at most %d", ErrSyntax, len(text), MaxURL)
	}
	rest, found := strings.CutPrefix(text, scheme)
	if !found {
		return Request{}, fmt.Errorf("%w: it does not begin with %q", ErrSyntax, scheme)
	}
	recipient, query, _ := strings.Cut(rest, "?")
	fields, references, err := readQuery(query)
	if err != nil {
		return Request{}, err
	}
	asset, known := mints[fields["spl-token"]]
	if !known || asset.Decimals() < 0 {
		return Request{}, fmt.Errorf("%w: %.60q", ErrMint, fields["spl-token"])
	}
	amount, err := readAmount(fields["amount"], asset)
	if err != nil {
		return Request{}, err
	}
	r := Request{Recipient: recipient, Mint: fields["spl-token"], Amount: amount, References: references,
		Label: fields["label"], Message: fields["message"], Memo: fields["memo"]}
	return r, check(r)
}

// readQuery takes the query apart. A plus reads as a space, as wallets read it; New writes %20.
func readQuery(query string) (fields map[string]string, references []string, err error) {
	fields = map[string]string{}
	for query != "" {
		var field string
		field, query, _ = strings.Cut(query, "&")
		key, raw, found := strings.Cut(field, "=")
		value, err := url.QueryUnescape(raw)
		if !found || err != nil || value == "" {
			return nil, nil, fmt.Errorf("%w: field %.60q", ErrSyntax, field)
		}
		switch key {
		case "reference":
			if len(references) == MaxReferences {
				return nil, nil, fmt.Errorf("%w: more than %d references", ErrSyntax, MaxReferences)
			}
			references = append(references, value)
		case "amount", "spl-token", "label", "message", "memo":
			if _, twice := fields[key]; twice {
				return nil, nil, fmt.Errorf("%w: %s twice", ErrSyntax, key)
			}
			fields[key] = value
		default:
			return nil, nil, fmt.Errorf("%w: unknown field %.60q", ErrSyntax, key)
		}
	}
	return fields, references, nil
}

// readAmount reads the amount; where there is none it is zero. An explicit zero asks for nothing and is refused.
func readAmount(text string, asset money.Asset) (money.Amount, error) {
	if text == "" {
		return money.Amount{Asset: asset}, nil
	}
	amount, err := money.Parse(text + " " + string(asset))
	if err != nil {
		return money.Amount{}, fmt.Errorf("%w: %w", ErrAmount, err)
	}
	if amount.Minor <= 0 {
		return money.Amount{}, fmt.Errorf("%w: %v", ErrAmount, amount)
	}
	return amount, nil
}

// amountText is the amount as the specification has it, without needless zeros; none for zero.
func amountText(a money.Amount) string {
	if a.Minor == 0 {
		return ""
	}
	number, _, _ := strings.Cut(a.String(), " ")
	return strings.TrimSuffix(strings.TrimRight(number, "0"), ".")
}

func check(r Request) error {
	if err := CheckAddress(r.Recipient); err != nil {
		return fmt.Errorf("recipient %.60q: %w", r.Recipient, err)
	}
	if err := CheckAddress(r.Mint); err != nil {
		return fmt.Errorf("mint %.60q: %w", r.Mint, err)
	}
	if r.Amount.Minor < 0 || r.Amount.Asset.Decimals() < 0 {
		return fmt.Errorf("%w: %v", ErrAmount, r.Amount)
	}
	if len(r.References) > MaxReferences {
		return fmt.Errorf("%w: %d references, at most %d", ErrSyntax, len(r.References), MaxReferences)
	}
	for _, reference := range r.References {
		if err := CheckAddress(reference); err != nil {
			return fmt.Errorf("reference %.60q: %w", reference, err)
		}
	}
	return cmp.Or(checkText("label", r.Label, MaxLabel), checkText("message", r.Message, MaxMessage), checkText("memo", r.Memo, MaxMemo))
}

// checkText wants what a wallet can show on one line: no control characters, and none that turn the direction of reading.
func checkText(what, text string, most int) error {
	hidden := func(r rune) bool { return !unicode.IsGraphic(r) }
	if len(text) > most || !utf8.ValidString(text) || strings.ContainsFunc(text, hidden) {
		return fmt.Errorf("%w: %s of %d bytes, at most %d", ErrText, what, len(text), most)
	}
	return nil
}

func escape(value string) string { return strings.ReplaceAll(url.QueryEscape(value), "+", "%20") }
