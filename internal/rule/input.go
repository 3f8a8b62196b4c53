package rule

import (
	"strings"
	"unsafe"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"
)

// Input is what rules see of one message. The payload must stay as it is while
// rules are matched. For another message it is made anew: what has been read of
// the payload is kept for the next rule of a list.
type Input struct {
	Payload []byte
	Binary  bool
	Request *Request
	Checked bool // the caller has held the payload against content.Check
	Opaque  bool // and it is not what that allows, or is not to be read

	msg  ref.Val // the payload as JSON, once a rule has asked for it
	left budget

	spent uint64 // steps of the rules that were matched
}

// Request is what rules see of the request that a session began with. Like an
// Input it belongs to one goroutine.
type Request struct {
	Path    string
	Query   map[string][]string // of a parameter rules see the first value
	Headers map[string][]string // so of a header, by its name in lower case
	Client  string              // its address

	query, headers ref.Val // once a rule has asked for them
}

// variables is an Input as the library wants it.
type variables Input

// Parent implements cel.Activation.
func (*variables) Parent() cel.Activation { return nil }

// ResolveName implements cel.Activation.
func (v *variables) ResolveName(name string) (any, bool) {
	switch name {
	case "msg":
		return v.message(), true
	case "text":
		if v.Binary {
			return types.String(""), true
		}
		return types.String(unsafe.String(unsafe.SliceData(v.Payload), len(v.Payload))), true
	case "binary":
		return types.Bool(v.Binary), true
	case "size":
		return types.Int(len(v.Payload)), true
	}
	if v.Request == nil {
		v.Request = &Request{}
	}
	return v.Request.resolve(name)
}

func (r *Request) resolve(name string) (any, bool) {
	switch name {
	case "request.path":
		return types.String(r.Path), true
	case "request.client":
		return types.String(r.Client), true
	case "request.query":
		if r.query == nil {
			r.query = firsts(r.Query, func(name string) string { return name })
		}
		return r.query, true
	case "request.headers":
		if r.headers == nil {
			r.headers = firsts(r.Headers, strings.ToLower)
		}
		return r.headers, true
	}
	return nil, false
}

// firsts gives each name's first value.
func firsts(all map[string][]string, form func(string) string) ref.Val {
	m := make(map[string]string, len(all))
	for name, vals := range all {
		if len(vals) > 0 {
			m[form(name)] = vals[0]
		}
	}
	return types.NewStringStringMap(types.DefaultTypeAdapter, m)
}
