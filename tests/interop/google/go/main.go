// What a Go program gets through compute/metadata and oauth2/google, by the environment alone. Prints `what<TAB>value` lines.
package main

import (
	"context"
	"fmt"
	"log"
	"net/url"
	"os"

	"cloud.google.com/go/compute/metadata"
	"golang.org/x/oauth2/google"
)

func must[T any](value T, err error) T {
	if err != nil {
		log.Fatal(err)
	}
	return value
}

func main() {
	scope, audience := os.Args[1], os.Args[2]
	ctx := context.Background()
	if !metadata.OnGCEWithContext(ctx) {
		log.Fatal("compute/metadata finds no metadata server")
	}
	say := func(what, value string) { fmt.Printf("%s\t%s\n", what, value) }
	say("project", must(metadata.ProjectIDWithContext(ctx)))
	say("email", must(metadata.EmailWithContext(ctx, "default")))
	found := must(google.FindDefaultCredentials(ctx))
	say("access", must(found.TokenSource.Token()).AccessToken)
	say("scoped", must(google.ComputeTokenSource("", scope).Token()).AccessToken)
	say("id", must(metadata.GetWithContext(ctx, "instance/service-accounts/default/identity?format=full&audience="+url.QueryEscape(audience))))
	say("universe", must(found.GetUniverseDomain()))
}
