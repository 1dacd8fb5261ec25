// Package connect is the end user's pages: from a connect link to a linked
// account, or to a plain sentence about why not.
//
// It owns the browser's side of a connect session: the routes below, the cookie
// that ties a session to one browser, what every page says, and how a reply
// gets from a provider through the browser to the attempt it belongs to.
//
//	GET  /connect/{token}                    who asks for what, for whom; changes nothing (landing.go)
//	POST /connect/{token}                    binds the session to this browser
//	GET  /connect/s/{session}                goes to the next step, or says how it ended (choose.go)
//	GET  /connect/s/{session}/{integration}  chooses the method
//	GET  …/{integration}/{method}            the form, or the way to the provider (form.go, redirect.go)
//	POST …/{integration}/{method}            asks the provider, or leads there
//	POST /connect/s/{session}/cancel         gives up (done.go)
//	GET  /connect/m/{session}                an end user's linked accounts (manage.go)
//	POST /connect/m/{session}/done           ends that session
//	GET  …/{connection}/use                  the days on which it was used (manage_use.go)
//	POST …/{connection}/reconnect            begins a session that mends the connection
//	GET  …/{connection}/disconnect           says what will happen, and later what did (manage_disconnect.go)
//	POST …/{connection}/disconnect           revokes the connection
//	GET  /connect/callback/{integration}     a reply in the query, or the page that takes one out of the fragment (callback.go)
//	POST /connect/callback/{integration}     a reply as a form: form_post, or from that page
//	GET  /connect/resume/{session}/{attempt} a page that goes on by itself (resume.go)
//	GET  /connect/finish/{session}/{attempt} uses the attempt up, asks the provider, links
//
// Where a session stands is in the database and nowhere else. A step reads it,
// does one thing, and redirects.
//
// # Reconnecting from the list
//
// A session of kind manage links nothing. A reconnect that is begun in it is a
// session of its own, for that connection and this browser, so that all that
// holds for linking holds for it: it has a cookie of its own, is used up by one
// link and counts as the same tries. It goes back to the list, not to the host.
// [vault.ReconnectOf] says why it needs no redeem.
//
// # Redirects that are pages
//
// Chromium applies a page's form-action to every redirect that follows its
// form, however many hops away: a provider that sends the browser on to
// somebody's single sign-on would be blocked by our policy, and our way back to
// the host by the provider's. So the two hops that cross over, to the provider
// and back from it, are small pages with a Refresh header: no script is needed,
// the chain is broken, and there is something to read while the provider is
// asked. That the second hop comes from our own page also means that the
// binding cookie is with it, whatever way the reply came.
//
// What it leaves to others: who may do what, counting guesses, storing (vault);
// what a reply or a form is worth (providers); headers, rendering, the
// cross-origin check (httpd).
package connect
