package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"slices"
	"time"

	"github.com/claviger/claviger/internal/vault"
)

// apiKeyCommand is `claviger apikey create|list|revoke|check`.
func apiKeyCommand(ctx context.Context, p *process, args []string) error {
	verb, rest := verbOf(args)
	fs := flag.NewFlagSet("apikey "+verb, flag.ContinueOnError)
	environment := fs.String("environment", vault.DefaultEnvironment, "environment of the key; create makes one that is not there")
	name := fs.String("name", "command line", "what the key is for")
	scopes := fs.String("scopes", "", "comma-separated scopes; all of them if empty")
	integrations := fs.String("integrations", "", "comma-separated keys of the integrations that the key is limited to; no limit if empty")
	addresses := fs.String("addresses", "", "comma-separated addresses and CIDRs that the key is taken from; no limit if empty")
	expires := fs.Duration("expires-in", 0, "life of the key, such as 720h; for ever if 0")
	b, err := p.open(ctx, fs, rest)
	if err != nil {
		return err
	}
	defer b.close(ctx)
	if verb == "check" { // in whatever environment
		return checkKey(ctx, p, b)
	}
	if verb == "create" {
		if _, err := b.vault.EnsureEnvironment(ctx, *environment); err != nil {
			return err
		}
	}
	env, err := b.store.EnvironmentByName(ctx, *environment)
	if err != nil {
		return fmt.Errorf("environment %q: %w", *environment, err)
	}
	caller := vault.System("cli", env.ID)
	switch verb {
	case "create":
		n := vault.NewAPIKey{Name: *name, Scopes: scopesOf(*scopes, *integrations != ""), Integrations: list(*integrations), Addresses: list(*addresses)}
		if *expires != 0 {
			n.ExpiresAt = time.Now().Add(*expires)
		}
		k, key, err := b.vault.CreateAPIKey(ctx, caller, n)
		if err != nil {
			return err
		}
		fmt.Fprintf(p.stderr, "%s, shown this once:\n", k.ID)
		_, err = fmt.Fprintln(p.stdout, key.Reveal())
		return err
	case "list":
		return listKeys(ctx, p, b, caller)
	case "revoke":
		if fs.NArg() != 1 {
			return errors.New("apikey revoke wants the id of a key, as `claviger apikey list` shows it")
		}
		return b.vault.RevokeAPIKey(ctx, caller, fs.Arg(0))
	}
	return errors.New("apikey wants one of: create, list, revoke ID, check")
}

// scopesOf are those that are named, else all; of a key that is limited to
// integrations all that go with that.
func scopesOf(v string, limited bool) []vault.Scope {
	if v == "" && limited {
		return slices.DeleteFunc(vault.AllScopes(), vault.Scope.Whole)
	}
	if v == "" {
		return vault.AllScopes()
	}
	var scopes []vault.Scope
	for _, s := range list(v) {
		scopes = append(scopes, vault.Scope(s))
	}
	return scopes
}

func listKeys(ctx context.Context, p *process, b *broker, caller vault.Caller) error {
	page := vault.Page{Limit: 200}
	for {
		keys, err := b.vault.APIKeys(ctx, caller, page)
		if err != nil {
			return err
		}
		for _, k := range keys {
			fmt.Fprintf(p.stdout, "%s\t%s\t%s…\t%s\t%s\n", k.ID, k.Name, k.Prefix, keyState(k, b.store.Now()), mayOf(k))
			page.Cursor = k.ID
		}
		if len(keys) < page.Limit {
			return nil
		}
	}
}

func keyState(k vault.APIKey, now time.Time) string {
	switch {
	case !k.RevokedAt.IsZero():
		return "revoked " + k.RevokedAt.Format(time.RFC3339)
	case k.ExpiresAt.IsZero():
		return "never expires"
	case !now.Before(k.ExpiresAt):
		return "expired " + k.ExpiresAt.Format(time.RFC3339)
	}
	return "expires " + k.ExpiresAt.Format(time.RFC3339)
}
