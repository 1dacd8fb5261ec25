package sandbox

import "sync"

// Switches holds the settings of one service, changeable while it runs. It is
// safe for concurrent use; a request reads the settings when it needs them.
type Switches[T any] struct {
	mu sync.RWMutex
	v  T
}

// Settings gives a copy of the settings.
func (s *Switches[T]) Settings() T {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.v
}

// Set changes settings: t.Set(func(s *TimeLogSettings) { s.AllowQuery = true }).
func (s *Switches[T]) Set(change func(*T)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	change(&s.v)
}
