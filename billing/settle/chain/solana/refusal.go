package solana

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"

	"github.com/gagliardetto/solana-go/rpc/jsonrpc"

	"raylink/billing/settle/chain"
)

// Codes of Solana's JSON-RPC (rpc_custom_error.rs of Agave).
const (
	codePreflight = -32002 // SendTransactionPreflightFailure: data.err says why
	codeSignature = -32003 // TransactionSignatureVerificationFailure
	codeParams    = -32602 // oversized or unreadable
)

// refusal reads the error of a send. It is a RefusedError only where the node says that it looked at the transaction and took nothing; of any
// other error (behind, overloaded, no line) nothing follows.
func refusal(err error, transfers int) error {
	var said *jsonrpc.RPCError
	if !errors.As(err, &said) {
		return fmt.Errorf("sending a transaction: %w", err)
	}
	switch said.Code {
	case codePreflight:
		data, _ := said.Data.(map[string]any)
		if data == nil || data["err"] == nil {
			break
		}
		code, item, words := explain(data["err"])
		return &chain.RefusedError{Code: code, Item: itemOf(item, transfers), Reason: words}
	case codeSignature, codeParams:
		return &chain.RefusedError{Code: chain.Other, Item: -1, Reason: oneLine(said.Message)}
	}
	return plain("sending a transaction", err)
}

// itemOf is the number of the transfer that an instruction is, -1 if it is none. Two instructions on the compute budget come first.
func itemOf(instruction, transfers int) int {
	if instruction < budgetInstructions || instruction >= budgetInstructions+transfers {
		return -1
	}
	return instruction - budgetInstructions
}

// explain reads a TransactionError as the RPC writes it: a word, or {"InstructionError":[index, word or {"Custom":n}]}, or another object.
func explain(said any) (code chain.FailureCode, instruction int, words string) {
	instruction = -1
	switch what := said.(type) {
	case string:
		return codeOfTransaction(what), instruction, oneLine(what)
	case map[string]any:
		pair, ok := what["InstructionError"].([]any)
		if !ok || len(pair) != 2 {
			break
		}
		if index, ok := integer(pair[0]); ok {
			instruction = index
		}
		code, words = codeOfInstruction(pair[1])
		return code, instruction, fmt.Sprintf("instruction %d: %s", instruction, words)
	}
	text, _ := json.Marshal(said)
	return chain.Other, instruction, oneLine(string(text))
}

func codeOfTransaction(word string) chain.FailureCode {
	switch word {
	case "BlockhashNotFound":
		return chain.Expired
	case "AlreadyProcessed":
		return chain.Replayed
	case "AccountNotFound", "InsufficientFundsForFee": // of SOL, to pay the fee
		return chain.Other
	}
	return chain.Other
}

// codeOfInstruction maps what the token programs answer. The numbers are TokenError's of SPL Token.
func codeOfInstruction(said any) (chain.FailureCode, string) {
	if word, ok := said.(string); ok {
		switch word {
		case "InvalidAccountData", "UninitializedAccount", "IncorrectProgramId":
			return chain.NoAccount, word
		}
		return chain.Other, oneLine(word)
	}
	object, _ := said.(map[string]any)
	number, ok := integer(object["Custom"])
	if !ok {
		text, _ := json.Marshal(said)
		return chain.Other, oneLine(string(text))
	}
	switch number {
	case 1:
		return chain.Insufficient, "Custom(1): the account holds too little"
	case 3:
		return chain.WrongMint, "Custom(3): the account is of another mint"
	case 4:
		return chain.WrongOwner, "Custom(4): the account is another's"
	case 17:
		return chain.Frozen, "Custom(17): the account is frozen"
	case 18:
		return chain.WrongDecimals, "Custom(18): the mint has other decimals"
	}
	return chain.Other, fmt.Sprintf("Custom(%d)", number)
}

// integer reads a JSON number that the library may have decoded as float64 or as json.Number.
func integer(value any) (int, bool) {
	switch n := value.(type) {
	case float64:
		if n != math.Trunc(n) || n < 0 || n > math.MaxUint32 {
			return 0, false
		}
		return int(n), true
	case json.Number:
		whole, err := n.Int64()
		return int(whole), err == nil && whole >= 0
	}
	return 0, false
}
