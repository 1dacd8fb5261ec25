package providers

import (
	"context"
	"errors"

	"github.com/claviger/claviger/internal/vault"
)

// basicScheme is RFC 7617: the fields of the form, put into a user name and a
// password by two templates. What is kept is what was typed.
type basicScheme struct{}

func (basicScheme) obtain(_ context.Context, _ *Service, t target, values vault.Credential) (vault.Grant, error) {
	g := vault.Grant{Credential: values}
	// The user name says whose account it is, where it is one and nobody can be
	// asked for a better answer.
	for _, name := range t.method.Basic.Username.names() {
		if f, ok := t.method.Field(name); ok && !f.IsSecret() && string(t.method.Basic.Username) == "{"+name+"}" && isPlain(values.Get(name)) {
			g.Account = vault.Account{ID: values.Get(name), Label: values.Get(name)}
		}
	}
	return g, nil
}

// readyMade takes user name and password as they are: an integration by hand
// may know the pair that the provider documents, "api_token" and all.
func (basicScheme) readyMade(_ *Service, t target, c vault.Credential) (vault.Grant, bool, error) {
	if !t.isVerbatim(c) {
		return vault.Grant{}, false, nil
	}
	return vault.Grant{Credential: c}, true, nil
}

func (basicScheme) authorization(t target, c vault.Credential) ([]vault.Header, error) {
	userTemplate, passTemplate := t.method.Basic.Username, t.method.Basic.Password
	if t.isVerbatim(c) {
		userTemplate, passTemplate = "{username}", "{password}"
	}
	value, err := expandBasic(userTemplate, passTemplate, c)
	if err != nil {
		return nil, err
	}
	return []vault.Header{{Name: "Authorization", Value: value}}, nil
}

// expandBasic renders a Basic header from two templates. Errors name the value
// that is wrong, not the part of the header.
func expandBasic(userTemplate, passTemplate Template, c vault.Credential) (vault.Secret, error) {
	username, err := userTemplate.expand(c)
	if err != nil {
		return vault.Secret{}, err
	}
	password, err := passTemplate.expand(c)
	if err != nil {
		return vault.Secret{}, err
	}
	value, err := basicAuth(username, password)
	if v, ok := errors.AsType[*valueError](err); ok {
		of := passTemplate
		if v.name == valueUsername {
			of = userTemplate
		}
		if names := of.names(); len(names) > 0 {
			v.name = names[0]
		}
	}
	return value, err
}
