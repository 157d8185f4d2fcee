// Package pyth asks a Hermes service for Pyth's price of IO: GET /v2/updates/price/latest?ids[]=<feed>&parsed=true, as documented at
// docs.pyth.network. Pyth gives the price and its confidence (one sigma) as integers with a power of ten, and when it was published;
// a price that is long out of date comes without any word of it, so the time of publication is what is passed on. The attestation
// in the answer is not checked here: whoever configures the service trusts it and its TLS certificate.
package pyth

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"raylink/billing/price"
	"raylink/billing/price/feed"
	"raylink/raylink"
)

// Name is what the source is called in samples and policies.
const Name = "pyth"

// Config says whom to ask for what.
type Config struct {
	URL     string // of the Hermes service, such as https://hermes.pyth.network; a path is kept
	Feed    string // the feed's id: 32 bytes in hex, with or without 0x. There is no default: IO's is not in any document that we know
	KeyFile string // 0600, with the API key that some services want; empty for none
}

// Source is the feed.Source.
type Source struct {
	address *url.URL
	feed    string
	keyFile string
	client  *http.Client
}

// New checks the configuration and asks nobody yet. Its error is a *raylink.Error.
func New(c Config) (*Source, error) {
	base, err := feed.Base(c.URL)
	if err != nil {
		return nil, err
	}
	id := strings.ToLower(strings.TrimPrefix(c.Feed, "0x"))
	if raw, err := hex.DecodeString(id); err != nil || len(raw) != 32 {
		return nil, raylink.Errorf(raylink.CodeInvalid, "Pyth feed %.80q is not 32 bytes in hex", c.Feed).WithHint("Pyth's page of price feeds lists the id of IO/USD")
	}
	address := base.JoinPath("v2/updates/price/latest")
	address.RawQuery = url.Values{"ids[]": {id}, "parsed": {"true"}}.Encode()
	return &Source{address, id, c.KeyFile, feed.NewClient()}, nil
}

// Name is "pyth".
func (s *Source) Name() string { return Name }

// answer is what we read of Hermes' JSON; it may say more.
type answer struct {
	Parsed []struct {
		ID    string `json:"id"`
		Price struct {
			Price       string `json:"price"` // an integer
			Conf        string `json:"conf"`  // an integer
			Expo        int    `json:"expo"`
			PublishTime int64  `json:"publish_time"` // Unix seconds
		} `json:"price"`
	} `json:"parsed"`
}

// Sample asks the service. Its price is rounded down and its confidence up.
func (s *Source) Sample(ctx context.Context) (price.Sample, error) {
	var header [][2]string
	if s.keyFile != "" {
		key, err := feed.ReadSecret(s.keyFile)
		if err != nil {
			return price.Sample{}, err
		}
		header = append(header, [2]string{"Authorization", "Bearer " + key})
	}
	body, err := feed.Get(ctx, s.client, s.address, header...)
	if err != nil {
		return price.Sample{}, err
	}
	sample, err := read(body, s.feed)
	if err != nil {
		return price.Sample{}, fmt.Errorf("reading the answer of %s: %w", s.address.Host, err)
	}
	if sample.ObservedAt.After(time.Now().Add(price.MaxAhead)) {
		return price.Sample{}, fmt.Errorf("%w: published at %v, which is to come", feed.ErrAnswer, sample.ObservedAt.Format(time.RFC3339))
	}
	return sample, nil
}

const latest = 1 << 33 // Unix seconds, in the year 2242: later ones could not be compared with a clock

func read(body []byte, id string) (price.Sample, error) {
	var a answer
	if err := json.Unmarshal(body, &a); err != nil {
		return price.Sample{}, fmt.Errorf("%w: %w", feed.ErrAnswer, err)
	}
	if len(a.Parsed) == 0 {
		return price.Sample{}, feed.ErrNoPrice
	}
	if len(a.Parsed) > 1 || strings.ToLower(strings.TrimPrefix(a.Parsed[0].ID, "0x")) != id {
		return price.Sample{}, fmt.Errorf("%w: %d prices, the first of feed %.80q", feed.ErrAnswer, len(a.Parsed), a.Parsed[0].ID)
	}
	p := a.Parsed[0].Price
	value, err := feed.Scaled(p.Price, p.Expo, false)
	if err != nil {
		return price.Sample{}, err
	}
	confidence, err := feed.Scaled(p.Conf, p.Expo, true)
	if err != nil {
		return price.Sample{}, err
	}
	if p.PublishTime > latest {
		return price.Sample{}, fmt.Errorf("%w: published at %d", feed.ErrAnswer, p.PublishTime)
	}
	if value == 0 || p.PublishTime <= 0 {
		return price.Sample{}, fmt.Errorf("%w: price %s published at %d", feed.ErrNoPrice, p.Price, p.PublishTime)
	}
	return price.Sample{Source: Name, Price: value, Confidence: confidence, ObservedAt: time.Unix(p.PublishTime, 0).UTC()}, nil
}
