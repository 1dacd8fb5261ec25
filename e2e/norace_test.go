//go:build !race

package e2e

// raceEnabled makes the broker be built like the tests that run it.
const raceEnabled = false
