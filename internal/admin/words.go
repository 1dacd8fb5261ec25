package admin

import (
	"cmp"
	"slices"
	"strings"

	"github.com/claviger/claviger/internal/vault"
	"github.com/claviger/claviger/web"
)

// actions is what each action is called on the pages, in the order in which
// people choose one: connections first.
var actions = [...]struct {
	action vault.Action
	words  string
}{
	{vault.ActionHeadersRead, "Headers read"},
	{vault.ActionCredentialRead, "Credential read"},
	{vault.ActionConnectionCreated, "Account linked"},
	{vault.ActionConnectionImported, "Connection imported"},
	{vault.ActionConnectionActivated, "Connection activated"},
	{vault.ActionConnectionReconnect, "Account linked again"},
	{vault.ActionConnectionUpdated, "Tags or metadata changed"},
	{vault.ActionConnectionRefreshed, "Credential refreshed"},
	{vault.ActionConnectionVerified, "Credential verified"},
	{vault.ActionRefreshAsked, "Refresh asked for"},
	{vault.ActionVerifyAsked, "Verification asked for"},
	{vault.ActionRefreshFailed, "Refresh failed"},
	{vault.ActionRefreshUncertain, "Refresh tried again, its outcome was lost"},
	{vault.ActionRefreshRescued, "Refresh token saved"},
	{vault.ActionConnectionCondemned, "Reconnect required"},
	{vault.ActionBaseURLChanged, "Another API root than before"},
	{vault.ActionBaseURLHeld, "New API root held back"},
	{vault.ActionConnectionRevoked, "Connection revoked"},
	{vault.ActionProviderTold, "Provider told"},
	{vault.ActionConnectionDeleted, "Connection deleted"},
	{vault.ActionBulkCreated, "Bulk revocation asked for"},
	{vault.ActionBulkStopped, "Bulk revocation stopped"},
	{vault.ActionBulkResumed, "Bulk revocation resumed"},
	{vault.ActionBulkCompleted, "Bulk revocation completed"},
	{vault.ActionSessionCreated, "Connect link made"},
	{vault.ActionSessionBound, "Connect link opened"},
	{vault.ActionLinkStarted, "Linking started"},
	{vault.ActionLinkFailed, "Linking failed"},
	{vault.ActionSessionFailed, "Connect link ended without an account"},
	{vault.ActionSessionRedeemed, "Result redeemed"},
	{vault.ActionSessionFinished, "End user done with their accounts"},
	{vault.ActionIntegrationCreated, "Integration created"},
	{vault.ActionIntegrationUpdated, "Integration changed"},
	{vault.ActionIntegrationSecretDropped, "Old client secret dropped"},
	{vault.ActionIntegrationDeleted, "Integration deleted"},
	{vault.ActionIntegrationTested, "Integration tested"},
	{vault.ActionAPIKeyCreated, "API key created"},
	{vault.ActionAPIKeyUpdated, "API key changed"},
	{vault.ActionAPIKeyRotated, "API key rotated"},
	{vault.ActionAPIKeyRevoked, "API key revoked"},
	{vault.ActionAdminInvited, "Admin invited"},
	{vault.ActionAdminSignedIn, "Admin signed in"},
	{vault.ActionAdminSignedOut, "Admin signed out"},
	{vault.ActionAdminSessionEnded, "Admin's session ended"},
	{vault.ActionAdminRefused, "Sign-in of an admin refused"},
	{vault.ActionAdminRoleChanged, "Admin's role changed"},
	{vault.ActionAdminRemoved, "Admin removed"},
	{vault.ActionAdminRestored, "Admin let in again"},
	{vault.ActionAuditAcknowledged, "Break of the trail acknowledged"},
	{vault.ActionEnvironmentCreated, "Environment created"},
	{vault.ActionEnvironmentRenamed, "Environment renamed"},
	{vault.ActionEnvironmentSwitched, "Environment looked at"},
	{vault.ActionReadAuditChanged, "Recording of reads changed"},
	{vault.ActionKeysetChanged, "Encryption keys changed"},
	{vault.ActionRefused, "Refused"},
}

// actionWords is an action in words. One that this release does not know yet is
// shown as it is: another replica may be newer.
func actionWords(a vault.Action) string {
	for _, x := range actions {
		if x.action == a {
			return x.words
		}
	}
	return string(a)
}

// actionValues is what a filter takes, "" for any.
func actionValues() []vault.Action {
	values := []vault.Action{""}
	for _, x := range actions {
		values = append(values, x.action)
	}
	return values
}

func actionOptions() []web.Option {
	options := []web.Option{{Label: "Anything"}}
	for _, x := range actions {
		options = append(options, web.Option{Value: string(x.action), Label: x.words})
	}
	return options
}

// actorWords is who did it; name is an id or the name of a key.
func actorWords(kind vault.CallerKind, name string) string {
	switch kind {
	case vault.CallerAPIKey:
		return "Key " + name
	case vault.CallerAdmin:
		return "Admin " + name
	case vault.CallerEndUser:
		return "End user, in " + name
	case vault.CallerSystem:
		return "The broker (" + name + ")"
	}
	return name
}

// reasons is what each reason beside a status means.
var reasons = [...]struct{ word, sentence string }{
	{vault.ReasonInvalidGrant, "The provider refused the refresh token."},
	{vault.ReasonOutcomeLost, "A refresh was sent and its answer never arrived, so the one-time token is spent."},
	{vault.ReasonExpired, "The credential is past its life, and there is nothing to renew it with."},
	{vault.ReasonRejected, "The provider refuses the credential."},
	{vault.ReasonIdentityChanged, "A refresh came back for another account, so its result was not used."},
	{vault.ReasonNotRedeemed, "The host application did not redeem the result in time."},
	{vault.ReasonWrongEndUser, "The host application redeemed the result for another user."},
	{vault.ReasonRevokedByCaller, "It was revoked on request."},
	{vault.ReasonRevokedByEndUser, "The end user disconnected it."},
	{vault.ReasonTestOver, "It was a test of the integration, which is over."},
	{vault.ReasonBaseURLHeld, "The provider names another API root than before; the one from before is kept."},
}

// reasonSentence says why a connection stands where it does.
func reasonSentence(word string) string {
	for _, r := range reasons {
		if r.word == word {
			return r.sentence
		}
	}
	if word == "" {
		return ""
	}
	return "Reason: " + word + "."
}

// reasonWords is the reason of an entry in words, or the word itself: those of
// failures are many, and the same as in the API and in the log.
func reasonWords(e *vault.AuditEntry) string {
	switch {
	case e.Action == vault.ActionRefused:
		return refusedWords(e.Reason)
	case e.Action == vault.ActionProviderTold:
		return outcomeWords(vault.Outcome(e.Reason))
	case e.Action == vault.ActionCredentialRead && e.Reason == vault.ValueRefreshToken:
		return "with the refresh token"
	case e.Reason == vault.ReasonRevokedByCaller:
		return "on request"
	}
	for _, r := range reasons {
		if r.word == e.Reason {
			return strings.TrimSuffix(r.sentence, ".")
		}
	}
	return e.Reason
}

// refusedWords says why a known caller was turned away: for want of a scope, or
// because of the key.
func refusedWords(reason string) string {
	switch reason {
	case vault.ReasonAddress:
		return "the key is not for that address"
	case vault.ReasonKeyExpired:
		return "the key has expired"
	case vault.ReasonKeyRevoked:
		return "the key was revoked"
	}
	return "needs " + reason
}

func outcomeWords(o vault.Outcome) string {
	switch o {
	case vault.OutcomeRevoked:
		return "it confirmed"
	case vault.OutcomeUnsupported:
		return "it has no way to be told"
	case vault.OutcomeFailed:
		return "it did not confirm"
	}
	return string(o)
}

func sortTags(tags []tagLink) {
	slices.SortFunc(tags, func(a, b tagLink) int { return cmp.Compare(a.Name, b.Name) })
}

// roleWords is a role with its article.
func roleWords(r vault.Role) string {
	if r == vault.RoleViewer {
		return "a viewer"
	}
	return "an " + string(r)
}
