package setup

import (
	"context"
	"fmt"
	"io"

	"github.com/claviger/claviger/internal/vault"
)

// done is the verb in the past.
func (v verb) done() string {
	switch v {
	case verbCreate:
		return "created"
	case verbChange:
		return "changed"
	case verbRemove:
		return "removed"
	case verbRevoke:
		return "revoked"
	}
	return string(v)
}

// act is one change of a plan, on its own.
type act struct {
	environment int // index in the plan
	step
}

// acts are the changes in their order.
func (p *Plan) acts() []act {
	var acts []act
	for i, e := range p.environments {
		if e.declared && e.id == "" {
			acts = append(acts, act{i, step{verb: verbCreate, what: "environment"}})
		}
		for _, s := range e.steps {
			if s.run != nil {
				acts = append(acts, act{i, s})
			}
		}
	}
	return acts
}

// Apply makes the changes one after the other, each in a transaction of its own
// with its entry in the trail, and writes a line for each. After the first that
// fails nothing more is tried: the lines then also say what was not done, and
// a new plan has just that.
func (p *Plan) Apply(ctx context.Context, w io.Writer) error {
	acts := p.acts()
	for i, a := range acts {
		err := p.run(ctx, a)
		if err == nil {
			if _, err := fmt.Fprintf(w, "%-8s %s\n", a.verb.done(), p.label(a)); err != nil {
				return err
			}
			continue
		}
		for _, left := range acts[i:] {
			if _, err := fmt.Fprintf(w, "not done %s (%s)\n", p.label(left), left.verb); err != nil {
				return err
			}
		}
		return fmt.Errorf("%s %s: %w\n%d of %d changes were made; run it again to make the rest", a.verb, p.label(a), err, i, len(acts))
	}
	return nil
}

func (p *Plan) run(ctx context.Context, a act) error {
	env := &p.environments[a.environment]
	if a.step.run != nil {
		return a.step.run(ctx, vault.System(callerName, env.id))
	}
	made, err := p.setup.vault.EnsureEnvironment(ctx, env.name)
	if err == nil {
		env.id = made.ID
	}
	return err
}

func (p *Plan) label(a act) string {
	name := p.environments[a.environment].name
	if a.step.run == nil {
		return a.what + " " + name
	}
	return name + ": " + a.what
}
