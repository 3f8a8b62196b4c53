package conformance

import (
	"context"
	"errors"
	"net/http"
	"os"
	"testing"
	"time"

	"github.com/gorilla/websocket"
)

// playGorilla is the client gorilla/websocket.
func playGorilla(t *testing.T, s script) (o outcome) {
	ctx, cancel := s.context()
	defer cancel()
	conn, err := dialGorilla(ctx, s, &o)
	if err != nil || conn == nil {
		o.note(err)
		return o
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { conn.Close() })()
	conn.SetReadLimit(64 << 20)
	conn.SetWriteDeadline(time.Now().Add(time.Duration(s.Timeout) * time.Second))

	pongs := make(chan string, 16)
	conn.SetPongHandler(func(payload string) error {
		pongs <- payload
		return nil
	})
	messages, ended := make(chan seen), make(chan error, 1)
	go readGorilla(ctx, conn, messages, pongs, ended)
	sent := make(chan error, 1)
	go func() { sent <- speakGorilla(conn, s, &o, messages, pongs) }()
	// A write that fails because the server closed is no news: the close is.
	o.Close, err = gorillaClose(<-ended)
	conn.Close()
	if speak := <-sent; o.Close.Code == 1006 {
		o.note(errors.Join(err, speak))
	}
	return o
}

// dialGorilla gives no connection and no error where the server refused.
func dialGorilla(ctx context.Context, s script, o *outcome) (*websocket.Conn, error) {
	trusted, err := s.trust()
	if err != nil {
		return nil, err
	}
	dialer := &websocket.Dialer{
		TLSClientConfig:   trusted,
		Subprotocols:      s.Subprotocols,
		EnableCompression: s.Deflate,
		// Each full buffer becomes a frame, and Python's websockets takes no
		// more than some thousand frames for a message.
		WriteBufferSize: 64 << 10,
	}
	conn, response, err := dialer.DialContext(ctx, s.URL, nil)
	if response == nil {
		return nil, err
	}
	o.Status = response.StatusCode
	if errors.Is(err, websocket.ErrBadHandshake) && response.StatusCode != http.StatusSwitchingProtocols {
		return nil, o.refusal(response)
	}
	o.Extensions = response.Header.Get("Sec-WebSocket-Extensions")
	if conn != nil {
		o.Subprotocol = conn.Subprotocol()
	}
	return conn, err
}

func readGorilla(ctx context.Context, conn *websocket.Conn, messages chan<- seen, pongs chan<- string, ended chan<- error) {
	defer close(messages)
	defer close(pongs)
	for {
		kind, data, err := conn.ReadMessage()
		if err != nil {
			ended <- err
			return
		}
		select {
		case messages <- describe(data, kind == websocket.TextMessage):
		case <-ctx.Done():
		}
	}
}

func speakGorilla(conn *websocket.Conn, s script, o *outcome, messages <-chan seen, pongs <-chan string) error {
	if s.Ping != "" {
		if err := conn.WriteControl(websocket.PingMessage, []byte(s.Ping), time.Time{}); err != nil {
			return err
		}
		o.Pong = <-pongs
	}
	for _, m := range s.Send {
		if err := sendGorilla(conn, m, pongs); err != nil {
			return err
		}
		echo, ok := <-messages
		if !ok {
			return nil
		}
		o.Received = append(o.Received, echo)
	}
	if s.Close == nil {
		return nil
	}
	return conn.WriteControl(websocket.CloseMessage, websocket.FormatCloseMessage(s.Close.Code, s.Close.Reason), time.Time{})
}

func sendGorilla(conn *websocket.Conn, m message, pongs <-chan string) error {
	data, err := os.ReadFile(m.File)
	if err != nil {
		return err
	}
	kind := websocket.BinaryMessage
	if m.Text {
		kind = websocket.TextMessage
	}
	if m.Fragments == 0 {
		return conn.WriteMessage(kind, data)
	}
	// What becomes a frame is the write buffer's choice: at its end, or when
	// a control frame doesn't wait for it.
	w, err := conn.NextWriter(kind)
	if err != nil {
		return err
	}
	for _, piece := range pieces(data, m.Fragments) {
		if _, err := w.Write(piece); err != nil {
			return err
		}
		if m.Ping != "" {
			if err := conn.WriteControl(websocket.PingMessage, []byte(m.Ping), time.Time{}); err != nil {
				return err
			}
			if pong := <-pongs; pong != m.Ping {
				return errors.New("a ping between fragments came back as " + pong)
			}
		}
	}
	return w.Close()
}

// gorillaClose tells the end of a connection from the error of its reader.
func gorillaClose(err error) (closing, error) {
	var closed *websocket.CloseError
	if errors.As(err, &closed) && closed.Code != websocket.CloseAbnormalClosure {
		return closing{closed.Code, closed.Text}, nil
	}
	return closing{Code: 1006}, err
}

// gorillaServer is the echo server on gorilla/websocket.
type gorillaServer struct{ closes *closes }

func (h gorillaServer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if refused(w, r) {
		return
	}
	upgrader := websocket.Upgrader{
		Subprotocols:      []string{"chat.v2", "chat.v1"},
		CheckOrigin:       func(*http.Request) bool { return true },
		EnableCompression: r.URL.Query().Get("deflate") != "0",
	}
	conn, err := upgrader.Upgrade(w, r, nil)
	if err != nil {
		return
	}
	defer conn.Close()
	conn.SetReadLimit(64 << 20)
	ask := askOf(r)
	if ask.path == "/close" {
		conn.WriteControl(websocket.CloseMessage, websocket.FormatCloseMessage(ask.code, ask.reason), time.Time{})
	}
	conn.SetPongHandler(func(payload string) error {
		return conn.WriteMessage(websocket.TextMessage, []byte("pong "+payload))
	})
	for {
		kind, data, err := conn.ReadMessage()
		if err != nil {
			how, _ := gorillaClose(err)
			h.closes.put(ask.id, how)
			return
		}
		if err := h.answer(conn, ask, kind, data); err != nil {
			h.closes.put(ask.id, closing{Code: 1006})
			return
		}
	}
}

func (h gorillaServer) answer(conn *websocket.Conn, ask ask, kind int, data []byte) error {
	switch ask.path {
	case "/fragments":
		w, err := conn.NextWriter(kind)
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
		return conn.WriteControl(websocket.PingMessage, []byte(ask.payload), time.Time{})
	default:
		return conn.WriteMessage(kind, data)
	}
}
