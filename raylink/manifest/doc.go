// Package manifest turns a KubeRay manifest, one ray.io/v1 RayCluster in YAML or JSON, into a ClusterSpec.
//
// What a system without Kubernetes can honour is honoured as KubeRay does it. What has no meaning here and no effect on the program is
// ignored with a note. Everything else is refused by its field's path, all problems at once. The table of fields is FIELDS.md, which is
// written from the rules in rules.go by a test. The package is pure.
package manifest
