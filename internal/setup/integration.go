package setup

import (
	"context"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"github.com/claviger/claviger/internal/vault"
)

func (p *planner) planIntegrations(ctx context.Context, caller vault.Caller, path string, declared []integration) ([]step, error) {
	there := map[string]vault.Integration{}
	if caller.EnvironmentID != "" {
		list, err := p.integrations(ctx, caller)
		if err != nil {
			return nil, err
		}
		for _, in := range list {
			there[in.Key] = in
		}
	}
	var steps []step
	seen := names{}
	for i := range declared {
		at := fmt.Sprintf("%s.integrations[%d]", path, i)
		if !seen.first(p.file, at, "key", declared[i].Key) {
			continue
		}
		want, err := p.checkedIntegration(at, &declared[i])
		if err != nil {
			return nil, err
		}
		old, ok := there[want.Key]
		if !ok {
			steps = append(steps, p.createIntegration(want))
			continue
		}
		s, err := p.changeIntegration(ctx, caller, at, old, want)
		if err != nil {
			return nil, err
		}
		steps = append(steps, s)
	}
	for _, key := range slices.Sorted(maps.Keys(there)) {
		if _, ok := seen[key]; ok {
			continue
		}
		s, err := p.undeclaredIntegration(ctx, caller, key)
		if err != nil {
			return nil, err
		}
		steps = append(steps, s)
	}
	return steps, nil
}

// checkedIntegration is what the file declares, with its secret. What is wrong
// with it is in the file's faults.
func (p *planner) checkedIntegration(path string, declared *integration) (vault.Integration, error) {
	want := declared.declared()
	if want.Provider == "" {
		p.file.yaml.Fault(path+".provider", "is missing")
		return want, nil
	}
	if declared.ClientSecret != nil {
		secret, err := p.secrets.resolve(declared.ClientSecret)
		if err != nil {
			p.file.yaml.Fault(path+".client_secret", "%v", err)
		}
		want.ClientSecret = secret
	}
	err := p.vault.CheckIntegration(want)
	return want, p.file.blame(path, err, func(pointer string) string { return p.meant(pointer, &want) })
}

// meant is the nearest name for a provider or method that is not there.
func (p *planner) meant(pointer string, in *vault.Integration) string {
	if pointer == "/provider" {
		var known []string
		for _, provider := range p.catalog.Providers() {
			known = append(known, provider.Name)
		}
		return nearest(in.Provider, known)
	}
	provider, ok := p.catalog.Get(in.Provider)
	index, isMethod := strings.CutPrefix(pointer, "/methods/")
	if !ok || !isMethod {
		return ""
	}
	var known []string
	for i := range provider.Methods {
		known = append(known, provider.Methods[i].Name)
	}
	i, err := strconv.Atoi(index)
	if err != nil || i >= len(in.Methods) {
		return ""
	}
	return nearest(in.Methods[i], known)
}

func (p *planner) createIntegration(want vault.Integration) step {
	return step{
		verb: verbCreate, what: "integration " + want.Key,
		details: given(slices.Concat([]member{{"provider", text(want.Provider)}}, integrationMembers(want), []member{{"client_secret", shown(want.HasClientSecret)}})),
		run: func(ctx context.Context, caller vault.Caller) error {
			_, err := p.vault.CreateIntegration(ctx, caller, want)
			return err
		},
	}
}

func (p *planner) changeIntegration(ctx context.Context, caller vault.Caller, path string, old, want vault.Integration) (step, error) {
	s := step{verb: verbUnchanged, what: "integration " + want.Key}
	if old.Provider != want.Provider {
		if _, known := p.catalog.Get(want.Provider); !known {
			return s, nil // said already
		}
		p.file.yaml.Fault(path+".provider", "the integration is there with the provider %q, which cannot be changed; take another key, or remove it first", old.Provider)
		return s, nil
	}
	s.details = differences(integrationMembers(old), integrationMembers(want))
	opened, err := p.vault.OpenIntegration(ctx, caller, old.ID)
	if err != nil {
		return s, fmt.Errorf("comparing the client secret of integration %s: %w", old.Key, err)
	}
	if !opened.ClientSecret.Equal(want.ClientSecret) {
		change := "another (not shown)"
		switch {
		case !old.HasClientSecret:
			change = "none -> " + shown(true)
		case !want.HasClientSecret:
			change = shown(true) + " -> none"
		}
		s.details = append(s.details, "client_secret: "+change)
	}
	if len(s.details) == 0 {
		return s, nil
	}
	s.verb = verbChange
	s.run = func(ctx context.Context, caller vault.Caller) error {
		// The secret goes along: whoever moves endpoints has to have it.
		_, err := p.vault.PatchIntegration(ctx, caller, want.Key, vault.IntegrationPatch{
			Title: &want.Title, ClientID: &want.ClientID, ClientSecret: &want.ClientSecret,
			Scopes: &want.Scopes, Methods: &want.Methods, Overrides: &want.Overrides,
		})
		return err
	}
	return s, nil
}

func (p *planner) undeclaredIntegration(ctx context.Context, caller vault.Caller, key string) (step, error) {
	s := step{verb: verbUndeclared, what: "integration " + key}
	if !p.prune {
		return s, nil
	}
	for _, status := range []vault.Status{vault.StatusPending, vault.StatusActive, vault.StatusReconnectRequired} {
		live, err := p.vault.Connections(ctx, caller, vault.ConnectionFilter{Integration: key, Status: status, Page: vault.Page{Limit: 1}})
		if err != nil {
			return s, err
		}
		if len(live) > 0 {
			s.verb, s.note = verbKeep, ": has live connections; revoke them first"
			return s, nil
		}
	}
	s.verb = verbRemove
	s.run = func(ctx context.Context, caller vault.Caller) error {
		return p.vault.DeleteIntegration(ctx, caller, key)
	}
	return s, nil
}

// integrationMembers are those that a plan compares by showing them.
func integrationMembers(in vault.Integration) []member {
	return append([]member{
		{"title", text(in.Title)},
		{"client_id", text(in.ClientID)},
		{"scopes", texts(in.Scopes)},
		{"methods", texts(in.Methods)},
	}, overrideMembers(in.Overrides)...)
}

// overrideMembers follow the file's format.
func overrideMembers(o vault.Overrides) []member {
	v := reflect.ValueOf(overrides(o))
	members := make([]member, 0, v.NumField())
	for i := range v.NumField() {
		m := member{name: "overrides." + v.Type().Field(i).Tag.Get("yaml")}
		switch value := v.Field(i).Interface().(type) {
		case string:
			m.value = text(value)
		case []string:
			m.value = texts(value)
		}
		members = append(members, m)
	}
	return members
}

// shown stands for a secret.
func shown(set bool) string {
	if set {
		return "set (not shown)"
	}
	return ""
}
