package supplier

import (
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// peer is a handle (pidfd) on the process at the other end of a unix socket.
func peer(fd int) (int, error) {
	who, err := unix.GetsockoptUcred(fd, unix.SOL_SOCKET, unix.SO_PEERCRED)
	if err != nil {
		return -1, err
	}
	if who.Pid <= 1 || int(who.Pid) == os.Getpid() {
		return -1, fmt.Errorf("process %d is no data plane (does the agent's container have --pid=host?)", who.Pid)
	}
	return unix.PidfdOpen(int(who.Pid), 0)
}

// kill ends the process of a handle.
func kill(process int) error { return unix.PidfdSendSignal(process, unix.SIGKILL, nil, 0) }
