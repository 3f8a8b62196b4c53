package conformance

import (
	"context"
	"errors"
	"io"
	"net/http"
	"os"
	"testing"

	"github.com/coder/websocket"
)

// playCoder is the client coder/websocket.
func playCoder(t *testing.T, s script) (o outcome) {
	ctx, cancel := s.context()
	defer cancel()
	conn, err := dialCoder(ctx, s, &o)
	if err != nil || conn == nil {
		o.note(err)
		return o
	}
	defer conn.CloseNow()
	conn.SetReadLimit(64 << 20)

	messages, ended := make(chan seen), make(chan error, 1)
	go readCoder(ctx, conn, messages, ended)
	sent := make(chan error, 1)
	go func() { sent <- speakCoder(ctx, conn, s, &o, messages) }()
	// A write that fails because the server closed is no news: the close is.
	// Where Close took the answer before the reader could, it compared it.
	o.Close, err = coderClose(<-ended)
	switch speak := <-sent; {
	case o.Close.Code == 1006 && speak == nil && s.Close != nil:
		o.Close = closing{Code: s.Close.Code}
	case o.Close.Code == 1006:
		o.note(errors.Join(err, speak))
	}
	return o
}

func (o *outcome) note(err error) {
	if err != nil && o.Error == "" {
		o.Error = err.Error()
	}
}

// dialCoder gives no connection and no error where the server refused.
func dialCoder(ctx context.Context, s script, o *outcome) (*websocket.Conn, error) {
	trusted, err := s.trust()
	if err != nil {
		return nil, err
	}
	options := &websocket.DialOptions{
		Subprotocols: s.Subprotocols,
		HTTPClient:   &http.Client{Transport: &http.Transport{TLSClientConfig: trusted}},
	}
	if s.Deflate {
		options.CompressionMode = websocket.CompressionContextTakeover
		options.CompressionThreshold = 1
	}
	conn, response, err := websocket.Dial(ctx, s.URL, options)
	if response == nil {
		return nil, err
	}
	o.Status = response.StatusCode
	if err != nil && response.StatusCode != http.StatusSwitchingProtocols {
		return nil, o.refusal(response)
	}
	o.Extensions = response.Header.Get("Sec-WebSocket-Extensions")
	if conn != nil {
		o.Subprotocol = conn.Subprotocol()
	}
	return conn, err
}

func (o *outcome) refusal(response *http.Response) error {
	body, err := io.ReadAll(response.Body)
	o.Body = string(body)
	o.Headers = map[string]any{}
	for name := range response.Header {
		o.Headers[name] = response.Header.Get(name)
	}
	return err
}

func readCoder(ctx context.Context, conn *websocket.Conn, messages chan<- seen, ended chan<- error) {
	defer close(messages)
	for {
		kind, data, err := conn.Read(ctx)
		if err != nil {
			ended <- err
			return
		}
		select {
		case messages <- describe(data, kind == websocket.MessageText):
		case <-ctx.Done():
		}
	}
}

func speakCoder(ctx context.Context, conn *websocket.Conn, s script, o *outcome, messages <-chan seen) error {
	if s.Ping != "" {
		// The library chooses the payload itself, and compares it.
		if err := conn.Ping(ctx); err != nil {
			return err
		}
		o.Pong = s.Ping
	}
	for _, m := range s.Send {
		if err := sendCoder(ctx, conn, m); err != nil {
			return err
		}
		echo, ok := <-messages
		if !ok {
			return nil
		}
		o.Received = append(o.Received, echo)
	}
	if s.Close != nil {
		return conn.Close(websocket.StatusCode(s.Close.Code), s.Close.Reason)
	}
	return nil
}

func sendCoder(ctx context.Context, conn *websocket.Conn, m message) error {
	data, err := os.ReadFile(m.File)
	if err != nil {
		return err
	}
	kind := websocket.MessageBinary
	if m.Text {
		kind = websocket.MessageText
	}
	if m.Fragments == 0 {
		return conn.Write(ctx, kind, data)
	}
	w, err := conn.Writer(ctx, kind)
	if err != nil {
		return err
	}
	for _, piece := range pieces(data, m.Fragments) {
		if _, err := w.Write(piece); err != nil {
			return err
		}
		if m.Ping != "" {
			if err := conn.Ping(ctx); err != nil {
				return err
			}
		}
	}
	return w.Close()
}

// coderClose tells the end of a connection from the error of its reader.
func coderClose(err error) (closing, error) {
	var closed websocket.CloseError
	if errors.As(err, &closed) {
		return closing{int(closed.Code), closed.Reason}, nil
	}
	return closing{Code: 1006}, err
}

// coderServer is the echo server on coder/websocket.
type coderServer struct{ closes *closes }

func (h coderServer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if refused(w, r) {
		return
	}
	options := &websocket.AcceptOptions{InsecureSkipVerify: true, Subprotocols: []string{"chat.v2", "chat.v1"}}
	if r.URL.Query().Get("deflate") != "0" {
		options.CompressionMode = websocket.CompressionContextTakeover
	}
	conn, err := websocket.Accept(w, r, options)
	if err != nil {
		return
	}
	defer conn.CloseNow()
	conn.SetReadLimit(64 << 20)
	ask := askOf(r)
	if ask.path == "/close" {
		conn.Close(websocket.StatusCode(ask.code), ask.reason)
		return
	}
	for {
		kind, data, err := conn.Read(context.Background())
		if err != nil {
			how, _ := coderClose(err)
			h.closes.put(ask.id, how)
			return
		}
		if err := h.answer(conn, ask, kind, data); err != nil {
			h.closes.put(ask.id, closing{Code: 1006})
			return
		}
	}
}

func (h coderServer) answer(conn *websocket.Conn, ask ask, kind websocket.MessageType, data []byte) error {
	ctx := context.Background()
	switch ask.path {
	case "/fragments":
		w, err := conn.Writer(ctx, kind)
		if err != nil {
			return err
		}
		for _, piece := range pieces(data, ask.n) {
			if _, err := w.Write(piece); err != nil {
				return err
			}
		}
		return w.Close()
	case "/ping":
		go func() { // the pong is read by the handler's Read
			if conn.Ping(ctx) == nil {
				conn.Write(ctx, websocket.MessageText, []byte("pong "+ask.payload))
			}
		}()
		return nil
	default:
		return conn.Write(ctx, kind, data)
	}
}
