package rule

import (
	"cmp"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"sync"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/ast"
	"cel.dev/cel-go/common/operators"
	"cel.dev/cel-go/common/overloads"
	"cel.dev/cel-go/common/types"
)

const maxText = 4 << 10 // bytes of a rule

// environment is what rules are compiled in. The strings extension is left out:
// what its replace and join give can be far larger than what they take.
var environment = sync.OnceValue(func() *cel.Env {
	env, err := cel.NewEnv(
		cel.Variable("msg", cel.DynType),
		cel.Variable("text", cel.StringType),
		cel.Variable("binary", cel.BoolType),
		cel.Variable("size", cel.IntType),
		cel.Variable("request.path", cel.StringType),
		cel.Variable("request.query", cel.MapType(cel.StringType, cel.StringType)),
		cel.Variable("request.headers", cel.MapType(cel.StringType, cel.StringType)),
		cel.Variable("request.client", cel.StringType),
		cel.ASTValidators(cel.ValidateRegexLiterals()),
	)
	if err != nil {
		panic(err)
	}
	return env
})

const known = "; known: msg, text, binary, size, request.path, request.query, request.headers, request.client"

// compile judges a rule and makes it ready to run. reads tells whether it looks at
// the message as JSON.
func compile(text string) (program cel.Program, reads bool, err error) {
	if len(text) > maxText {
		return nil, false, &Error{1, 1, fmt.Sprintf("is longer than %d bytes", maxText)}
	}
	env := environment()
	tree, issues := env.Compile(text)
	if issues.Err() != nil {
		return nil, false, worst(issues)
	}
	switch t := tree.OutputType(); {
	case t.IsExactType(cel.DynType):
		return nil, false, &Error{1, 1, "gives what the message holds, and must give true or false; write == true behind it if that is meant"}
	case !t.IsExactType(cel.BoolType):
		return nil, false, &Error{1, 1, fmt.Sprintf("gives %s, and must give true or false", t)}
	}
	if err := cmp.Or(literalPatterns(tree), smallHeaders(tree)); err != nil {
		return nil, false, err
	}
	if least, err := env.EstimateCost(tree, costs{}); err == nil && least.Min > maxCost {
		return nil, false, &Error{1, 1, fmt.Sprintf("costs %d at least, and may cost %d for a message", least.Min, maxCost)}
	}
	program, err = env.Program(tree, cel.CostTracking(costs{}), cel.CostLimit(maxCost), cel.EvalOptions(cel.OptOptimize), cel.OptimizeRegex(patterns...))
	if err != nil {
		return nil, false, &Error{1, 1, plain(err.Error())}
	}
	return program, len(ast.MatchDescendants(ast.NavigateAST(tree.NativeRep()), isMessage)) > 0, nil
}

var overload = regexp.MustCompile(`^found no matching overload for '(.+)' applied to '(.+)'$`)

// worst is the first of the library's errors.
func worst(issues *cel.Issues) *Error {
	errs := issues.Errors()
	first := slices.MinFunc(errs, func(a, b *cel.Error) int {
		return cmp.Or(cmp.Compare(a.Location.Line(), b.Location.Line()), cmp.Compare(a.Location.Column(), b.Location.Column()))
	})
	what := plain(first.Message)
	if m := overload.FindStringSubmatch(what); m != nil {
		what = fmt.Sprintf("%s does not take %s", strings.Trim(m[1], "_@"), m[2])
	}
	if strings.HasPrefix(what, "undeclared reference") && !strings.Contains(what, "did you mean") {
		what += known
	}
	return &Error{max(1, first.Location.Line()), max(0, first.Location.Column()) + 1, what}
}

// literalPatterns refuses a regular expression that would come out of a
// message: to compile it could take as long as its sender likes.
func literalPatterns(tree *cel.Ast) error {
	native := tree.NativeRep()
	for _, call := range ast.MatchDescendants(ast.NavigateAST(native), ast.FunctionMatcher(overloads.Matches)) {
		args := call.AsCall().Args()
		if pattern := args[len(args)-1]; pattern.Kind() != ast.LiteralKind {
			at := native.SourceInfo().GetStartLocation(pattern.ID())
			return &Error{at.Line(), at.Column() + 1, "a pattern must be a text in quotes, not a value"}
		}
	}
	return nil
}

func isMessage(e ast.NavigableExpr) bool { return e.Kind() == ast.IdentKind && e.AsIdent() == "msg" }

// smallHeaders refuses the name of a header that is not in lower case, as they are:
// there would never be one.
func smallHeaders(tree *cel.Ast) error {
	native := tree.NativeRep()
	for _, e := range ast.MatchDescendants(ast.NavigateAST(native), ast.KindMatcher(ast.CallKind)) {
		call := e.AsCall()
		args := call.Args()
		if len(args) != 2 || call.FunctionName() != operators.In && call.FunctionName() != operators.Index {
			continue
		}
		of, name := args[0], args[1]
		if call.FunctionName() == operators.In {
			of, name = name, of
		}
		if name.Kind() != ast.LiteralKind || !isHeaders(of) {
			continue
		}
		if s, ok := name.AsLiteral().(types.String); ok && strings.ToLower(string(s)) != string(s) {
			at := native.SourceInfo().GetStartLocation(name.ID())
			return &Error{at.Line(), at.Column() + 1, fmt.Sprintf("headers have their names in lower case here; write %q", strings.ToLower(string(s)))}
		}
	}
	return nil
}

func isHeaders(e ast.Expr) bool {
	return e.Kind() == ast.IdentKind && e.AsIdent() == "request.headers" || e.Kind() == ast.SelectKind && e.AsSelect().FieldName() == "headers"
}
