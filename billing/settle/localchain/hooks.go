package localchain

import (
	"context"
	"fmt"
	"time"

	"raylink/billing/settle/chain"
)

// Fault is something that a node does on a bad day.
type Fault string

// The faults. The first four fall on the next n calls, in the order in which they were asked for.
const (
	Drop        Fault = "drop"        // the next n transactions are taken and never land
	Ambiguous   Fault = "ambiguous"   // the next n land, and the answer is an error
	NoPreflight Fault = "nopreflight" // the next n are not looked at before: they may land as failed
	Down        Fault = "down"        // the next n calls of any kind get status 503
	Lag         Fault = "lag"         // from now on all reads are of n slots ago, heights too; 0 ends it
	Stale       Fault = "stale"       // 1: from now on no transaction is known, while heights are current; 0 ends it
	Fork        Fault = "fork"        // once, whatever n: what is not finalized vanishes
)

// Tick moves the chain on by n slots and answers the processed height.
func (c *Chain) Tick(ctx context.Context, n int) (height uint64, err error) {
	err = c.client.Call(ctx, &height, "local_tick", n)
	return height, err
}

// TickFinal moves the chain on until all that has landed is finalized.
func (c *Chain) TickFinal(ctx context.Context) error {
	_, err := c.Tick(ctx, c.cfg.FinalityAge)
	return err
}

// Fault makes the node misbehave.
func (c *Chain) Fault(ctx context.Context, kind Fault, n int) error {
	var done int
	return c.client.Call(ctx, &done, "local_fault", string(kind), n)
}

// Await waits until the transaction is finalized. It is an error if it failed. On a chain that only Tick moves it waits for others' ticks.
func (c *Chain) Await(ctx context.Context, signature chain.Signature) error {
	ticker := time.NewTicker(max(c.cfg.Slot, 5*time.Millisecond))
	defer ticker.Stop()
	for {
		status, err := c.client.Status(ctx, signature)
		switch {
		case err != nil:
			return err
		case status.Stage == chain.Finalized:
			return nil
		case status.Stage == chain.Failed:
			return fmt.Errorf("waiting for transaction %s: it failed: %s", signature, status.Reason)
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("waiting for transaction %s, which is %s: %w", signature, status.Stage, ctx.Err())
		case <-c.done:
			return fmt.Errorf("waiting for transaction %s: the local chain ended", signature)
		case <-ticker.C:
		}
	}
}
