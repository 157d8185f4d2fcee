package dashboard

import (
	"crypto/rand"
	"net/http"
	"net/url"
	"path"
	"strings"
	"time"

	"github.com/gin-gonic/gin"

	"raylink/raylink"
	"raylink/raylink/identity"
	"raylink/raylink/wire"
)

const maxForm = 8 << 10 // bytes

// visitor finds who sent a request: the session's token is looked up each time, so that revoking it ends the session at once.
func (d *Dashboard) visitor(r *http.Request) (*visitor, error) {
	s, err := d.sessions.find(r, time.Now())
	if err != nil {
		return nil, err
	}
	who, err := d.holder(s.Hash)
	if err != nil {
		return nil, err
	}
	return &visitor{WhoAmI: who, session: s}, nil
}

// holder is whose access token has this hash. A signer's sees nothing but what it signs.
func (d *Dashboard) holder(hash string) (wire.WhoAmI, error) {
	who, err := d.source.Who(hash)
	if err == nil && who.Role == raylink.RoleSigner {
		return wire.WhoAmI{}, raylink.Errorf(raylink.CodeForbidden, "this access token is a signer's: it signs payouts, and opens no page").WithHint("sign in with one of role %s", raylink.RoleAdmin)
	}
	return who, err
}

type signInForm struct {
	Form, Next string
	Trouble    *raylink.Error
}

func (d *Dashboard) getSignIn(c *gin.Context) {
	next := local(c.Query("next"))
	if _, err := d.visitor(c.Request); err == nil {
		c.Redirect(http.StatusSeeOther, next)
		return
	}
	d.showSignIn(c, http.StatusOK, next, nil)
}

func (d *Dashboard) showSignIn(c *gin.Context, status int, next string, trouble error) {
	id := rand.Text()
	http.SetCookie(c.Writer, cookie(formCookie, id, formFor))
	d.draw(c, status, nil, view{name: "signin", title: "Sign in", data: signInForm{Form: d.sessions.form(id), Next: next, Trouble: raylink.AsError(trouble)}})
}

func (d *Dashboard) postSignIn(c *gin.Context) {
	if err := readForm(c); err != nil {
		d.refuse(c, nil, err)
		return
	}
	id := ""
	if k, err := c.Request.Cookie(formCookie); err == nil {
		id = k.Value
	}
	if err := d.sessions.checkForm(c.Request, id); err != nil {
		d.refuse(c, nil, err)
		return
	}
	next := local(c.Request.PostForm.Get("next"))
	secret, err := identity.ParseAccessToken(strings.TrimSpace(c.Request.PostForm.Get("token")))
	if err == nil {
		_, err = d.holder(identity.HashToken(secret))
	}
	if err != nil {
		d.showSignIn(c, raylink.AsError(err).Code.HTTPStatus(), next, err)
		return
	}
	k, err := d.Cookie(identity.HashToken(secret))
	if err != nil {
		d.refuse(c, nil, err)
		return
	}
	http.SetCookie(c.Writer, k)
	http.SetCookie(c.Writer, cookie(formCookie, "", 0))
	c.Redirect(http.StatusSeeOther, next)
}

// Cookie is the session of an access token's holder, given the token's hash; for whoever has proven the token in another way.
func (d *Dashboard) Cookie(tokenHash string) (*http.Cookie, error) {
	return d.sessions.begin(tokenHash, time.Now())
}

func (d *Dashboard) postSignOut(c *gin.Context) {
	if err := readForm(c); err != nil {
		d.refuse(c, nil, err)
		return
	}
	s, err := d.sessions.find(c.Request, time.Now())
	if err == nil { // signed out already: nothing to protect
		if err := d.sessions.checkForm(c.Request, s.ID); err != nil {
			d.refuse(c, nil, err)
			return
		}
		d.sessions.end(s, time.Now())
	}
	http.SetCookie(c.Writer, cookie(sessionCookie, "", 0))
	c.Redirect(http.StatusSeeOther, "/ui/sign-in")
}

func readForm(c *gin.Context) error {
	c.Request.Body = http.MaxBytesReader(c.Writer, c.Request.Body, maxForm)
	if err := c.Request.ParseForm(); err != nil {
		return raylink.Errorf(raylink.CodeInvalid, "the form could not be read").WithHint("open the page again and repeat what you did")
	}
	return nil
}

// local is a path of the dashboard to go to after sign-in; whatever could lead elsewhere becomes the overview.
func local(next string) string {
	u, err := url.Parse(next)
	if err != nil || u.Scheme != "" || u.Host != "" || u.Opaque != "" || path.Clean(u.Path) != u.Path || strings.ContainsAny(u.Path, "\\\r\n") {
		return "/ui"
	}
	if !strings.HasPrefix(u.Path, "/ui/") || strings.HasPrefix(u.Path, "/ui/sign-") || strings.HasPrefix(u.Path, "/ui/assets") {
		return "/ui"
	}
	return (&url.URL{Path: u.Path}).String()
}
