package admin

import (
	"errors"
	"net/http"

	"github.com/sluice-proxy/sluice/internal/config"
	"github.com/sluice-proxy/sluice/internal/upstream"
)

// commanded guards what changes something. A browser on this machine sends a
// page's POST without asking first, so one from another site is refused, token
// or not.
func (h *handler) commanded(next http.HandlerFunc) http.Handler {
	return http.NewCrossOriginProtection().Handler(h.guarded(next))
}

// reloadReport is what a reload came to.
type reloadReport struct {
	Generation int `json:"generation"`
	config.Changes
}

// failure is why nothing has changed.
type failure struct {
	Errors []fault `json:"errors"`
}

type fault struct {
	File    string `json:"file,omitempty"`
	Line    int    `json:"line,omitempty"`
	Column  int    `json:"column,omitempty"`
	Key     string `json:"key,omitempty"`
	Message string `json:"message"`
}

func (h *handler) reload(w http.ResponseWriter, r *http.Request) {
	changes, err := h.m.source.ReloadFile(r.Context(), "api")
	if err == nil {
		generation, _ := h.m.source.Loaded()
		answer(w, http.StatusOK, reloadReport{generation, changes})
		return
	}
	var out failure
	if places, ok := errors.AsType[config.Errors](err); ok {
		for _, e := range places {
			out.Errors = append(out.Errors, fault{e.File, e.Line, e.Column, e.Key, e.Msg})
		}
	} else {
		out.Errors = []fault{{Message: err.Error()}}
	}
	answer(w, http.StatusUnprocessableEntity, out)
}

// drained is what became of an instance.
type drained struct {
	Instance string `json:"instance"`
	State    string `json:"state"`
	Sessions int    `json:"sessions"` // when it was asked
}

// unknown is a name that no instance has.
type unknown struct {
	Error     string   `json:"error"`
	Instances []string `json:"instances"`
}

// named has do done to the instance that the request names.
func (h *handler) named(do func(name string) (drained, error)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		name := r.URL.Query().Get("instance")
		out, err := do(name)
		switch e, ok := errors.AsType[*upstream.UnknownError](err); {
		case ok && name == "":
			answer(w, http.StatusBadRequest, unknown{"no instance is named; write ?instance=NAME", e.Known})
			return
		case ok:
			answer(w, http.StatusNotFound, unknown{e.Error(), e.Known})
			return
		}
		answer(w, http.StatusOK, out)
	}
}

func (m *Metrics) drain(name string) (drained, error) {
	n, err := m.source.Drain(name)
	return drained{name, "draining", n}, err
}

func (m *Metrics) undrain(name string) (drained, error) {
	n, err := m.source.Undrain(name)
	return drained{name, "starting", n}, err
}
