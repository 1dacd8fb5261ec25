// Package setup brings a broker to what a file declares: environments,
// integrations and API keys, with secrets by reference. It reads the file, says
// what would change, changes it through the vault, and writes such a file of
// what is there.
//
//	file.go        the format
//	reference.go   secrets by reference
//	setup.go       what a setup needs, and what goes wrong
//	plan.go        from a file and what is there to steps
//	integration.go, apikey.go
//	apply.go       the steps, one after the other
//	export.go      the way back
//
// It leaves to others: how a file gets its name and who is asked before anything
// changes (cmd/server), what an integration may be (providers), and who may do
// what, sealing and the trail (vault).
package setup
