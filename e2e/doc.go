// Package e2e tests Claviger as a black box: the built binary as a process of
// its own, a real PostgreSQL, a certified OpenID provider that is not ours, a
// real browser. It imports no room of the house but the sandbox, which knows
// nothing of the broker: that one may run beside the tests, with its switches
// and its books at hand.
//
// What stories are told with:
//
//	world_test.go     a broker with its database, its services and its front
//	front_test.go     the proxy in front of all processes; keeps what it passes on
//	rest_test.go      a backend that calls the API
//	visitor_test.go   a browser without a screen, for messages to be held and changed
//	person_test.go    what a person does with a page, and how a page is inspected
//
// and what those are made of:
//
//	postgres_test.go  a database for each test, and clusters to stop and kill
//	binary_test.go    builds and runs the broker, keeps its complete log
//	op_test.go        the OpenID provider in op/ (Node.js)
//	browser_test.go   Chromium, pages in separate profiles, screenshots
//	axe_test.go       accessibility, by axe-core in axe/
//	leak_test.go      looks for secrets in what a run left behind
//	compose_test.go   docker-compose.yml and the Dockerfile keep their promises
//
// TestTorture, in the files torture*_test.go, is a world of its own:
//
//	torture_world_test.go     600 connections, their brokers and their provider
//	torture_schedule_test.go  what goes wrong when, by a seed
//	torture_nemesis_test.go   does it, and keeps a journal
//	torture_broker_test.go    brokers that come back after they were killed
//	torture_wire_test.go      a network that can be cut
//	torture_readers_test.go   backends that ask all along
//	torture_recovery_test.go  waits until all is well again
//	torture_verdict_test.go   what had to happen, and what must not
//	torture_report_test.go    tells it
//
// make e2e runs it with all that it needs. By hand, CHROMIUM names the browser
// and TEST_POSTGRES_URL a PostgreSQL where databases may be made; without the
// latter a throwaway cluster is started from the installed server binaries.
package e2e
