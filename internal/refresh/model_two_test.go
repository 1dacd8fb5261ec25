package refresh_test

import (
	"strings"
	"testing"
)

// B is stopped or killed as well, before each of its own steps.
func TestModelTwoInterruptions(t *testing.T) {
	t.Parallel()
	tally := newModelTally()
	for _, kind := range modelKinds(modelKind{reuse: reuseIsRefused, rescues: true}) {
		plan := modelPlan{base: newModelBase(t, kind)}
		interrupted(t, plan, modelGaps(gapWait), func(plan modelPlan, _ modelRun) {
			for plan.b.step = 1; ; plan.b.step++ {
				for _, plan.b.kill = range []bool{false, true} {
					r := plan.run(t)
					if !r.reachedB || t.Failed() {
						return
					}
					if plan.b.kill && strings.HasPrefix(r.stepsB[plan.b.step-1], answerOf) {
						continue
					}
					tally.add(r)
				}
			}
		})
	}
	tally.report(t)
}
