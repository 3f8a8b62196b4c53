package rule

import (
	"fmt"
	"reflect"

	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"
	"cel.dev/cel-go/common/types/traits"
)

// object is a JSON object as a map of the language.
type object struct{ nest }

// list is a JSON array as a list of the language.
type list struct{ nest }

var (
	_ traits.Mapper = &object{}
	_ traits.Lister = &list{}
)

// Find implements traits.Mapper.
func (o *object) Find(key ref.Val) (ref.Val, bool) {
	if name, ok := key.(types.String); ok {
		return o.find(string(name))
	}
	return nil, false
}

// Get implements traits.Indexer.
func (o *object) Get(key ref.Val) ref.Val {
	if v, ok := o.Find(key); ok {
		return v
	}
	return types.NewErr("no such key: %v", key)
}

// Contains implements traits.Container.
func (o *object) Contains(key ref.Val) ref.Val {
	_, ok := o.Find(key)
	return types.Bool(ok)
}

// Iterator implements traits.Iterable: it gives the names.
func (o *object) Iterator() traits.Iterator {
	return &iterator{size: len(o.open()), at: func(k int) ref.Val { return types.String(o.members[k].name) }}
}

// Equal implements ref.Val.
func (o *object) Equal(other ref.Val) ref.Val {
	m, ok := other.(traits.Mapper)
	if !ok || m.Size() != o.Size() {
		return types.False
	}
	for k := range o.members {
		o.left.spend(1)
		v, ok := m.Find(types.String(o.members[k].name))
		if !ok || types.Equal(o.at(k), v) != types.True {
			return types.False
		}
	}
	return types.True
}

// Type implements ref.Val.
func (*object) Type() ref.Type { return types.MapType }

// ConvertToType implements ref.Val.
func (*object) ConvertToType(t ref.Type) ref.Val { return converted(types.MapType, t) }

// Get implements traits.Indexer.
func (l *list) Get(index ref.Val) ref.Val {
	k, err := types.GetOrError(index)
	if err != nil {
		return types.NewErr("%v", err)
	}
	if k < 0 || k >= len(l.open()) {
		return types.NewErr("index out of range: %v", index)
	}
	return l.at(k)
}

// Contains implements traits.Container.
func (l *list) Contains(v ref.Val) ref.Val {
	for k := range l.open() {
		l.left.spend(1)
		if types.Equal(l.at(k), v) == types.True {
			return types.True
		}
	}
	return types.False
}

// Add implements traits.Adder.
func (l *list) Add(other ref.Val) ref.Val {
	vals := make([]ref.Val, len(l.open()))
	l.left.spend(len(vals))
	for k := range vals {
		vals[k] = l.at(k)
	}
	return types.NewRefValList(types.DefaultTypeAdapter, vals).Add(other)
}

// Iterator implements traits.Iterable.
func (l *list) Iterator() traits.Iterator { return &iterator{size: len(l.open()), at: l.at} }

// Equal implements ref.Val.
func (l *list) Equal(other ref.Val) ref.Val {
	o, ok := other.(traits.Lister)
	if !ok || o.Size() != l.Size() {
		return types.False
	}
	for k := range l.members {
		l.left.spend(1)
		if types.Equal(l.at(k), o.Get(types.Int(k))) != types.True {
			return types.False
		}
	}
	return types.True
}

// Type implements ref.Val.
func (*list) Type() ref.Type { return types.ListType }

// ConvertToType implements ref.Val.
func (*list) ConvertToType(t ref.Type) ref.Val { return converted(types.ListType, t) }

// Size implements traits.Sizer.
func (n *nest) Size() ref.Val { return types.Int(len(n.open())) }

// Value implements ref.Val.
func (n *nest) Value() any { return n.raw }

// ConvertToNative implements ref.Val. What leaves a rule is a bool.
func (n *nest) ConvertToNative(t reflect.Type) (any, error) {
	return nil, fmt.Errorf("what a message holds can't be %v", t)
}

// converted answers type(msg): nothing else can be made of what has members.
func converted(is *types.Type, t ref.Type) ref.Val {
	if t == types.TypeType {
		return is
	}
	return types.NewErr("type conversion error from '%s' to '%s'", is, t)
}

// iterator gives members one by one. It is no value that a rule could see.
type iterator struct {
	ref.Val
	next, size int
	at         func(int) ref.Val
}

// HasNext implements traits.Iterator.
func (it *iterator) HasNext() ref.Val { return types.Bool(it.next < it.size) }

// Next implements traits.Iterator.
func (it *iterator) Next() ref.Val {
	it.next++
	return it.at(it.next - 1)
}
