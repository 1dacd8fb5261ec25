package store

import (
	"maps"
	"sync/atomic"
)

// memoSize is how many texts a memo holds before it begins anew. API keys are
// few, and those that may do the same share their texts.
const memoSize = 64

// memo remembers what was made of texts that are read over and over. What it
// answers is shared and not to be changed. It takes no lock: who reads sees the
// map as some writer left it.
type memo[T any] struct {
	known atomic.Pointer[map[string]T]
}

// of answers what parse makes of the text; the error is not remembered.
func (m *memo[T]) of(text string, parse func(string) (T, error)) (T, error) {
	known := m.known.Load()
	if known != nil {
		if v, ok := (*known)[text]; ok {
			return v, nil
		}
	}
	v, err := parse(text)
	if err != nil {
		return v, err
	}
	next := map[string]T{}
	if known != nil && len(*known) < memoSize {
		next = maps.Clone(*known)
	}
	next[text] = v
	m.known.Store(&next)
	return v, nil
}
