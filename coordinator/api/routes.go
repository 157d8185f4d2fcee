package api

import (
	"net/http"

	"github.com/gin-gonic/gin"

	"raylink/raylink"
)

// Handler is the whole surface of a coordinator.
func (s *Server) Handler() http.Handler {
	gin.SetMode(gin.ReleaseMode)
	r := gin.New()
	r.ContextWithFallback = true // a caller who hangs up ends his long poll
	r.Use(s.recover)
	r.HandleMethodNotAllowed = true
	r.NoRoute(func(c *gin.Context) { s.refuse(c, noRoute(c)) })
	r.NoMethod(func(c *gin.Context) { s.refuse(c, noRoute(c)) })

	// Anybody.
	r.GET("/healthz", func(c *gin.Context) { c.String(http.StatusOK, "ok\n") })
	r.GET("/v1/status", s.answer(s.getStatus))

	// Whoever shows a join token.
	r.POST("/v1/join", s.answer(s.postJoin))
	r.POST("/v1/group/join", s.answer(s.postGroupJoin))

	// Coordinators, agents and gateways, by their certificates.
	r.POST("/v1/group/voter", s.answer(s.postGroupVoter))
	r.POST("/v1/renew", s.answer(s.postRenew))
	r.GET("/v1/agent/assignment", s.answer(s.getAssignment))
	r.POST("/v1/agent/report", s.answer(s.postAgentReport))
	r.GET("/v1/gateway/assignment", s.answer(s.getGatewayAssignment))
	r.POST("/v1/gateway/report", s.answer(s.postGatewayReport))
	r.POST("/v1/gateway/certificate", s.answer(s.postGatewayCertificate))

	// Users, by their access tokens; each handler says which roles it takes.
	r.GET("/v1/whoami", s.answer(s.getWhoami))
	r.GET("/v1/accounts", s.answer(s.getAccounts))
	r.POST("/v1/accounts", s.answer(s.postAccount))
	r.POST("/v1/accounts/:id/grants", s.answer(s.postGrant))
	r.GET("/v1/tokens", s.answer(s.getTokens))
	r.POST("/v1/tokens", s.answer(s.postToken))
	r.DELETE("/v1/tokens/:id", s.answer(s.deleteToken))
	r.POST("/v1/join-tokens", s.answer(s.postJoinToken))
	r.GET("/v1/machines", s.answer(s.getMachines))
	r.GET("/v1/machines/:id", s.answer(s.getMachine))
	r.POST("/v1/machines/:id/:action", s.answer(s.postMachineAction))
	r.POST("/v1/quotes", s.answer(s.postQuote))
	r.GET("/v1/quotes/:id", s.answer(s.getQuote))
	r.GET("/v1/clusters", s.answer(s.getClusters))
	r.POST("/v1/clusters", s.answer(s.postCluster))
	r.GET("/v1/clusters/:id", s.answer(s.getCluster))
	r.DELETE("/v1/clusters/:id", s.answer(s.deleteCluster))
	r.GET("/v1/clusters/:id/bill", s.answer(s.getBill))
	r.GET("/v1/balance", s.answer(s.getBalance))
	r.GET("/v1/journal", s.answer(s.getJournal))

	if s.Metrics != nil {
		r.GET("/metrics", gin.WrapH(s.Metrics))
	}
	if s.Pages != nil {
		s.Pages(r, s)
	}
	return r
}

func noRoute(c *gin.Context) error {
	return raylink.Errorf(raylink.CodeNotFound, "no %s %s here", c.Request.Method, c.Request.URL.Path).WithHint("the API begins at /v1, the dashboard at /ui")
}

// recover turns a panic of a handler into an error for this one request.
func (s *Server) recover(c *gin.Context) {
	defer func() {
		if p := recover(); p != nil {
			s.Log.Error("a handler panicked", "path", c.FullPath(), "panic", p)
			s.refuse(c, raylink.Errorf(raylink.CodeInternal, "this coordinator made a mistake of its own").WithHint("report it with the time: it is in the log"))
		}
	}()
	c.Next()
}
