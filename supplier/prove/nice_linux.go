package prove

import "golang.org/x/sys/unix"

// niceness is what proofs run at: whoever else wants the processor has it.
const niceness = 10

// yield lowers the calling thread's priority. Where that is refused the proof runs as everything else.
func yield() { _ = unix.Setpriority(unix.PRIO_PROCESS, 0, niceness) } // Linux: of the thread alone
