// Package refresh keeps credentials fresh.
//
// It owns when a credential is renewed and what becomes of the attempt: one
// flight per connection in this process, one lease among all processes, save
// before anybody sees, and what each kind of failure means for the connection.
//
//	read → enough life left? serve
//	     → one flight here → lease by compare-and-set on the generation
//	     → the provider's one call, no transaction open, deadline inside the lease
//	     → rotated refresh token saved first, the rest checked, saved
//	     → losers read again
//
// It leaves to others: the lease and all saving (vault), the call itself and
// what its answer means (providers), HTTP (api).
package refresh
