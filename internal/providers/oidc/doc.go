// Package oidc is the relying party's half of OpenID Connect's hybrid flow
// (response_type=code id_token): who an issuer is, which keys it signs with,
// and whether an id_token is one of its own and meant for this attempt.
//
//   - [Directory] remembers issuers: the discovery document and the signing
//     keys, each fetched once for everybody who waits, kept through outages,
//     and asked for again at a bounded rate.
//   - [Verifier] judges an id_token in the three places it turns up: in the
//     browser's reply ([Verifier.Front]), in the answer to the code
//     ([Verifier.Back], or [Verifier.Sole] where there was no other) and in the
//     answer to a refresh ([Verifier.Refreshed], or [Verifier.Adopt] where the
//     login was made elsewhere).
//   - [Rejection] names the one check that failed, [Unavailable] says that the
//     provider could not be asked. The first is final, the second is not.
//
// Signature, issuer, audience and expiry are go-oidc's; it asks our [KeySet]
// for the keys. Everything that go-oidc leaves to its caller is done here:
// nonce, c_hash, at_hash, s_hash, azp, a single audience, iat, sub, typ,
// compact serialization, members that differ in case only, and the comparison
// of one id_token with the one before it.
//
// The package builds no URL, calls no token endpoint, holds no state between
// redirect and callback, and stores nothing. Its neighbours do.
package oidc
