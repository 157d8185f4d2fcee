package supplier

import (
	"context"
	"log/slog"

	"raylink/raylink"
	"raylink/raylink/wire"
	"raylink/supplier/prove"
	"raylink/supplier/prove/cuda"
)

// makers are who can prove what in this machine. A kind of device that is to be proven has its line here.
func makers() prove.Makers {
	return prove.Makers{raylink.DeviceCPU: prove.CPU, raylink.DeviceGPU: cuda.GPU}
}

// proofs is the agent's part in proofs of compute: it hands the assignments' orders to the loop. Without coordinators that speak of proofs it does nothing.
type proofs struct{ loop *prove.Loop }

func newProofs(coordinator Coordinator, provers prove.Makers, log *slog.Logger) proofs {
	if provers == nil {
		provers = makers()
	}
	if api, ok := coordinator.(prove.Coordinator); ok {
		return proofs{loop: prove.NewLoop(api, provers, log)}
	}
	return proofs{}
}

func (p proofs) take(orders []wire.ProofOrder) {
	if p.loop != nil {
		p.loop.Set(orders)
	}
}

func (p proofs) run(ctx context.Context) {
	if p.loop != nil {
		p.loop.Run(ctx)
	}
}
