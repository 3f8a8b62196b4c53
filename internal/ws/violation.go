package ws

// Violation says that a peer broke a rule of the protocol.
type Violation struct {
	Section string // the clause, "RFC 6455 5.2"
	Code    uint16 // the close code that answers it
	What    string // what the peer did
}

// Error gives the rule and the clause.
func (v *Violation) Error() string { return v.What + " (" + v.Section + ")" }

func violation(section, what string) *Violation {
	return &Violation{Section: "RFC 6455 " + section, Code: CodeProtocolError, What: what}
}

// One value each, so that a hostile peer costs no allocation.
var (
	errMasked       = violation("5.1", "masked frame from a server")
	errUnmasked     = violation("5.1", "unmasked frame from a client")
	errReservedBits = violation("5.2", "reserved bits set without an extension")
	errOpcode       = violation("5.2", "reserved opcode")
	errLength       = violation("5.2", "length with its top bit set")
	errMinimal      = violation("5.2", "length not in its shortest form")
	errFragControl  = violation("5.5", "fragmented control frame")
	errLongControl  = violation("5.5", "control frame over 125 bytes")
	errNoMessage    = violation("5.4", "continuation without a message")
	errInterleaved  = violation("5.4", "new message inside a fragmented one")
	errCloseShort   = violation("5.5.1", "close payload of one byte")
	errCloseCode    = violation("7.4", "close code that may not be sent")
	errCloseReason  = violation("5.5.1", "close reason that is not UTF-8")
)
