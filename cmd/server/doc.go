// Command server is Claviger: a broker for other people's credentials, in one
// binary.
//
//	main.go, command.go   from arguments to a command
//	config.go             settings: variables and flags
//	broker.go             what a broker is made of, top to bottom
//	serve.go, demo.go     the broker, and the broker with a sandbox beside it
//	migrate.go, key.go, apikey.go, apply.go, doctor.go
//
// It owns configuration and wiring, and leaves everything else to the rooms
// under internal.
package main
