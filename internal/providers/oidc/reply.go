package oidc

import (
	"slices"
	"strings"
)

// IsReplyCode knows the registered error codes of an authorization response: RFC
// 6749 section 4.1.2.1 and OpenID Connect Core section 3.1.2.6. Others are
// anybody's text and stay out of the trail.
func IsReplyCode(code string) bool {
	return slices.Contains(strings.Fields(`
	access_denied account_selection_required consent_required interaction_required invalid_request
	invalid_request_object invalid_request_uri invalid_scope login_required registration_not_supported
	request_not_supported request_uri_not_supported server_error temporarily_unavailable
	unauthorized_client unsupported_response_type`), code)
}
