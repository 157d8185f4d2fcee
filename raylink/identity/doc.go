// Package identity holds the forms of proof that Raylink's parts show one another: access and join tokens, ids made from public keys, the principal in a
// certificate, and the exact bytes of every signed statement.
//
// It is pure: entropy and the time are arguments. All signatures are Ed25519 over the statement itself and travel as standard base64. A statement's fields
// never hold a control character, so that no two statements have the same bytes.
package identity
