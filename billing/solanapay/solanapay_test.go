package solanapay

import (
	"crypto/sha256"
	"errors"
	"math"
	"math/big"
	"slices"
	"strings"
	"testing"

	"github.com/gagliardetto/solana-go"
	"pgregory.net/rapid"

	"raylink/billing/money"
)

const (
	wallet    = "7fUAJdStEuGbc3sM84cKRL6yYaaSstyLSU4ve5oovLS7"
	usdcMint  = "EPjFWdd5AufqSSqeM2qN1xzybapC8G4wEGGkZwyTDt1v"
	ioMint    = "BZLbGTNCSFfoth2GYDtwr7e4imWzpR5jqcUuGEwr646K"
	reference = "82ZJ7nbGpixjeDCmEhUcmwXYfvurzAgGdtSMuHnUgyny"
)

func mints() map[string]money.Asset {
	return map[string]money.Asset{usdcMint: money.USDC, ioMint: money.IO}
}

func request() Request {
	return Request{Recipient: wallet, Mint: usdcMint, Amount: money.Amount{Minor: 10_000, Asset: money.USDC},
		References: []string{reference, wallet}, Label: "Raylink", Message: "Top-up of müller & co, 50 %", Memo: "rl:tu:abc+1"}
}

func TestGolden(t *testing.T) {
	got, err := New(request())
	want := "solana:" + wallet + "?amount=0.01&spl-token=" + usdcMint + "&reference=" + reference + "&reference=" + wallet +
		"&label=Raylink&message=Top-up%20of%20m%C3%BCller%20%26%20co%2C%2050%20%25&memo=rl%3Atu%3Aabc%2B1"
	if err != nil || got != want {
		t.Errorf("got  %s, %v\nwant %s", got, err, want)
	}
	for minor, text := range map[int64]string{1: "0.00000001", 100_000_000: "1", 150_000_000: "1.5", 5_000_000_000: "50", math.MaxInt64: "92233720368.54775807"} {
		r := Request{Recipient: wallet, Mint: ioMint, Amount: money.Amount{Minor: minor, Asset: money.IO}}
		if got, err := New(r); err != nil || got != "solana:"+wallet+"?amount="+text+"&spl-token="+ioMint {
			t.Errorf("%d: %s, %v", minor, got, err)
		}
	}
	open := Request{Recipient: wallet, Mint: ioMint, Amount: money.Amount{Asset: money.IO}}
	if got, err := New(open); err != nil || got != "solana:"+wallet+"?spl-token="+ioMint {
		t.Errorf("without an amount: %s, %v", got, err)
	}
}

func TestRefusedToWrite(t *testing.T) {
	for what, spoil := range map[string]func(*Request) error{
		"recipient": func(r *Request) error { r.Recipient = wallet[2:]; return ErrAddress },
		"no wallet": func(r *Request) error { r.Recipient = ""; return ErrAddress },
		"mint":      func(r *Request) error { r.Mint = ""; return ErrAddress },
		"reference": func(r *Request) error { r.References = []string{"0" + reference[1:]}; return ErrAddress },
		"many": func(r *Request) error {
			r.References = slices.Repeat([]string{reference}, MaxReferences+1)
			return ErrSyntax
		},
		"negative": func(r *Request) error { r.Amount.Minor = -1; return ErrAmount },
		"asset":    func(r *Request) error { r.Amount.Asset = "EUR"; return ErrAmount },
		"label":    func(r *Request) error { r.Label = strings.Repeat("x", MaxLabel+1); return ErrText },
		"message":  func(r *Request) error { r.Message = "two\nlines"; return ErrText },
		"reversed": func(r *Request) error { r.Message = "\u202edoog"; return ErrText },
		"memo":     func(r *Request) error { r.Memo = "\xff"; return ErrText },
		"too long": func(r *Request) error {
			r.Message = strings.Repeat("ü", MaxMessage/2)
			r.References = slices.Repeat([]string{reference}, 8)
			return ErrText
		},
	} {
		r := request()
		want := spoil(&r)
		if got, err := New(r); !errors.Is(err, want) {
			t.Errorf("%s: %q, %v; want %v", what, got, err, want)
		}
	}
}

func TestRefusedToRead(t *testing.T) {
	token := "spl-token=" + usdcMint
	for text, want := range map[string]error{
		"": ErrSyntax, "bitcoin:" + wallet: ErrSyntax, "SOLANA:" + wallet + "?" + token: ErrSyntax,
		"solana:https://shop.example/pay":                                          ErrMint, // a transaction request
		"solana:" + wallet:                                                         ErrMint, // asks for SOL
		"solana:" + wallet + "?amount=1":                                           ErrMint,
		"solana:" + wallet + "?spl-token=" + wallet:                                ErrMint,
		"solana:?" + token:                                                         ErrAddress,
		"solana://" + wallet + "?" + token:                                         ErrAddress,
		"solana:" + wallet + "l?" + token:                                          ErrAddress,
		"solana:" + wallet + "?" + token + "&reference=abc":                        ErrAddress,
		"solana:" + wallet + "?" + token + "&" + token:                             ErrSyntax,
		"solana:" + wallet + "?" + token + "&amount=1&amount=2":                    ErrSyntax,
		"solana:" + wallet + "?" + token + "&redirect=x":                           ErrSyntax,
		"solana:" + wallet + "?" + token + "&":                                     nil,
		"solana:" + wallet + "?" + token + "&&":                                    ErrSyntax,
		"solana:" + wallet + "?" + token + "&memo":                                 ErrSyntax,
		"solana:" + wallet + "?" + token + "&memo=":                                ErrSyntax,
		"solana:" + wallet + "?" + token + "&memo=%zz":                             ErrSyntax,
		"solana:" + wallet + "?" + token + "&memo=%ff":                             ErrText,
		"solana:" + wallet + "?" + token + "&memo=a%0ab":                           ErrText,
		"solana:" + wallet + "?" + token + "&memo=a#b":                             nil,
		"solana:" + wallet + "?" + token + strings.Repeat("&reference="+wallet, 9): ErrSyntax,
		"solana:" + wallet + "?" + token + strings.Repeat("&label=x", 200):         ErrSyntax,
	} {
		if r, err := Parse(text, mints()); !errors.Is(err, want) || (want == nil) != (err == nil) {
			t.Errorf("%q: %+v, %v; want %v", text, r, err, want)
		}
	}
	for _, amount := range []string{"0", "0.000000", "-1", "+1", "1e3", "1E3", ".5", "1.", "0x10", "1,5", "0.0000001", "1%20", "NaN", "9223372036854.775808"} {
		if r, err := Parse("solana:"+wallet+"?"+token+"&amount="+amount, mints()); !errors.Is(err, ErrAmount) {
			t.Errorf("amount %s: %+v, %v", amount, r, err)
		}
	}
	if r, err := Parse("solana:"+wallet+"?amount=0.00000001&spl-token="+ioMint+"&label=a+b", mints()); err != nil || r.Amount.Minor != 1 || r.Label != "a b" {
		t.Errorf("%+v, %v", r, err)
	}
}

func TestRoundTrip(t *testing.T) {
	key := rapid.Custom(func(t *rapid.T) string {
		return solana.PublicKeyFromBytes(rapid.SliceOfN(rapid.Byte(), 32, 32).Draw(t, "key")).String()
	})
	text := func(most int) *rapid.Generator[string] {
		return rapid.StringN(0, most/4, most).Filter(func(s string) bool { return checkText("", s, most) == nil })
	}
	rapid.Check(t, func(t *rapid.T) {
		mint := rapid.SampledFrom([]string{usdcMint, ioMint}).Draw(t, "mint")
		want := Request{Recipient: key.Draw(t, "recipient"), Mint: mint,
			Amount:     money.Amount{Minor: rapid.Int64Min(0).Draw(t, "minor"), Asset: mints()[mint]},
			References: rapid.SliceOfN(key, 0, 3).Draw(t, "references"),
			Label:      text(40).Draw(t, "label"), Message: text(40).Draw(t, "message"), Memo: text(40).Draw(t, "memo")}
		written, err := New(want)
		if err != nil {
			t.Fatal(err)
		}
		got, err := Parse(written, mints())
		if err != nil || !equal(got, want) {
			t.Fatalf("%s came back as %+v, %v", written, got, err)
		}
	})
}

func equal(a, b Request) bool {
	same := slices.Equal(a.References, b.References)
	a.References, b.References = nil, nil
	return same && a.Recipient == b.Recipient && a.Mint == b.Mint && a.Amount == b.Amount && a.Label == b.Label && a.Message == b.Message && a.Memo == b.Memo
}

// The twin: another library's base58.
func TestAddressAsSolanaGo(t *testing.T) {
	for _, known := range []string{wallet, usdcMint, ioMint, reference, strings.Repeat("1", 32), solana.TokenProgramID.String()} {
		if err := CheckAddress(known); err != nil {
			t.Errorf("%s: %v", known, err)
		}
	}
	rapid.Check(t, func(t *rapid.T) {
		text := rapid.OneOf(
			rapid.StringOfN(rapid.SampledFrom([]rune(alphabet+"0OIl ")), 0, 46, -1),
			rapid.StringOfN(rapid.SampledFrom([]rune(alphabet)), 42, 45, -1),
			rapid.StringOfN(rapid.SampledFrom([]rune("1z")), 30, 45, -1),
		).Draw(t, "text")
		_, want := solana.PublicKeyFromBase58(text)
		if got := CheckAddress(text); (got == nil) != (want == nil) {
			t.Fatalf("%q: %v, and solana-go says %v", text, got, want)
		}
	})
	largest := new(big.Int).Lsh(big.NewInt(1), 256) // 2^256 is the first number of 33 bytes
	if err := CheckAddress(base58(largest)); err == nil {
		t.Error("33 bytes were taken")
	}
	if err := CheckAddress(base58(largest.Sub(largest, big.NewInt(1)))); err != nil {
		t.Error(err)
	}
}

func base58(n *big.Int) string {
	var text []byte
	for rest, digit := new(big.Int).Set(n), new(big.Int); rest.Sign() > 0; {
		rest.QuoRem(rest, big.NewInt(58), digit)
		text = append(text, alphabet[digit.Int64()])
	}
	slices.Reverse(text)
	return string(text)
}

func FuzzParse(f *testing.F) {
	written, err := New(request())
	if err != nil {
		f.Fatal(err)
	}
	f.Add(written)
	f.Add("")
	f.Add("solana:" + wallet + "?spl-token=" + ioMint + "&amount=9223372036854.77580799&memo=%25")
	f.Add("solana:" + wallet + "?spl-token=" + strings.Repeat("%", 900))
	f.Add(string(sha256.New().Sum(nil)))
	f.Fuzz(func(t *testing.T, text string) {
		r, err := Parse(text, mints())
		if err != nil {
			return
		}
		again, err := New(r)
		if err != nil && len(text) < MaxURL/3 { // escaping may outgrow the limit
			t.Fatalf("%q reads as %+v, which cannot be written: %v", text, r, err)
		}
		if err == nil {
			if back, err := Parse(again, mints()); err != nil || !equal(back, r) {
				t.Fatalf("%q is %+v, and that is %+v, %v", text, r, back, err)
			}
		}
	})
}
