// go-spiffe, unmodified, at the Workload API of SPIFFE_ENDPOINT_SOCKET.
//
// usage: go-client watch | once TIMES | crowd STREAMS | jwt AUDIENCE | mtls SECONDS | serve SOURCE ADDRESS ID | dial SOURCE ADDRESS ID | dial-once SOURCE ADDRESS ID
// Prints one line an event, its words apart by tabs: x509 ID SERIAL, jwt ID, crowd STREAMS, mtls OK FAILED CERTIFICATES, end REASON.
package main

import (
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/spiffe/go-spiffe/v2/spiffeid"
	"github.com/spiffe/go-spiffe/v2/spiffetls"
	"github.com/spiffe/go-spiffe/v2/spiffetls/tlsconfig"
	"github.com/spiffe/go-spiffe/v2/svid/jwtsvid"
	"github.com/spiffe/go-spiffe/v2/svid/x509svid"
	"github.com/spiffe/go-spiffe/v2/workloadapi"
)

func tell(svid *x509svid.SVID) {
	fmt.Printf("x509\t%s\t%x\n", svid.ID, svid.Certificates[0].SerialNumber)
}

func must[T any](value T, err error) T {
	if err != nil {
		fmt.Printf("end\t%v\n", err)
		os.Exit(1)
	}
	return value
}

func check(err error) { must(0, err) }

func watch(ctx context.Context) {
	source := must(workloadapi.NewX509Source(ctx))
	for {
		tell(must(source.GetX509SVID()))
		check(source.WaitUntilUpdated(ctx))
	}
}

func once(ctx context.Context, times int) {
	for range times {
		ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
		x509 := must(workloadapi.FetchX509Context(ctx))
		svid := x509.DefaultSVID()
		// The chain that came with it is good under the bundle that came with it.
		_, _, err := x509svid.Verify(svid.Certificates, x509.Bundles)
		check(err)
		tell(svid)
		cancel()
	}
}

func jwt(ctx context.Context, audience string) {
	source := must(workloadapi.NewJWTSource(ctx))
	defer source.Close()
	svid := must(source.FetchJWTSVID(ctx, jwtsvid.Params{Audience: audience}))
	must(jwtsvid.ParseAndValidate(svid.Marshal(), source, []string{audience}))
	must(workloadapi.ValidateJWTSVID(ctx, svid.Marshal(), audience))
	if _, err := workloadapi.ValidateJWTSVID(ctx, svid.Marshal(), "somebody else"); err == nil {
		check(fmt.Errorf("a JWT-SVID for somebody else was taken"))
	}
	fmt.Printf("jwt\t%s\n", svid.ID)
}

// An mTLS server and a client of the same source, which rotate while connections come one after another.
func mtls(ctx context.Context, seconds int) {
	source := must(workloadapi.NewX509Source(ctx))
	own := must(source.GetX509SVID()).ID
	mode := spiffetls.MTLSServerWithSource(tlsconfig.AuthorizeID(own), source)
	listener := must(spiffetls.ListenWithMode(ctx, "tcp", "127.0.0.1:0", mode))
	go func() {
		for {
			connection, err := listener.Accept()
			if err != nil {
				return
			}
			go func(connection net.Conn) {
				defer connection.Close()
				_, _ = io.Copy(connection, connection)
			}(connection)
		}
	}()
	ok, failed, seen := 0, 0, map[string]bool{}
	client := spiffetls.MTLSClientWithSource(tlsconfig.AuthorizeID(own), source)
	for until := time.Now().Add(time.Duration(seconds) * time.Second); time.Now().Before(until); {
		if err := exchange(ctx, listener.Addr().String(), client); err != nil {
			fmt.Fprintln(os.Stderr, err)
			failed++
		} else {
			ok++
		}
		seen[must(source.GetX509SVID()).Certificates[0].SerialNumber.String()] = true
	}
	fmt.Printf("mtls\t%d\t%d\t%d\n", ok, failed, len(seen))
}

func exchange(ctx context.Context, address string, mode spiffetls.DialMode) error {
	connection, err := spiffetls.DialWithMode(ctx, "tcp", address, mode)
	if err != nil {
		return err
	}
	defer connection.Close()
	if _, err := connection.Write([]byte("hello")); err != nil {
		return err
	}
	_, err = io.ReadFull(connection, make([]byte, 5))
	return err
}

// Counts the streams that have had an identity, and says so when all have; then what becomes of them.
type crowd struct {
	left atomic.Int64
	all  int
}

func (c *crowd) OnX509ContextUpdate(*workloadapi.X509Context) {
	if c.left.Add(-1) == 0 {
		fmt.Printf("crowd\t%d\n", c.all)
	}
}

func (c *crowd) OnX509ContextWatchError(err error) {
	fmt.Printf("end\t%v\n", err)
}

func crowded(ctx context.Context, streams int) {
	const each = 1000 // what one connection takes
	all := &crowd{all: streams}
	all.left.Store(int64(streams))
	for opened := 0; opened < streams; opened += each {
		client := must(workloadapi.New(ctx))
		for range min(each, streams-opened) {
			go func() { check(client.WatchX509Context(ctx, all)) }()
		}
	}
	select {}
}

func main() {
	ctx := context.Background()
	number := func() int { return must(strconv.Atoi(os.Args[2])) }
	switch os.Args[1] {
	case "watch":
		watch(ctx)
	case "once":
		once(ctx, number())
	case "crowd":
		crowded(ctx, number())
	case "jwt":
		jwt(ctx, os.Args[2])
	case "mtls":
		mtls(ctx, number())
	case "serve":
		serve(ctx, os.Args[2], os.Args[3], must(spiffeid.FromString(os.Args[4])))
	case "dial", "dial-once":
		dial(ctx, os.Args[2], os.Args[3], must(spiffeid.FromString(os.Args[4])), os.Args[1] == "dial-once")
	}
}
