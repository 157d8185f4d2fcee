// Package client speaks the coordinators' HTTP API: every route as a method, failover among coordinators, and what agents and
// gateways share, their identity on disk and the loop that follows an assignment.
package client
