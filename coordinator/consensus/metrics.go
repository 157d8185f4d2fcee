package consensus

import (
	"fmt"

	"github.com/hashicorp/go-metrics"
	sinks "github.com/hashicorp/go-metrics/prometheus"
	"github.com/prometheus/client_golang/prometheus"
)

// Metrics sends raft's own numbers to registry; main calls it once, before Open, since raft has one sink for a whole process. Raft counts there only in
// programs built with -tags hashicorpmetrics, as make builds them; without the tag nothing but the numbers is missing.
func Metrics(registry prometheus.Registerer) error {
	sink, err := sinks.NewPrometheusSinkFrom(sinks.PrometheusOpts{Registerer: registry, Name: "raylink_raft"})
	if err != nil {
		return fmt.Errorf("registering raft's metrics: %w", err)
	}
	config := metrics.DefaultConfig("raylink")
	config.EnableHostname, config.EnableRuntimeMetrics = false, false
	if _, err := metrics.NewGlobal(config, sink); err != nil {
		return fmt.Errorf("starting raft's metrics: %w", err)
	}
	return nil
}
