// Package raylink holds the words that every other package speaks: ids, cluster specifications, offers, phases and errors.
//
// It is pure: values and rules only. ARCHITECTURE.md beside it shows how the packages hang together.
package raylink
