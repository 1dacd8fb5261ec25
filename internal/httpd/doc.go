// Package httpd is the HTTP shell: what every request goes through before and
// after the handler that answers it.
//
// It owns
//   - the one error exit: a handler returns an error, and a [fault.Error]
//     becomes a problem document (RFC 9457) under /v1 and a plain page
//     elsewhere; anything else becomes "Something went wrong" and an id;
//   - one log record a request ([Record]), written once at its end, with the
//     route and never the path or the query, because tokens live there;
//   - security headers, and no-store on everything that is not a static file;
//   - reading: body limits, strict JSON ([DecodeJSON]), forms ([Form]), query
//     parameters ([Query]);
//   - rendering pages ([Render]), cookies ([Cookie]), the cross-origin check
//     ([SameOrigin]);
//   - /static, /healthz and /readyz; serving and draining ([Serve]).
//
// It leaves to the rooms above what a route does and who may call it.
//
//	e, err := httpd.New(httpd.Config{Log: log, PublicURL: u, Checks: checks})
//	api.Mount(e.Group("/v1", httpd.BodyLimit(64<<10)))
//	connect.Mount(e.Group("/connect", httpd.BodyLimit(64<<10), httpd.SameOrigin(u, callbackRoute)))
//	err = httpd.Serve(ctx, httpd.NewServer(e, log), listener, httpd.DrainTime)
package httpd
