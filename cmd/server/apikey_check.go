package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/claviger/claviger/internal/fault"
	"github.com/claviger/claviger/internal/vault"
)

// maxKeyInput bounds what is read as a key, in bytes.
const maxKeyInput = 4 << 10

// errKeyWorks is the answer that somebody has to act upon.
var errKeyWorks = errors.New("the key works: rotate or revoke it")

// checkKey says of a key on the standard input what it is, for whoever found it
// somewhere. It is never printed.
func checkKey(ctx context.Context, p *process, b *broker) error {
	if p.stdin == nil {
		return errors.New("apikey check reads the key from the standard input")
	}
	input, err := io.ReadAll(io.LimitReader(p.stdin, maxKeyInput+1))
	switch {
	case err != nil:
		return fmt.Errorf("reading the key: %w", err)
	case len(input) > maxKeyInput:
		return fmt.Errorf("the input is longer than %d bytes: that is no key", maxKeyInput)
	}
	key := vault.NewSecret(strings.TrimSpace(string(input)))
	if key.IsZero() {
		return errors.New("the standard input is empty: that is no key")
	}
	fmt.Fprintf(p.stdout, "form\t%s\n", formOf(key))
	k, environment, err := b.vault.RecogniseAPIKey(ctx, key)
	if fault.Is(err, fault.NotFound) {
		_, err = fmt.Fprintln(p.stdout, "known\tno: not here, or with another database")
		return err
	}
	if err != nil {
		return err
	}
	now := b.store.Now()
	fmt.Fprintf(p.stdout, "known\t%s %q in environment %s\nstate\t%s\nmay\t%s\n", k.ID, k.Name, environment, keyState(k, now), mayOf(k))
	if !k.LastUsedAt.IsZero() {
		fmt.Fprintf(p.stdout, "used\t%s\n", k.LastUsedAt.Format(time.RFC3339))
	}
	if k.Live(now) {
		return errKeyWorks
	}
	return nil
}

// formOf says what a text looks like, known or not.
func formOf(key vault.Secret) string {
	switch {
	case vault.LooksLikeAPIKey(key):
		return "an API key of Claviger, and its checksum is right"
	case vault.LooksLikeToken(key):
		return "a token of Claviger, and no API key; its checksum is right"
	case strings.HasPrefix(key.Reveal(), "clv_"):
		return "begins like a token of Claviger, and its checksum is wrong: made up, or a character was lost"
	}
	return "none of Claviger's own making"
}

// mayOf is what a key may do, and where.
func mayOf(k vault.APIKey) string {
	words := make([]string, len(k.Scopes))
	for i, s := range k.Scopes {
		words[i] = string(s)
	}
	may := strings.Join(words, ",")
	if len(k.Integrations) > 0 {
		may += " integrations=" + strings.Join(k.Integrations, ",")
	}
	if len(k.Addresses) > 0 {
		may += " addresses=" + strings.Join(k.Asked().Addresses, ",")
	}
	return may
}
