// A receiver of Bellhop's webhooks that trusts nothing but what is signed. Go 1.21, no modules.
package main

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"
)

var (
	mutex sync.Mutex
	seen  = map[string]int{} // A database in earnest: the greatest sequence of each integration.
)

func isSigned(secret []byte, headers http.Header, body []byte) bool {
	id, timestamp := headers.Get("webhook-id"), headers.Get("webhook-timestamp")
	seconds, err := strconv.ParseInt(timestamp, 10, 64)
	if err != nil || time.Since(time.Unix(seconds, 0)).Abs() > 5*time.Minute {
		return false
	}
	mac := hmac.New(sha256.New, secret)
	fmt.Fprintf(mac, "%s.%s.", id, timestamp)
	mac.Write(body)
	expected := []byte("v1," + base64.StdEncoding.EncodeToString(mac.Sum(nil)))
	// During a rotation there are several: one that matches is enough.
	for _, item := range strings.Fields(headers.Get("webhook-signature")) {
		if hmac.Equal(expected, []byte(item)) {
			return true
		}
	}
	return false
}

func main() {
	secret, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(os.Getenv("WEBHOOK_SECRET"), "whsec_"))
	if err != nil || len(secret) == 0 {
		log.Fatal("WEBHOOK_SECRET is not a secret: whsec_ and base64")
	}
	port := os.Getenv("PORT")
	if port == "" {
		port = "9000"
	}
	http.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, 1<<20)) // The bytes, before anything parses them.
		if err != nil || !isSigned(secret, r.Header, body) {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		var message struct {
			Action string
			Data   struct{ Integration struct{ Id string } }
		}
		if json.Unmarshal(body, &message) != nil {
			w.WriteHeader(http.StatusBadRequest)
			return
		}
		integration := message.Data.Integration.Id
		// The id is signed, and ends with the sequence. That of a test begins with msg_test_.
		id, sequence := r.Header.Get("webhook-id"), 0
		if !strings.HasPrefix(id, "msg_test_") {
			sequence, _ = strconv.Atoi(id[strings.LastIndex(id, "_")+1:])
		}
		mutex.Lock()
		defer mutex.Unlock()
		if sequence == 0 || sequence > seen[integration] {
			fmt.Println(message.Action, integration) // Store it durably here; work on it later.
			seen[integration] = sequence
		}
		w.WriteHeader(http.StatusNoContent) // Also for what was there before.
	})
	log.Fatal(http.ListenAndServe("127.0.0.1:"+port, nil))
}
