//go:build hashicorpmetrics

package consensus

const raftCounts = true
