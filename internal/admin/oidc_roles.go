package admin

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/claviger/claviger/internal/providers/login"
	"github.com/claviger/claviger/internal/vault"
)

// RoleRule gives a role to whom the OpenID provider says something of.
type RoleRule struct {
	// Claim is a string or an array of strings that has to be, or have, the value.
	Claim string
	Value string
	Role  vault.Role
}

// claimName is what a claim may be called in a rule.
var claimName = regexp.MustCompile(`^[A-Za-z0-9_.:/-]{1,128}$`)

// ParseRoles reads rules such as "groups=claviger-owners:owner,email=ann@example.com:viewer".
// A value may have any character but a comma: the role is what follows the last
// colon. It answers everything that is wrong at once.
func ParseRoles(text string) ([]RoleRule, error) {
	var rules []RoleRule
	var faults []error
	for part := range strings.SplitSeq(text, ",") {
		part = strings.TrimSpace(part)
		rule, err := parseRole(part)
		if err == nil && slices.ContainsFunc(rules, func(r RoleRule) bool { return r.Claim == rule.Claim && r.Value == rule.Value }) {
			err = fmt.Errorf("%q gives a second role to the same people", part)
		}
		if err != nil {
			faults = append(faults, err)
			continue
		}
		rules = append(rules, rule)
	}
	return rules, errors.Join(faults...)
}

func parseRole(part string) (RoleRule, error) {
	claim, rest, ok := strings.Cut(part, "=")
	colon := strings.LastIndexByte(rest, ':')
	if !ok || colon < 0 {
		return RoleRule{}, fmt.Errorf("%q is not of the form claim=value:role", part)
	}
	r := RoleRule{Claim: strings.TrimSpace(claim), Value: strings.TrimSpace(rest[:colon]), Role: vault.Role(strings.TrimSpace(rest[colon+1:]))}
	switch {
	case !claimName.MatchString(r.Claim):
		return RoleRule{}, fmt.Errorf("%q does not name a claim", part)
	case r.Value == "":
		return RoleRule{}, fmt.Errorf("%q has no value", part)
	case r.Role.Rank() == 0:
		return RoleRule{}, fmt.Errorf("%q: the role is viewer, operator or owner", part)
	}
	return r, nil
}

// roleOf is the highest role that the rules give somebody, "" for none. An email
// counts only where the provider says that it is theirs.
func roleOf(rules []RoleRule, claims login.Claims) vault.Role {
	var best vault.Role
	for _, r := range rules {
		values := claims.Strings(r.Claim)
		if r.Claim == "email" {
			values = []string{claims.Email()}
		}
		if r.Role.Rank() > best.Rank() && slices.Contains(values, r.Value) {
			best = r.Role
		}
	}
	return best
}

// claimsOf are the claims that the rules look at, and what it takes to name
// somebody.
func claimsOf(rules []RoleRule) []string {
	names := []string{"name"}
	for _, r := range rules {
		names = append(names, r.Claim)
		if r.Claim == "email" {
			names = append(names, "email_verified")
		}
	}
	return names
}
