package cuda

import (
	"context"
	"errors"
)

// leastPiece is where looking for free memory ends, in bytes: the driver gives it in pages of this size.
const leastPiece = 2 << 20

// Wiped is what a wipe did.
type Wiped struct {
	Zeroed int64 // bytes that were taken and overwritten
	Left   int64 // bytes that the driver called free and did not give: its own, and what is less than a page in one place
	Total  int64 // bytes that the device has
}

// Wipe overwrites with zeros all memory of the GPU with this UUID that nobody has, and gives it back: what a tenant left there is gone. It is called when
// all of the tenant's processes have ended. What somebody else still holds is not touched (Total − Zeroed − Left); the caller judges whether that may
// be. Registers, caches and shared memory are not reached: the driver clears those between processes.
func Wipe(ctx context.Context, uuid string) (Wiped, error) { return wipe(ctx, uuid, open) }

func wipe(ctx context.Context, uuid string, open opener) (done Wiped, err error) {
	g, err := open(uuid)
	if err != nil {
		return done, err
	}
	var taken []pointer
	defer func() {
		for _, at := range taken {
			err = errors.Join(err, g.release(at))
		}
		err = errors.Join(err, g.close())
	}()
	free, total, err := g.free()
	if err != nil {
		return done, err
	}
	done.Total = total
	for piece := free / leastPiece * leastPiece; piece >= leastPiece && done.Zeroed < total; {
		if err := ctx.Err(); err != nil {
			return done, err
		}
		at, err := g.alloc(piece)
		if isFull(err) {
			piece = piece / 2 / leastPiece * leastPiece // it is in several places
			continue
		}
		if err != nil {
			return done, err
		}
		taken = append(taken, at)
		if err := g.zero(at, piece); err != nil {
			return done, err
		}
		done.Zeroed += piece
		if free, _, err = g.free(); err != nil {
			return done, err
		}
		piece = min(piece, free/leastPiece*leastPiece)
	}
	if err := g.wait(); err != nil {
		return done, err
	}
	done.Left, _, err = g.free()
	return done, err
}
