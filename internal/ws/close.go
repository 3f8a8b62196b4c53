package ws

import (
	"encoding/binary"
	"unicode/utf8"
)

// The close codes that Sluice itself sends or judges, from the IANA registry
// that RFC 6455, section 11.7 set up.
const (
	CodeNormal         uint16 = 1000
	CodeGoingAway      uint16 = 1001
	CodeProtocolError  uint16 = 1002
	CodeNoStatus       uint16 = 1005 // never on the wire: a close without a code
	CodeAbnormal       uint16 = 1006 // never on the wire: no close at all
	CodeInvalidPayload uint16 = 1007
	CodePolicy         uint16 = 1008
	CodeTooBig         uint16 = 1009
	CodeInternal       uint16 = 1011
	CodeRestart        uint16 = 1012
	CodeTryLater       uint16 = 1013
	CodeBadGateway     uint16 = 1014
)

// sendable holds, for 1000 to 1015, whether the code may stand in a frame.
var sendable = [16]bool{
	0: true, 1: true, 2: true, 3: true, // 1000-1003
	7: true, 8: true, 9: true, 10: true, 11: true, // 1007-1011
	12: true, 13: true, 14: true, // 1012-1014, registered after the RFC
}

// MaySend tells whether code may stand in a close frame: a registered code of
// the protocol, or one of the ranges for libraries (3000) and applications
// (4000) (RFC 6455, section 7.4).
func MaySend(code uint16) bool {
	if code >= 1000 && code < 1016 {
		return sendable[code-1000]
	}
	return code >= 3000 && code < 5000
}

// ParseClose judges the unmasked payload of a close frame and splits it. An
// empty one is CodeNoStatus. The reason aliases p.
func ParseClose(p []byte) (code uint16, reason []byte, err error) {
	if len(p) == 0 {
		return CodeNoStatus, nil, nil
	}
	if len(p) == 1 {
		return 0, nil, errCloseShort
	}
	code, reason = binary.BigEndian.Uint16(p), p[2:]
	if !MaySend(code) {
		return 0, nil, errCloseCode
	}
	if !utf8.Valid(reason) {
		return 0, nil, errCloseReason
	}
	return code, reason, nil
}

// AppendClose appends a whole close frame with code and reason; CodeNoStatus
// gives one without payload. With a key it is masked. A reason over 123 bytes
// is cut at a rune's edge.
func AppendClose(b []byte, code uint16, reason string, key *[4]byte) []byte {
	h := Header{Fin: true, Opcode: CloseFrame}
	if key != nil {
		h.Masked, h.Key = true, *key
	}
	if code == CodeNoStatus {
		return AppendFrame(b, h, nil)
	}
	var payload [MaxControl]byte
	binary.BigEndian.PutUint16(payload[:], code)
	n := copy(payload[2:], reason)
	for n < len(reason) && n > 0 && !utf8.RuneStart(reason[n]) {
		n--
	}
	return AppendFrame(b, h, payload[:2+n])
}
