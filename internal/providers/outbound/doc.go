// Package outbound is the one way in which the broker calls providers.
//
// [Client.Do] sends one request and reads one answer whole, under a deadline
// and a size limit. It follows no redirect, keeps no cookie, uses no proxy,
// expands no compression, and connects to no private address unless the
// operator allowed it; the address is judged when it is dialled, after DNS,
// so that a name that changes its mind between check and use gains nothing.
//
// When a call fails, [Error] says whether the request can have reached the
// provider ([NotSent], [Uncertain], [Answered]). Whoever spends one-time
// credentials decides on that. [WithSendBy] keeps a request from leaving when it
// is too late for it.
//
// [Client.CheckURL], [Client.ParseURL], [Client.CheckRoot] and [HostAllowed]
// are the rules for addresses that come from configuration or, worse, from a
// provider's answer.
//
// What an answer means is for the caller. Package tokenendpoint reads those
// of OAuth token endpoints.
package outbound
