package admin

import (
	"slices"

	"github.com/claviger/claviger/internal/providers"
	"github.com/claviger/claviger/internal/providers/oidc"
)

// trouble is what a reason means to whoever set the integration up.
type trouble struct {
	step         int
	text, advice string
	// redirectURI is to be shown beside the advice.
	redirectURI bool
}

// testTrouble explains why a test failed. The reasons are those of the trail.
func testTrouble(reason, service string) trouble {
	for _, t := range [...]struct {
		reasons []string
		trouble
	}{
		{[]string{"access_denied"}, trouble{
			stepReply, service + " was not given the permission.", "Test again and allow it there. If you did, your account may not be one that may.", false,
		}},
		{[]string{"invalid_scope"}, trouble{
			stepReply, service + " does not give these scopes.", "Compare the integration's scopes with those that the client may ask for at " + service + ".", false,
		}},
		{[]string{"unauthorized_client", "unsupported_response_type"}, trouble{
			stepReply, "The client may not use this flow.", "Allow the client the authorization code flow (hybrid, where the method is) at " + service + ".", false,
		}},
		{[]string{"invalid_request", "redirect_uri_mismatch"}, trouble{
			stepReply, service + " did not accept the request.", "Compare the redirect URI with the one that is registered, letter by letter.", true,
		}},
		{[]string{"server_error", "temporarily_unavailable", providers.ReasonUnavailable, "provider_unavailable"}, trouble{
			stepVerify, service + " could not be asked.", "Look whether it works at the moment, then test again.", false,
		}},
		{[]string{"state_missing", "state", "integration_mismatch", "reply_repeated", "attempt_expired", "other_browser", "session_ended"}, trouble{
			stepReply, "A reply came that does not belong to this test, or came too late.", "Test again, in one browser and without the back button.", false,
		}},
		{[]string{providers.ReasonReplyShape}, trouble{
			stepReply, "The reply lacks what this flow needs.", "Check the response mode, and that the client may use this flow.", false,
		}},
		{[]string{providers.ReasonIssuer, string(oidc.CheckIssuer)}, trouble{
			stepReply, "The reply is from another issuer than the integration's.", "Enter the issuer exactly as " + service + " publishes it.", false,
		}},
		{[]string{string(oidc.CheckAudience), string(oidc.CheckAuthorizedParty)}, trouble{
			stepReply, "The id_token is for another client.", "Check the client id.", false,
		}},
		{[]string{string(oidc.CheckKeyID), string(oidc.CheckSignature), string(oidc.CheckAlgorithm)}, trouble{
			stepReply, "The id_token is not signed with a key that " + service + " publishes.", "Check the issuer and the address of the signing keys.", false,
		}},
		{[]string{string(oidc.CheckExpiry), string(oidc.CheckIssuedAt), string(oidc.CheckNotBefore)}, trouble{
			stepReply, "The times in the id_token do not fit.", "Compare the clock of this machine with that of " + service + ".", false,
		}},
		{[]string{providers.ReasonClient, "invalid_client"}, trouble{
			stepExchange, service + " does not accept the client id and secret.", "Check the client id, and replace the client secret.", false,
		}},
		{[]string{providers.ReasonExchange}, trouble{
			stepExchange, service + " did not trade the code for tokens.", "Compare the redirect URI with the one that is registered. Codes also work once only, and briefly.", true,
		}},
		{[]string{providers.ReasonMissingToken}, trouble{
			stepExchange, "The answer to the code has no id_token.", "Ask for the scope openid.", false,
		}},
		{[]string{providers.ReasonResolveURL}, trouble{
			stepVerify, service + " named an API root that is not allowed, or none.", "If it is right, add its host to the allowed hosts.", false,
		}},
		{[]string{providers.ReasonRefused}, trouble{
			stepVerify, "The API does not accept the token that " + service + " has just given.", "Check the API root and the scopes.", false,
		}},
		{[]string{"credential_refused"}, trouble{
			stepVerify, service + " did not accept what was typed.", "Test again. If it is right, check the API root of the integration.", false,
		}},
		{[]string{"provider_rejected", providers.ReasonProvider}, trouble{
			stepVerify, service + " answered with an error.", "Check the integration's addresses. The log has more, under the request of that time.", false,
		}},
		{[]string{providers.ReasonSettings}, trouble{
			stepReply, "The integration was changed during the test.", "Test again.", false,
		}},
		{[]string{"rate_limited"}, trouble{
			stepVerify, "There were too many tries within a minute.", "Wait a minute, then test again.", false,
		}},
		{[]string{"invalid_grant", string(providers.RefreshTerminal)}, trouble{
			stepVerify, service + " refused the refresh token that it had just given.", "Allow the client to refresh (offline access) at " + service + ".", false,
		}},
		{[]string{string(providers.RefreshTransient), string(providers.RefreshUncertain)}, trouble{
			stepVerify, service + " did not answer.", "Look whether it works at the moment, then test again.", false,
		}},
	} {
		if slices.Contains(t.reasons, reason) {
			return t.trouble
		}
	}
	return trouble{stepReply, "The reason is " + reason + ".", "The log has more, under the request of that time.", false}
}
