// Package vault is the heart: what a connection is, who may do what with it,
// how its credential is sealed, and the trail of it all.
//
// It is the one door. Every operation takes the caller right after ctx,
// decides, and writes its audit entry in the same transaction as the change.
// Nothing else in the program opens a sealed blob.
//
//	keyset.go, seal.go     master keyset → environment keyset → blobs, each bound to its place
//	token.go               API keys and other bearer tokens: made, recognised, hashed
//	vault.go               Vault and what it needs
//	environments.go, rotate.go, apikeys.go, integrations.go
//	sessions.go, guesses.go, wait.go, attempts.go  a connect link and its browser
//	link.go, redeem.go                             from there to a connection
//	connections.go, headers.go                     reading, and the hot path
//	renewal.go             the lease, and saving what a refresh brought
//	revoke.go, outbox.go   mark, erase, tell the provider, receipt
//	event.go, events.go    what happened to connections, for whoever follows
//	audit.go, chain.go     the trail: an entry, and the chain that it is in
//	checkpoint.go, retention.go, audit_*.go        signed, shortened, read, verified, exported
//	reads.go, strangers.go reads, and refusals of callers unknown, gathered for the trail
//	background.go          what happens without anybody asking
//	admin.go               what only the admin's pages ask
//
// It leaves to others: SQL (package store, behind [Store]), talking to
// providers (package providers, reached through the hooks in [Config]),
// when to refresh (package refresh), and every form of HTTP.
package vault
