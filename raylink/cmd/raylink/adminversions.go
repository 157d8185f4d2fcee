package main

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"raylink/raylink/identity"
	"raylink/raylink/wire"
)

func (a *app) adminVersions() *cobra.Command {
	return parent("versions", "Set the versions that a machine's sandbox needs at least", "", a.versionsShow(), a.versionsSet())
}

func (a *app) versionsShow() *cobra.Command {
	c := &cobra.Command{Use: "show", Short: "Show the minimum versions, and how many machines are below them", Example: "  raylink admin versions show", Args: wants()}
	return remote(a, c, func(c *cobra.Command, s *session, _ []string) (wire.Versions, error) { return s.Versions(c.Context()) }, showVersions)
}

func (a *app) versionsSet() *cobra.Command {
	var key string
	c := &cobra.Command{
		Use:   "set NAME=VERSION... --key FILE",
		Short: "Set the minimum versions, signed with an operator's key",
		Long: `Set replaces the whole policy; without a name nothing is asked for any more. The names are kernel, docker, runc, runsc, nvidia-driver,
nvidia-container-toolkit and agent. A machine below it keeps what runs and gets nothing new; runsc counts only where a machine has the tier gvisor, driver
and toolkit only where it has a GPU of NVIDIA, docker, runc and toolkit not where leases run without an engine. The key is one of the operators' of the price policy (` + "`raylink admin price key`" + `).`,
		Example: "  raylink admin versions set kernel=6.1 runc=1.1.12 docker=25.0.2 --key operator.pem\n  raylink admin versions set --key operator.pem",
	}
	c.Flags().StringVar(&key, "key", "", "the operator's key file")
	return remote(a, c, func(c *cobra.Command, s *session, args []string) (wire.Versions, error) {
		v := wire.Versions{Minimum: map[string]string{}, SignedAt: time.Now().UTC()}
		for _, arg := range args {
			name, version, ok := strings.Cut(arg, "=")
			if !ok || name == "" || version == "" {
				return v, usage(c, "%q is not NAME=VERSION", arg)
			}
			v.Minimum[name] = version
		}
		if key == "" {
			return v, usage(c, "--key is missing: whose word is it?")
		}
		operator, err := openOperatorKey(key)
		if err != nil {
			return v, err
		}
		v.Operator, v.Signature = operator.Public(), operator.SignStatement(identity.VersionsBytes(v.Minimum, v.SignedAt))
		return s.SetVersions(c.Context(), v)
	}, showVersions)
}

func showVersions(w io.Writer, v wire.Versions) {
	if len(v.Minimum) == 0 {
		fmt.Fprintln(w, "No version is asked for. `raylink admin versions set kernel=6.1 --key FILE` asks for one.")
		return
	}
	var lines []string
	for _, name := range slices.Sorted(maps.Keys(v.Minimum)) {
		lines = append(lines, name, v.Minimum[name]+" or newer")
	}
	pairs(w, "", append(lines, "signed", moment(v.SignedAt)+" by "+v.Operator, "below it", fmt.Sprintf("%d machine(s), which get nothing new; `raylink machine list` shows them", v.Below))...)
}
