package browser

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
)

// Navigate opens an address and waits until the page is loaded.
func (b *Browser) Navigate(ctx context.Context, url string) error {
	var answer struct{ ErrorText string }
	if err := b.call(ctx, "Page.navigate", object{"url": url}, &answer); err != nil {
		return err
	}
	if answer.ErrorText != "" {
		return fmt.Errorf("opening %s: %s", url, answer.ErrorText)
	}
	return b.until(ctx, url+" to load", func() (bool, error) {
		var state string
		err := b.evaluate(ctx, "document.readyState", &state)
		return err == nil && state == "complete", nil
	})
}

// Window sets the window's size in CSS pixels, and whether its person likes dark pages.
func (b *Browser) Window(ctx context.Context, width, height int, dark bool) error {
	if err := b.call(ctx, "Emulation.setDeviceMetricsOverride", object{"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600}, nil); err != nil {
		return err
	}
	scheme := "light"
	if dark {
		scheme = "dark"
	}
	return b.call(ctx, "Emulation.setEmulatedMedia", object{"features": []object{{"name": "prefers-color-scheme", "value": scheme}}}, nil)
}

// Scripts switches the page's own scripts on or off, from the next page on.
func (b *Browser) Scripts(ctx context.Context, on bool) error {
	return b.call(ctx, "Emulation.setScriptExecutionDisabled", object{"value": !on}, nil)
}

// Fill puts the cursor into the field of a CSS selector and types.
func (b *Browser) Fill(ctx context.Context, selector, text string) error {
	if err := b.Click(ctx, selector); err != nil {
		return err
	}
	if err := b.evaluate(ctx, element(selector)+".select()", nil); err != nil {
		return err
	}
	return b.call(ctx, "Input.insertText", object{"text": text}, nil)
}

// Click presses the mouse on the middle of the first element of a CSS selector, once it is there.
func (b *Browser) Click(ctx context.Context, selector string) error {
	var at *struct{ X, Y float64 }
	err := b.until(ctx, selector, func() (bool, error) {
		err := b.evaluate(ctx, `(() => { const e = `+element(selector)+`; if (!e) return null; e.scrollIntoView({block: "center", behavior: "instant"});
			const r = e.getClientRects()[0]; return r ? {X: r.x + r.width / 2, Y: r.y + r.height / 2} : null })()`, &at)
		return err == nil && at != nil, nil
	})
	if err != nil {
		return err
	}
	for _, kind := range []string{"mousePressed", "mouseReleased"} {
		if err := b.call(ctx, "Input.dispatchMouseEvent", object{"type": kind, "x": at.X, "y": at.Y, "button": "left", "clickCount": 1}, nil); err != nil {
			return err
		}
	}
	return nil
}

// WaitText waits until the first element of a CSS selector shows a text. It outlives a change of page.
func (b *Browser) WaitText(ctx context.Context, selector, text string) error {
	last := "nothing"
	err := b.until(ctx, fmt.Sprintf("%q in %s", text, selector), func() (bool, error) {
		shown, err := b.Text(ctx, selector)
		if err != nil {
			return false, nil // the page is changing
		}
		last = shown
		return strings.Contains(shown, text), nil
	})
	if err != nil {
		return fmt.Errorf("%w; it showed %q", err, last)
	}
	return nil
}

// Text is what the first element of a CSS selector shows; "" where there is none.
func (b *Browser) Text(ctx context.Context, selector string) (string, error) {
	var text string
	err := b.evaluate(ctx, `(() => { const e = `+element(selector)+`; return e ? e.innerText : "" })()`, &text)
	return text, err
}

// Address is where the window is.
func (b *Browser) Address(ctx context.Context) (string, error) {
	var url string
	err := b.evaluate(ctx, "location.href", &url)
	return url, err
}

// Overflow is by how many CSS pixels the page is wider than the window.
func (b *Browser) Overflow(ctx context.Context) (int, error) {
	var over int
	err := b.evaluate(ctx, "document.documentElement.scrollWidth - document.documentElement.clientWidth", &over)
	return over, err
}

// element is the script that finds a selector's first element.
func element(selector string) string {
	quoted, err := json.Marshal(selector)
	if err != nil {
		return "null" // a string always encodes
	}
	return "document.querySelector(" + string(quoted) + ")"
}
