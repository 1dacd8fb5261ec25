package tokenendpoint

import (
	"errors"
	"fmt"
	"testing"

	"github.com/claviger/claviger/internal/providers/outbound"
)

func TestFaultsOfTransportAreClassified(t *testing.T) {
	t.Parallel()
	tests := []struct {
		err   error
		class Class
		spent bool
	}{
		{&outbound.Error{Kind: outbound.Forbidden, Delivery: outbound.NotSent, Err: outbound.ErrForbiddenAddress}, ClientFault, false},
		{&outbound.Error{Kind: outbound.BadURL, Delivery: outbound.NotSent}, ClientFault, false},
		{&outbound.Error{Kind: outbound.BadRequest, Delivery: outbound.NotSent}, ClientFault, false},
		{&outbound.Error{Kind: outbound.Unreachable, Delivery: outbound.NotSent}, Transient, false},
		{&outbound.Error{Kind: outbound.Untrusted, Delivery: outbound.NotSent}, Transient, false},
		{&outbound.Error{Kind: outbound.Broken, Delivery: outbound.NotSent}, Transient, false},
		{&outbound.Error{Kind: outbound.Canceled, Delivery: outbound.Uncertain}, Uncertain, true},
		{&outbound.Error{Kind: outbound.TimedOut, Delivery: outbound.Uncertain, Status: 200}, Uncertain, true},
		{&outbound.Error{Kind: outbound.Redirected, Delivery: outbound.Answered, Status: 307}, Rejected, false},
		{&outbound.Error{Kind: outbound.TooLarge, Delivery: outbound.Answered, Status: 200}, Broken, true},
		{&outbound.Error{Kind: outbound.TooLarge, Delivery: outbound.Answered, Status: 500}, Transient, true},
		{errors.New("something nobody thought of"), Uncertain, true},
	}
	for _, tt := range tests {
		e := transportError(fmt.Errorf("wrapped: %w", tt.err))
		if e.Class != tt.class || e.Spent() != tt.spent {
			t.Errorf("%v: %s, spent %v; want %s, %v", tt.err, e.Class, e.Spent(), tt.class, tt.spent)
		}
		if !errors.Is(e, tt.err) {
			t.Errorf("%v is not in the tree of %v", tt.err, e)
		}
	}
}
