// Package pace sends requests to a server for a while and measures how long
// the answers take, in a closed loop (as fast as so many connections can) or
// in an open one (on a schedule that waits for nobody).
//
// It owns the schedule, the clock and the histogram, and an HTTP/1.1 client
// that costs so little that the server is what is measured ([Dial]). It leaves
// to others what to ask and what to make of the numbers.
package pace
