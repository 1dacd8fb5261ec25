// Package providers turns a form or a redirect into a credential, and a
// credential into headers.
//
// A provider is data: a YAML file in catalog/, decoded strictly and checked as
// a whole before anything is served ([Load]). A scheme is code: a handful of
// behaviours behind the methods of all providers. A new provider never needs
// Go; a new scheme is one file here.
//
//   - basic: RFC 7617 user name and password
//   - token: something pasted, put in a header
//   - exchange: a password used once to fetch a token, then forgotten
//   - session_cookie: a login that answers with a cookie
//   - oauth2_code: RFC 6749 section 4.1 with PKCE, with or without OpenID Connect
//   - oauth2_client_credentials: RFC 6749 section 4.4
//   - oidc_hybrid: OpenID Connect Core section 3.3, code id_token
//
// [Service] is the one entrance. It is given an integration with its client
// secret opened, asks the provider over the network where it has to, and
// answers with a [vault.Grant]: values to seal, headers to hand out, whose
// account it is. It keeps nothing between two calls but what issuers publish.
//
// What it leaves to others: sealing and storing (vault), when to refresh and who
// may (refresh), pages and cookies (connect). Below it, oidc judges id_tokens,
// tokenendpoint owns the one request that spends a token, and outbound makes
// all calls.
package providers
