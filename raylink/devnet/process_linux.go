package devnet

import "syscall"

// endWithParent has the kernel ask the process to end when the one that started it dies.
func endWithParent(attr *syscall.SysProcAttr) { attr.Pdeathsig = syscall.SIGTERM }
