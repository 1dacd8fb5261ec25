package main

import "time"

// wallClock is this machine's own clock, which may be wrong. What replicas have
// to agree on goes by the database's: see [store.Store.Now].
func wallClock() time.Time { return time.Now() }
