package rule

import (
	"regexp"

	"cel.dev/cel-go/common/cost"
	"cel.dev/cel-go/common/operators"
	"cel.dev/cel-go/common/overloads"
	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"
	"cel.dev/cel-go/common/types/traits"
	"cel.dev/cel-go/interpreter"
)

// What rules may do for a message, so that its sender can't have them hold a
// loop up. All three together are some ten milliseconds.
const (
	maxCost    = 20_000   // steps of a rule, and of those before it in a list; a call is as many as costs says
	maxMembers = 20_000   // of long objects and lists that all rules together look at
	maxPattern = 64 << 10 // bytes of a text that is held against a pattern
)

// costs says what calls cost. The library's own scale has ten bytes of text
// cost as much as a step, which takes a hundred times as long, and some calls
// that read all of a text cost nothing.
type costs struct{}

const (
	bytesAStep = 1000
	matchAStep = 4 // bytes that are held against a pattern
)

// small saves an allocation for each call.
var small = func() (ns [64]uint64) {
	for k := range ns {
		ns[k] = uint64(k)
	}
	return ns
}()

// CallCost implements cost.ActualCostEstimator.
func (costs) CallCost(function, _ string, args []ref.Val, _ ref.Val) *uint64 {
	n := 1
	for _, arg := range args {
		switch arg := arg.(type) {
		case types.String:
			if function != overloads.Matches {
				n += len(arg) / bytesAStep
			} else if len(arg) <= maxPattern {
				n += len(arg) / matchAStep
			}
		case *object, *list: // they count their members themselves
		case traits.Lister:
			if function == operators.In || function == operators.Equals || function == operators.NotEquals {
				n += int(arg.Size().(types.Int))
			}
		}
	}
	if n < len(small) {
		return &small[n]
	}
	cost := uint64(n)
	return &cost
}

// EstimateSize implements cost.Estimator: what messages hold is not known, so
// that a rule is refused only if it is dear by itself.
func (costs) EstimateSize(cost.AstNode) *cost.SizeEstimate { return nil }

// EstimateCallCost implements cost.Estimator.
func (costs) EstimateCallCost(string, string, *cost.AstNode, []cost.AstNode) *cost.CallEstimate {
	return nil
}

// patterns compiles a rule's regular expressions with it, by the function's
// two forms.
var patterns = []*interpreter.RegexOptimization{
	{Function: overloads.Matches, OverloadID: overloads.Matches, RegexIndex: 1, Factory: matcher},
	{Function: overloads.Matches, OverloadID: overloads.MatchesString, RegexIndex: 1, Factory: matcher},
}

// matcher makes a call that knows its pattern.
func matcher(call interpreter.InterpretableCall, pattern string) (interpreter.InterpretableCall, error) {
	re, err := regexp.Compile(pattern)
	if err != nil {
		return nil, err
	}
	return interpreter.NewCall(call.ID(), call.Function(), call.OverloadID(), call.Args(), func(args ...ref.Val) ref.Val {
		text, ok := args[0].(types.String)
		switch {
		case !ok:
			return types.MaybeNoSuchOverloadErr(args[0])
		case len(text) > maxPattern:
			return types.NewErr("a text of %d bytes is too long for a pattern", len(text))
		}
		return types.Bool(re.MatchString(string(text)))
	}), nil
}

// budget is what is left of the members that may be looked at.
type budget int

// spend takes n members off. The library turns its panic into an error.
func (b *budget) spend(n int) {
	if *b -= budget(n); *b < 0 {
		panic(interpreter.EvalCancelledError{Message: "the message holds too much to look at", Cause: interpreter.CostLimitExceeded})
	}
}
