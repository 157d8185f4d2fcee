package main

import (
	"context"
	"encoding"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"reflect"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"sigs.k8s.io/yaml"

	"raylink/raylink"
)

// roleConfig makes flags of a role's Config struct: each field with the tag `flag:"name"` gets one, with the tags help, default and
// env. A value is taken from the flag, else from the environment (RAYLINK_ROLE_NAME unless env says otherwise), else from the role's file,
// else from default. A field without the tag, or with flag:"-", is not for users.
type roleConfig struct {
	role   string
	file   string // --config
	level  string // --log-level
	fields []*field
}

// field is one setting; it is a pflag.Value.
type field struct {
	value     reflect.Value
	name, env string
	given     bool // by a flag: what a list had before is replaced
}

// bindRole adds the flags of config, a pointer to a struct, to a command.
func bindRole(c *cobra.Command, role string, config any) (*roleConfig, error) {
	r := &roleConfig{role: role}
	flags := c.Flags()
	flags.StringVar(&r.file, "config", "", fmt.Sprintf("file of settings in YAML, named as the flags are (default /etc/raylink/%s.yaml, if it is there)", role))
	flags.StringVar(&r.level, "log-level", "info", "how much to log: debug, info, warn or error")
	s := reflect.ValueOf(config).Elem()
	for i := range s.NumField() {
		tag := s.Type().Field(i).Tag
		name := tag.Get("flag")
		if name == "" || name == "-" {
			continue
		}
		f := &field{value: s.Field(i), name: name, env: tag.Get("env")}
		if f.env == "" {
			f.env = strings.ToUpper(strings.ReplaceAll("RAYLINK_"+role+"_"+name, "-", "_"))
		}
		if text := tag.Get("default"); text != "" {
			if err := f.Set(text); err != nil {
				return nil, fmt.Errorf("the default of --%s: %w", name, err)
			}
		}
		f.given = false
		help := tag.Get("help")
		if f.env != "-" {
			help += " [" + f.env + "]"
		}
		flag := flags.VarPF(f, name, "", help)
		if f.value.Kind() == reflect.Bool {
			flag.NoOptDefVal = "true"
		}
		r.fields = append(r.fields, f)
	}
	return r, nil
}

// load takes environment and file into account, once the flags are parsed.
func (r *roleConfig) load(flags *pflag.FlagSet, getenv func(string) string) error {
	settings, err := r.settings()
	if err != nil {
		return err
	}
	for _, f := range r.fields {
		fromFile, inFile := settings[f.name]
		delete(settings, f.name)
		fromEnv := ""
		if f.env != "-" {
			fromEnv = getenv(f.env)
		}
		switch {
		case flags.Changed(f.name):
			continue
		case fromEnv != "":
			err = f.Set(fromEnv)
			if err != nil {
				err = fmt.Errorf("%s: %w", f.env, err)
			}
		case inFile:
			if err = f.Set(plain(fromFile)); err != nil {
				err = fmt.Errorf("%s in %s: %w", f.name, r.file, err)
			}
		}
		if err != nil {
			return raylink.Errorf(raylink.CodeInvalid, "%v", err)
		}
	}
	for name := range settings {
		return raylink.Errorf(raylink.CodeInvalid, "%s has a setting %q, which is none of this role's", r.file, name).
			WithHint("settings are named as the flags are: `raylink %s --help`", r.role)
	}
	return nil
}

// settings reads the role's file. Only one that --config names has to be there.
func (r *roleConfig) settings() (map[string]any, error) {
	settings := map[string]any{}
	named := r.file != ""
	if !named {
		r.file = "/etc/raylink/" + r.role + ".yaml"
	}
	text, err := os.ReadFile(r.file)
	if errors.Is(err, fs.ErrNotExist) && !named {
		return settings, nil
	}
	if err == nil {
		err = yaml.UnmarshalStrict(text, &settings)
	}
	if err != nil {
		return nil, raylink.Errorf(raylink.CodeInvalid, "reading the settings: %v", err)
	}
	return settings, nil
}

// plain is a YAML value as a flag's text.
func plain(value any) string {
	list, ok := value.([]any)
	if !ok {
		return fmt.Sprint(value)
	}
	var words []string
	for _, v := range list {
		words = append(words, fmt.Sprint(v))
	}
	return strings.Join(words, ",")
}

// String is the value as text.
func (f *field) String() string {
	if f == nil || !f.value.IsValid() || f.value.IsZero() {
		return ""
	}
	switch v := f.value.Interface().(type) {
	case []string:
		return strings.Join(v, ",")
	case encoding.TextMarshaler:
		if text, err := v.MarshalText(); err == nil {
			return string(text)
		}
	}
	return fmt.Sprint(f.value.Interface())
}

// Type is what the help calls the value.
func (f *field) Type() string {
	switch f.value.Interface().(type) {
	case time.Duration:
		return "duration"
	case []string:
		return "list"
	case bool:
		return "bool"
	}
	if f.value.CanInt() || f.value.CanUint() {
		if _, ok := f.value.Addr().Interface().(encoding.TextUnmarshaler); !ok {
			return "number"
		}
	}
	return "string"
}

// Set reads a value; a list is given with commas, or by repeating the flag.
func (f *field) Set(text string) error {
	if u, ok := f.value.Addr().Interface().(encoding.TextUnmarshaler); ok {
		return u.UnmarshalText([]byte(text))
	}
	switch p := f.value.Addr().Interface().(type) {
	case *string:
		*p = text
		return nil
	case *bool:
		b, err := strconv.ParseBool(text)
		*p = b
		return err
	case *time.Duration:
		d, err := time.ParseDuration(text)
		*p = d
		return err
	case *[]string:
		if !f.given {
			*p = nil
		}
		f.given = true
		*p = append(*p, strings.Split(text, ",")...)
		return nil
	}
	switch {
	case f.value.CanInt():
		n, err := strconv.ParseInt(text, 10, f.value.Type().Bits())
		f.value.SetInt(n)
		return err
	case f.value.CanUint():
		n, err := strconv.ParseUint(text, 10, f.value.Type().Bits())
		f.value.SetUint(n)
		return err
	case f.value.Kind() == reflect.String:
		f.value.SetString(text)
		return nil
	}
	return fmt.Errorf("a setting of type %s cannot be read", f.value.Type())
}

// runRole gives a command the flags of config and lets it run until a signal ends it, which is no error.
func (a *app) runRole(c *cobra.Command, role string, config any, run func(ctx context.Context, args []string, log *slog.Logger) error) *cobra.Command {
	r, err := bindRole(c, role, config)
	c.RunE = func(c *cobra.Command, args []string) error {
		if err != nil {
			return err
		}
		if err := r.load(c.Flags(), a.getenv); err != nil {
			return err
		}
		log, err := a.logger(r.level)
		if err != nil {
			return usage(c, "%v", err)
		}
		if err = run(c.Context(), args, log); c.Context().Err() != nil && errors.Is(err, context.Canceled) {
			return nil
		}
		return err
	}
	return c
}

// logger writes to standard error.
func (a *app) logger(level string) (*slog.Logger, error) {
	var l slog.Level
	if err := l.UnmarshalText([]byte(level)); err != nil {
		return nil, fmt.Errorf("--log-level takes debug, info, warn or error, not %q", level)
	}
	return slog.New(slog.NewTextHandler(a.err, &slog.HandlerOptions{Level: l})), nil
}
