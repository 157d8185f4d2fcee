package api

import (
	"net/http"

	"github.com/gin-gonic/gin"

	"raylink/raylink"
)

// Handler is the whole surface of a coordinator; this file has every route of it but the dashboard's pages.
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
	r.GET("/v1/images", s.answer(s.getImages))
	r.PUT("/v1/images", s.answer(s.putImage))
	r.POST("/v1/quotes", s.answer(s.postQuote))
	r.GET("/v1/quotes/:id", s.answer(s.getQuote))
	r.GET("/v1/clusters", s.answer(s.getClusters))
	r.POST("/v1/clusters", s.answer(s.postCluster))
	r.GET("/v1/clusters/:id", s.answer(s.getCluster))
	r.DELETE("/v1/clusters/:id", s.answer(s.deleteCluster))
	r.GET("/v1/clusters/:id/bill", s.answer(s.getBill))
	r.GET("/v1/clusters/:id/bill/export", s.answer(s.getBillFile))
	r.GET("/v1/balance", s.answer(s.getBalance))
	r.GET("/v1/journal", s.answer(s.getJournal))
	r.GET("/v1/policy/versions", s.answer(s.getVersions))
	r.PUT("/v1/policy/versions", s.answer(s.putVersions))
	r.GET("/v1/invoice", s.answer(s.getInvoice))
	s.moneyRoutes(r)
	s.proofRoutes(r)

	if s.Metrics != nil {
		r.GET("/metrics", gin.WrapH(s.Metrics))
	}
	if s.Pages != nil { // below /ui: dashboard.Routes
		s.Pages(r, s)
	}
	return r
}

// moneyRoutes are the ways of money in and out.
func (s *Server) moneyRoutes(r *gin.Engine) {
	r.PUT("/v1/clusters/:id/budget", s.answer(s.putBudget))
	r.PUT("/v1/cap", s.answer(s.putCap))
	r.GET("/v1/topups", s.answer(s.getTopups))
	r.POST("/v1/topups", s.answer(s.postTopup))
	r.GET("/v1/topups/:id", s.answer(s.getTopup))
	r.GET("/v1/wallets", s.answer(s.getWallets))
	r.POST("/v1/wallets", s.answer(s.postWallet))
	r.POST("/v1/wallets/challenge", s.answer(s.postWalletChallenge))
	r.DELETE("/v1/wallets/:address", s.answer(s.deleteWallet))
	r.GET("/v1/settlement", s.answer(s.getSettlement))
	r.PUT("/v1/settlement", s.answer(s.putSettlement))
	r.GET("/v1/earnings", s.answer(s.getEarnings))
	r.GET("/v1/earnings/export", s.answer(s.getEarningsFile))
	r.POST("/v1/withdrawals", s.answer(s.postWithdrawal))
	r.GET("/v1/payouts", s.answer(s.getPayouts))
	r.POST("/v1/payouts/:id/:action", s.answer(s.postPayoutAction))
	r.GET("/v1/price", s.answer(s.getPrice))
	r.POST("/v1/price", s.answer(s.postPrice))
	r.PUT("/v1/price/policy", s.answer(s.putPricePolicy))
	r.POST("/v1/price/halt", s.answer(s.postPriceHalt))
	r.GET("/v1/treasury", s.answer(s.getTreasury))
	r.PUT("/v1/treasury", s.answer(s.putTreasury))
	r.PUT("/v1/treasury/payouts", s.answer(s.putPayoutPolicy))
	r.PUT("/v1/treasury/buyback", s.answer(s.putBuyback))
	r.POST("/v1/treasury/run", s.answer(s.postPayoutRun))
	r.POST("/v1/treasury/halt", s.answer(s.postPayoutHalt))
	r.POST("/v1/treasury/swaps", s.answer(s.postSwap))
	r.POST("/v1/suspense/assign", s.answer(s.postSuspenseAssign))
	r.POST("/v1/suspense/refund", s.answer(s.postSuspenseRefund))
	r.POST("/v1/accounts/:id/pardon", s.answer(s.postCardPardon))

	// A signer, by its access token; the card company, by its signature.
	r.GET("/v1/signer/work", s.answer(s.getSignerWork))
	r.POST("/v1/signer/attempts", s.answer(s.postSignerAttempt))
	r.POST("/v1/signer/anchors", s.answer(s.postSignerAnchor))
	r.POST("/v1/cards/webhook", s.answer(s.postCardWebhook))
}

// proofRoutes are the ways of proofs: an agent's by its certificate, people's by their access tokens.
func (s *Server) proofRoutes(r *gin.Engine) {
	r.POST("/v1/agent/proofs/:id/begin", s.answer(s.postProofBegin))
	r.POST("/v1/agent/proofs/:id/commit", s.answer(s.postProofCommit))
	r.POST("/v1/agent/proofs/:id/walked", s.answer(s.postProofWalked))
	r.POST("/v1/agent/proofs/:id/answer", s.answer(s.postProofAnswer))
	r.GET("/v1/proofs", s.answer(s.getProofs))
	r.GET("/v1/proofs/policy", s.answer(s.getProofPolicy))
	r.PUT("/v1/proofs/policy", s.answer(s.putProofPolicy))
	r.GET("/v1/proofs/:id", s.answer(s.getProof))
	r.GET("/v1/proofs/:id/transcript", s.answer(s.getTranscript))
	r.POST("/v1/clusters/:id/prove", s.answer(s.postProve))
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
