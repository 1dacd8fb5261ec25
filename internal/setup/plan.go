package setup

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/claviger/claviger/internal/fault"
	"github.com/claviger/claviger/internal/providers/yamlfile"
	"github.com/claviger/claviger/internal/vault"
)

// verb is what happens to one thing, as the plan says it.
type verb string

// The verbs. What is kept is what pruning does not do, with the reason.
const (
	verbCreate     verb = "create"
	verbChange     verb = "change"
	verbRemove     verb = "remove"
	verbRevoke     verb = "revoke"
	verbUnchanged  verb = "unchanged"
	verbKeep       verb = "keep"
	verbUndeclared verb = "undeclared"
)

// Plan is what has to happen so that what is there is what a file declares.
type Plan struct {
	setup        *Setup
	environments []environmentPlan
}

// environmentPlan is the plan of one environment. An empty id: it is to be made.
type environmentPlan struct {
	name, id string
	declared bool
	steps    []step
}

// step is one thing that is there, or is to be there.
type step struct {
	verb    verb
	what    string // "integration toggl"
	note    string // beside it
	details []string
	// run does it; nil where there is nothing to do.
	run func(ctx context.Context, caller vault.Caller) error
}

// Drift reports whether applying the plan would change anything.
func (p *Plan) Drift() bool {
	return slices.ContainsFunc(p.environments, func(e environmentPlan) bool {
		return e.id == "" || slices.ContainsFunc(e.steps, func(s step) bool { return s.run != nil })
	})
}

// Write shows the plan in lines that are the same whenever the plan is. No
// secret is in them.
func (p *Plan) Write(w io.Writer) error {
	var b strings.Builder
	counts := map[verb]int{}
	for _, e := range p.environments {
		counts[e.verb()]++
		fmt.Fprintf(&b, "environment %s: %s\n", e.name, e.state())
		for _, s := range e.steps {
			counts[s.verb]++
			fmt.Fprintf(&b, "  %-10s %s%s\n", s.verb, s.what, s.note)
			for _, d := range s.details {
				fmt.Fprintf(&b, "  %-10s   %s\n", "", d)
			}
		}
	}
	fmt.Fprintf(&b, "plan: %d to create, %d to change, %d to remove, %d unchanged, %d not declared\n",
		counts[verbCreate], counts[verbChange], counts[verbRemove]+counts[verbRevoke], counts[verbUnchanged],
		counts[verbUndeclared]+counts[verbKeep])
	_, err := io.WriteString(w, b.String())
	return err
}

func (e *environmentPlan) verb() verb {
	switch {
	case !e.declared:
		return verbUndeclared
	case e.id == "":
		return verbCreate
	}
	return verbUnchanged
}

func (e *environmentPlan) state() string {
	switch e.verb() {
	case verbUndeclared:
		return "not declared, left alone"
	case verbCreate:
		return "new"
	}
	return "there"
}

// planner makes one plan. What is wrong with the file gathers there; errors are
// for what keeps us from looking.
type planner struct {
	*Setup
	file    *File
	secrets Secrets
	prune   bool
	there   map[string]string // environments: name to id
	keys    map[string]string // declared API keys: hash to path
}

// Plan compares a file with what is there and changes nothing. With prune, what
// the environments of the file have and the file does not declare is removed as
// far as that is safe. Whatever is wrong with what the file declares is one
// [*FileError]. A file is planned once.
func (s *Setup) Plan(ctx context.Context, f *File, secrets Secrets, prune bool) (*Plan, error) {
	existing, err := s.vault.Environments(ctx)
	if err != nil {
		return nil, err
	}
	p := &planner{Setup: s, file: f, secrets: secrets, prune: prune, there: map[string]string{}, keys: map[string]string{}}
	for _, env := range existing {
		p.there[env.Name] = env.ID
	}
	plan := &Plan{setup: s}
	seen := names{}
	for i := range f.Environments {
		env, path := &f.Environments[i], fmt.Sprintf("environments[%d]", i)
		if !seen.first(f, path, "name", env.Name) {
			continue
		}
		if e, bad := fault.As(vault.CheckEnvironmentName(env.Name)); bad {
			f.yaml.Fault(path+".name", "%s", strings.TrimSuffix(e.Fields[0].Detail, "."))
		}
		e, err := p.environment(ctx, path, env)
		if err != nil {
			return nil, err
		}
		plan.environments = append(plan.environments, e)
	}
	for _, env := range existing {
		if _, declared := seen[env.Name]; !declared {
			plan.environments = append(plan.environments, environmentPlan{name: env.Name, id: env.ID})
		}
	}
	return plan, f.err()
}

func (p *planner) environment(ctx context.Context, path string, env *environment) (environmentPlan, error) {
	e := environmentPlan{name: env.Name, id: p.there[env.Name], declared: true}
	caller := vault.System(callerName, e.id)
	integrations, err := p.planIntegrations(ctx, caller, path, env.Integrations)
	if err != nil {
		return e, err
	}
	keys, err := p.planKeys(ctx, caller, path, env)
	e.steps = slices.Concat(integrations, keys)
	// What is new is there before what is old goes.
	slices.SortStableFunc(e.steps, func(a, b step) int { return a.rank() - b.rank() })
	return e, err
}

func (s *step) rank() int {
	switch s.verb {
	case verbCreate, verbChange, verbUnchanged:
		return 0
	}
	return 1
}

// names are the values of a member that tells siblings apart, with the places
// where they are.
type names map[string]string

// first reports whether the value is there and new; otherwise it is a fault.
func (n names) first(f *File, path, member, value string) bool {
	if value == "" {
		f.yaml.Fault(yamlfile.Join(path, member), "is missing")
		return false
	}
	if other, ok := n[value]; ok {
		f.yaml.Fault(yamlfile.Join(path, member), "%s has the same", other)
		return false
	}
	n[value] = path
	return true
}

// nearest is for a name that is not among the known ones.
func nearest(name string, known []string) string {
	if slices.Contains(known, name) {
		return ""
	}
	return yamlfile.Nearest(name, known)
}

// member is one thing about an integration or key, as the plan shows it; an
// empty value is none.
type member struct{ name, value string }

// given lists the members that have a value.
func given(members []member) []string {
	var lines []string
	for _, m := range members {
		if m.value != "" {
			lines = append(lines, m.name+": "+m.value)
		}
	}
	return lines
}

// differences lists the members that differ; both have the same names.
func differences(old, want []member) []string {
	var lines []string
	for i, m := range want {
		if m.value != old[i].value {
			lines = append(lines, fmt.Sprintf("%s: %s -> %s", m.name, orNone(old[i].value), orNone(m.value)))
		}
	}
	return lines
}

func orNone(s string) string {
	if s == "" {
		return "none"
	}
	return s
}

func text(s string) string {
	if s == "" {
		return ""
	}
	return fmt.Sprintf("%q", s)
}

func texts(list []string) string {
	if len(list) == 0 {
		return ""
	}
	quoted := make([]string, len(list))
	for i, s := range list {
		quoted[i] = text(s)
	}
	return "[" + strings.Join(quoted, ", ") + "]"
}
