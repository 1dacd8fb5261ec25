package setup

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/claviger/claviger/internal/fault"
	"github.com/claviger/claviger/internal/vault"
)

func (p *planner) planKeys(ctx context.Context, caller vault.Caller, path string, env *environment) ([]step, error) {
	var steps []step
	matched := map[string]bool{} // by id
	known, err := p.knownIntegrations(ctx, caller, env)
	if err != nil {
		return nil, err
	}
	for i := range env.APIKeys {
		at := fmt.Sprintf("%s.api_keys[%d]", path, i)
		s, id, err := p.planKey(ctx, caller, at, &env.APIKeys[i], known)
		if err != nil {
			return nil, err
		}
		steps, matched[id] = append(steps, s), true
	}
	if caller.EnvironmentID == "" {
		return steps, nil
	}
	undeclared, err := p.liveKeys(ctx, caller)
	if err != nil {
		return nil, err
	}
	undeclared = slices.DeleteFunc(undeclared, func(k vault.APIKey) bool { return matched[k.ID] })
	var ours map[string]bool
	if p.prune && len(undeclared) > 0 {
		if ours, err = p.madeByApply(ctx, caller); err != nil {
			return nil, err
		}
	}
	for _, k := range undeclared {
		steps = append(steps, p.undeclaredKey(k, ours[k.ID]))
	}
	return steps, nil
}

// knownIntegrations are the keys of those that are there, or will be once the
// plan is carried out.
func (p *planner) knownIntegrations(ctx context.Context, caller vault.Caller, env *environment) ([]string, error) {
	var known []string
	for i := range env.Integrations {
		known = append(known, env.Integrations[i].Key)
	}
	if caller.EnvironmentID == "" {
		return known, nil
	}
	there, err := p.integrations(ctx, caller)
	for _, in := range there {
		known = append(known, in.Key)
	}
	return known, err
}

// limitsKnown finds limits to integrations that nobody knows: the key would
// reach nothing there.
func (p *planner) limitsKnown(path string, declared *apiKey, known []string) {
	for i, key := range declared.Integrations {
		if slices.Contains(known, key) {
			continue
		}
		p.file.yaml.Fault(fmt.Sprintf("%s.integrations[%d]", path, i), "There is no integration %q%s", key, nearest(key, known))
	}
}

// planKey finds the key by its secret: names need not be unique, and another
// secret is another key, which may overlap with the old one.
func (p *planner) planKey(ctx context.Context, caller vault.Caller, path string, declared *apiKey, known []string) (step, string, error) {
	s := step{verb: verbCreate, what: "API key " + text(declared.Name)}
	want, ok := p.newKey(path, declared)
	if declared.Key == nil {
		p.file.yaml.Fault(path+".key", "is missing")
		ok = false
	}
	if !ok {
		return s, "", nil
	}
	secret, err := p.secrets.resolve(declared.Key)
	if err == nil {
		err = vault.CheckOwnKey(secret)
	}
	if err != nil {
		p.file.yaml.Fault(path+".key", "%v", err)
		return s, "", nil
	}
	hash := string(vault.HashToken(secret))
	if other, twice := p.keys[hash]; twice {
		p.file.yaml.Fault(path+".key", "is the same key as that of %s", other)
		return s, "", nil
	}
	p.keys[hash] = path
	old, err := p.vault.FindAPIKey(ctx, caller, secret)
	switch {
	case fault.Is(err, fault.Conflict):
		p.file.yaml.Fault(path+".key", "is a key of another environment already")
		return s, "", nil
	case fault.Is(err, fault.NotFound):
		p.limitsKnown(path, declared, known)
		s.details = given(keyMembers(want)[1:])
		s.run = func(ctx context.Context, caller vault.Caller) error {
			_, err := p.vault.AddAPIKey(ctx, caller, want, secret)
			return err
		}
		return s, "", p.blameKey(path, want, p.vault.CheckAPIKey(caller, want, false))
	case err != nil:
		return s, "", err
	case !old.RevokedAt.IsZero():
		p.file.yaml.Fault(path+".key", "was revoked; a key that was revoked does not come back, make another")
		return s, "", nil
	}
	p.limitsKnown(path, declared, slices.Concat(known, old.Integrations)) // what it was limited to may be gone
	if err := p.blameKey(path, want, p.vault.CheckAPIKey(caller, want, true)); err != nil {
		return s, "", err
	}
	s.verb = verbUnchanged
	if s.details = differences(keyMembers(old.Asked()), keyMembers(want)); s.details != nil {
		s.verb = verbChange
		s.run = func(ctx context.Context, caller vault.Caller) error {
			_, err := p.vault.ChangeAPIKey(ctx, caller, old.ID, want.Patch())
			return err
		}
	}
	return s, old.ID, nil
}

func (p *planner) newKey(path string, declared *apiKey) (vault.NewAPIKey, bool) {
	n, ok := vault.NewAPIKey{Name: declared.Name, Integrations: declared.Integrations, Addresses: declared.Addresses}, true
	for _, scope := range declared.Scopes {
		n.Scopes = append(n.Scopes, vault.Scope(scope))
	}
	if declared.ExpiresAt != "" {
		at, err := time.Parse(time.RFC3339, declared.ExpiresAt)
		if err != nil {
			p.file.yaml.Fault(path+".expires_at", "must be a time such as 2030-12-31T23:59:59Z")
			ok = false
		}
		n.ExpiresAt = at.UTC().Truncate(time.Microsecond)
	}
	return n, ok
}

func (p *planner) blameKey(path string, n vault.NewAPIKey, err error) error {
	return p.file.blame(path, err, func(pointer string) string {
		index, isScope := strings.CutPrefix(pointer, "/scopes/")
		i, err := strconv.Atoi(index)
		if !isScope || err != nil || i >= len(n.Scopes) {
			return ""
		}
		return nearest(string(n.Scopes[i]), scopeWords(vault.AllScopes()))
	})
}

// liveKeys are those that work, by name.
func (s *Setup) liveKeys(ctx context.Context, caller vault.Caller) ([]vault.APIKey, error) {
	list, err := s.keys(ctx, caller)
	if err != nil {
		return nil, err
	}
	now := s.now()
	list = slices.DeleteFunc(list, func(k vault.APIKey) bool {
		return !k.RevokedAt.IsZero() || !k.ExpiresAt.IsZero() && !k.ExpiresAt.After(now)
	})
	slices.SortFunc(list, func(a, b vault.APIKey) int {
		return cmp.Or(strings.Compare(a.Name, b.Name), strings.Compare(a.ID, b.ID))
	})
	return list, nil
}

// madeByApply are the ids of the keys that the trail says were made here.
func (p *planner) madeByApply(ctx context.Context, caller vault.Caller) (map[string]bool, error) {
	created := func(ctx context.Context, caller vault.Caller, page vault.Page) ([]vault.AuditEntry, error) {
		return p.vault.Audit(ctx, caller, vault.AuditFilter{ActorID: callerName, Action: vault.ActionAPIKeyCreated, Page: page})
	}
	entries, err := all(ctx, created, caller, func(e vault.AuditEntry) string { return e.ID })
	if err != nil {
		return nil, err
	}
	ours := map[string]bool{}
	for _, e := range entries {
		ours[e.Reason] = e.ActorKind == vault.CallerSystem
	}
	return ours, nil
}

func (p *planner) undeclaredKey(k vault.APIKey, ours bool) step {
	s := step{verb: verbUndeclared, what: "API key " + text(k.Name), note: " (" + k.ID + ")"}
	switch {
	case !p.prune:
	case !ours:
		s.verb, s.note = verbKeep, s.note+": was not made by apply"
	default:
		s.verb = verbRevoke
		s.run = func(ctx context.Context, caller vault.Caller) error { return p.vault.RevokeAPIKey(ctx, caller, k.ID) }
	}
	return s
}

func keyMembers(n vault.NewAPIKey) []member {
	scopes := scopeWords(n.Scopes)
	slices.Sort(scopes)
	expires := ""
	if !n.ExpiresAt.IsZero() {
		expires = n.ExpiresAt.UTC().Format(time.RFC3339Nano)
	}
	return []member{
		{"name", text(n.Name)},
		{"scopes", texts(slices.Compact(scopes))},
		{"integrations", texts(slices.Sorted(slices.Values(n.Integrations)))},
		{"addresses", texts(plainAddresses(n.Addresses))},
		{"expires_at", expires},
	}
}

// plainAddresses are the addresses as they are stored: 192.0.2.7 and
// 192.0.2.7/32 are the same.
func plainAddresses(addresses []string) []string {
	plain := make([]string, len(addresses))
	for i, a := range addresses {
		plain[i] = a
		if p, err := vault.ParseAddress(a); err == nil {
			plain[i] = p.String()
		}
	}
	slices.Sort(plain)
	return plain
}

func scopeWords(scopes []vault.Scope) []string {
	words := make([]string, len(scopes))
	for i, s := range scopes {
		words[i] = string(s)
	}
	return words
}
