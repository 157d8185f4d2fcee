// Package wire holds the bodies of requests and answers of the HTTP API, and nothing else.
//
// Times are UTC in RFC 3339; amounts are text with their asset ("1.250000 USD"); unknown fields are refused in requests.
package wire
