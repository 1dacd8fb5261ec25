package connect

import (
	"cmp"
	"time"

	"github.com/claviger/claviger/internal/vault"
)

// ID is for the ids of elements: the connection's own.
func (a accountRow) ID() string { return a.conn.ID }

// Service is the title of the service.
func (a accountRow) Service() string { return a.service.title }

// Asking is the application's name.
func (a accountRow) Asking() string { return a.asking }

// Label is the account as the service names it.
func (a accountRow) Label() string { return cmp.Or(a.conn.Account.Label, a.conn.Account.ID) }

// Name tells the account from the others where they are only heard.
func (a accountRow) Name() string {
	if l := a.Label(); l != "" {
		return a.Service() + ", " + l
	}
	return a.Service()
}

// Since is when it was linked first.
func (a accountRow) Since() time.Time { return a.conn.CreatedAt }

// LastUsed is when the application last fetched headers for it.
func (a accountRow) LastUsed() time.Time { return a.conn.LastReadAt }

// Use is where it is said when else.
func (a accountRow) Use() string { return a.base + "/use" }

// Disconnected reports whether the end user has ended it; EndedAt is when.
func (a accountRow) Disconnected() bool { return a.conn.Status == vault.StatusRevoked }

// EndedAt is when it was disconnected.
func (a accountRow) EndedAt() time.Time { return a.conn.UpdatedAt }

// Broken reports whether it has to be linked again.
func (a accountRow) Broken() bool { return a.conn.Status == vault.StatusReconnectRequired }

// Status is where it stands, in a few words.
func (a accountRow) Status() string {
	switch a.conn.Status {
	case vault.StatusActive:
		return "Works"
	case vault.StatusReconnectRequired:
		return "Has to be linked again"
	}
	return "Disconnected"
}

// Badge is the status that a badge has its colour of.
func (a accountRow) Badge() vault.Status { return a.conn.Status }

// Why says more about the status, "" where there is nothing more to say.
func (a accountRow) Why() string {
	switch {
	case a.conn.Status == vault.StatusActive && a.conn.Failures > 0:
		return "Renewing the access at " + a.Service() + " has not worked lately. It is tried again by itself; there is nothing that you have to do."
	case !a.Broken():
		return ""
	}
	switch a.conn.StatusReason {
	case vault.ReasonInvalidGrant:
		return a.Service() + " has ended the access. That happens after a change of password, and when access is taken back there."
	case vault.ReasonRejected:
		return a.Service() + " does not accept what was linked any more. It may have been changed or taken back there."
	case vault.ReasonExpired:
		return "The access was given for a limited time, and that is over."
	case vault.ReasonOutcomeLost:
		return "The connection to " + a.Service() + " broke at the moment in which the access was renewed."
	case vault.ReasonIdentityChanged:
		return a.Service() + " answered for another account than yours, so the answer was not used."
	}
	return "It does not work any more."
}

// CanReconnect reports whether it can be linked again from here.
func (a accountRow) CanReconnect() bool {
	return vault.ReconnectOf(&a.conn) && len(a.service.methods) > 0
}

// Reconnect is where that is begun.
func (a accountRow) Reconnect() string { return a.base + "/reconnect" }

// Disconnect is where it is ended, and where it is said how that went.
func (a accountRow) Disconnect() string { return a.base + "/disconnect" }
