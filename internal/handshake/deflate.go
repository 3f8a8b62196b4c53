package handshake

// DeflateOffer is what we offer to a server whose messages we read ourselves.
// It is what browsers offer, so that servers have met it. We compress nothing
// that we send, so a server may bound our window as it likes, and there is no
// context of ours to take over (RFC 7692, sections 7.1.1.2 and 7.1.2.2). It may
// keep its own context: Answer.Takeover.
const DeflateOffer = "permessage-deflate; client_max_window_bits"

// AcceptDeflate answers the client's offers of permessage-deflate for us as the
// server (RFC 7692, section 7): the value of Sec-WebSocket-Extensions, by the
// first offer that we can take. Neither side keeps a context between messages,
// which a server may ask unasked (sections 7.1.1.1 and 7.1.1.2), so that one
// compressed message suits all clients. ok is false where no offer can be
// taken; then no message is compressed.
//
// Our window is 32 KiB, so an offer that asks for a smaller one is declined.
// Our answer leaves the client's window as it is, whatever the client offered.
func (o *Offer) AcceptDeflate() (answer string, ok bool) {
	for _, raw := range o.Deflate {
		exts, ok := parseExtensions(raw)
		if !ok || len(exts) != 1 || !exts[0].sound(true) {
			continue // it must be declined (section 7.1)
		}
		answer := deflate + "; server_no_context_takeover; client_no_context_takeover"
		switch bits, asked := exts[0].param("server_max_window_bits"); {
		case !asked:
			return answer, true
		case bits == "15":
			return answer + "; server_max_window_bits=15", true // section 7.1.2.1
		}
	}
	return "", false
}

// Takeover tells whether the server may refer to earlier messages of its own in
// those that it compresses: whether whoever inflates them must keep their
// window (RFC 7692, section 7.1.1.1).
func (a *Answer) Takeover() bool {
	exts, ok := parseExtensions(a.Extensions)
	if !ok || !a.Deflate {
		return false
	}
	_, without := exts[0].param("server_no_context_takeover")
	return !without
}
