package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"time"
)

// token asks the endpoint for a new one, by client credentials.
func (o options) token(ctx context.Context) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	ask, err := http.NewRequestWithContext(ctx, http.MethodPost, o.tokens, strings.NewReader("grant_type=client_credentials"))
	if err != nil {
		return "", err
	}
	ask.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	ask.SetBasicAuth("alice", "alice-secret")
	answer, err := http.DefaultClient.Do(ask)
	if err != nil {
		return "", err
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		return "", fmt.Errorf("%s answers %s", o.tokens, answer.Status)
	}
	var granted struct {
		Token string `json:"access_token"`
	}
	err = json.NewDecoder(answer.Body).Decode(&granted)
	return granted.Token, err
}
