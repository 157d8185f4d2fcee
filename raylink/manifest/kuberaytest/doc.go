// Package kuberaytest compares Raylink's `ray start` lines with those that KubeRay's own pod builder makes of the same manifests. It is a
// module of its own, because the pod builder brings some 600 packages that Raylink does not need.
package kuberaytest
