package raylink

import (
	"errors"
	"fmt"
)

// Code says what kind of trouble an Error is. It survives the wire, decides the HTTP status and the CLI's exit code.
type Code string

// The codes. The table in codeTable gives each its HTTP status and exit code.
const (
	CodeInvalid         Code = "invalid"
	CodeUnauthenticated Code = "unauthenticated"
	CodeForbidden       Code = "forbidden"
	CodeNotFound        Code = "not_found"
	CodeConflict        Code = "conflict"
	CodeFunds           Code = "insufficient_funds"
	CodeCapacity        Code = "no_capacity"
	CodeTooLarge        Code = "too_large"
	CodeUnsupported     Code = "unsupported"
	CodeUnavailable     Code = "unavailable"
	CodeInternal        Code = "internal"
)

type codeRow struct{ status, exit int }

func codeTable(c Code) codeRow {
	switch c {
	case CodeInvalid:
		return codeRow{400, 2}
	case CodeUnauthenticated:
		return codeRow{401, 3}
	case CodeFunds:
		return codeRow{402, 4}
	case CodeForbidden:
		return codeRow{403, 5}
	case CodeNotFound:
		return codeRow{404, 6}
	case CodeConflict:
		return codeRow{409, 7}
	case CodeCapacity:
		return codeRow{409, 8}
	case CodeTooLarge:
		return codeRow{413, 2}
	case CodeUnsupported:
		return codeRow{422, 9}
	case CodeUnavailable:
		return codeRow{503, 10}
	default:
		return codeRow{500, 1}
	}
}

// HTTPStatus is the status that an answer with this code has.
func (c Code) HTTPStatus() int { return codeTable(c).status }

// ExitCode is what the CLI exits with after an error of this code.
func (c Code) ExitCode() int { return codeTable(c).exit }

// Error is what a user meets: what went wrong, and what to do next.
type Error struct {
	Code    Code   `json:"code"`
	Message string `json:"message"`
	Hint    string `json:"hint,omitempty"`
}

// Error gives the message alone; the hint is shown on a line of its own by whoever prints it.
func (e *Error) Error() string { return e.Message }

// Errorf makes an Error without a hint.
func Errorf(code Code, format string, args ...any) *Error {
	return &Error{Code: code, Message: fmt.Sprintf(format, args...)}
}

// WithHint returns a copy of e that names the next step.
func (e *Error) WithHint(format string, args ...any) *Error {
	c := *e
	c.Hint = fmt.Sprintf(format, args...)
	return &c
}

// AsError finds the *Error in err, or wraps err as an internal one.
func AsError(err error) *Error {
	if err == nil {
		return nil
	}
	var e *Error
	if errors.As(err, &e) {
		return e
	}
	return &Error{Code: CodeInternal, Message: err.Error()}
}
