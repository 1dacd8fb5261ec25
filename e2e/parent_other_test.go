//go:build !linux

package e2e

import (
	"os/exec"
	"syscall"
)

// signalWithParent does nothing: only Linux can.
func signalWithParent(*exec.Cmd, syscall.Signal) {}
