package e2e

import (
	"os/exec"
	"syscall"
)

// signalWithParent has the kernel send sig to cmd when its parent dies.
func signalWithParent(cmd *exec.Cmd, sig syscall.Signal) {
	if cmd.SysProcAttr == nil {
		cmd.SysProcAttr = &syscall.SysProcAttr{}
	}
	cmd.SysProcAttr.Pdeathsig = sig
}
