package cardfake

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/stripe/stripe-go/v85/webhook"
)

// Event is a notice of a change. Its body has the object as it was then.
type Event struct {
	ID   string
	Type string
	Body []byte
}

// emit writes an event down and wakes Run.
func (f *Fake) emit(eventType string, object any) {
	id := f.id("evt")
	body, err := json.Marshal(map[string]any{
		"id": id, "object": "event", "api_version": f.config.Version, "created": f.config.Now().Unix(), "livemode": false, "pending_webhooks": 1,
		"type": eventType, "data": map[string]any{"object": object},
	})
	if err != nil {
		panic(fmt.Sprintf("the fake's own objects are JSON: %v", err))
	}
	f.events = append(f.events, Event{ID: id, Type: eventType, Body: body})
	select {
	case f.wake <- struct{}{}:
	default:
	}
}

// Events are all events so far, in the order of what happened.
func (f *Fake) Events() []Event {
	f.mu.Lock()
	defer f.mu.Unlock()
	return append([]Event{}, f.events...)
}

// Sign makes the value of the header that comes with the event, by the library's signer for tests.
func (f *Fake) Sign(event Event, at time.Time) string {
	return webhook.GenerateTestSignedPayload(&webhook.UnsignedPayload{Payload: event.Body, Secret: f.config.Secret, Timestamp: at}).Header
}

// Deliver posts events to a webhook's URL, each once and in the given order, signed now. The errors are of all those that were not acknowledged.
func (f *Fake) Deliver(ctx context.Context, target string, events ...Event) error {
	var failed []error
	for _, event := range events {
		if err := f.post(ctx, target, event); err != nil {
			failed = append(failed, fmt.Errorf("delivering %s %s: %w", event.Type, event.ID, err))
		}
	}
	return errors.Join(failed...)
}

func (f *Fake) post(ctx context.Context, target string, event Event) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, target, bytes.NewReader(event.Body))
	if err != nil {
		return err
	}
	request.Header.Set("Content-Type", "application/json")
	request.Header.Set("Stripe-Signature", f.Sign(event, f.config.Now()))
	response, err := f.config.Client.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	_, _ = io.Copy(io.Discard, io.LimitReader(response.Body, maxForm)) // so that the connection can be used again
	if response.StatusCode/100 != 2 {
		return fmt.Errorf("answered with %s", response.Status)
	}
	return nil
}

// Run delivers all events, the old ones first and new ones as they come, each until it is acknowledged, until ctx ends.
func (f *Fake) Run(ctx context.Context, target string) {
	for next := 0; ; {
		events := f.Events()
		for next < len(events) && f.post(ctx, target, events[next]) == nil {
			next++
		}
		var again <-chan time.Time
		if next < len(events) {
			again = time.After(f.config.Retry)
		}
		select {
		case <-ctx.Done():
			return
		case <-f.wake:
		case <-again:
		}
	}
}
