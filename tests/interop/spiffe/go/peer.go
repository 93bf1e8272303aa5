package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"strings"
	"time"

	"github.com/spiffe/go-spiffe/v2/bundle/x509bundle"
	"github.com/spiffe/go-spiffe/v2/spiffeid"
	"github.com/spiffe/go-spiffe/v2/spiffetls"
	"github.com/spiffe/go-spiffe/v2/spiffetls/tlsconfig"
	"github.com/spiffe/go-spiffe/v2/svid/x509svid"
)

// The other side of a route. SOURCE is `workload`, the Workload API of SPIFFE_ENDPOINT_SOCKET, or a directory with certificates.pem, private_key.pem and
// ca_certificates.pem. Each connection is a line: `ok SERIAL` with the peer's certificate, `refused REASON` without one, `lost REASON`.

func fromFiles(directory string, id spiffeid.ID) (*x509svid.SVID, *x509bundle.Bundle) {
	svid := must(x509svid.Load(directory+"/certificates.pem", directory+"/private_key.pem"))
	return svid, must(x509bundle.Load(id.TrustDomain(), directory+"/ca_certificates.pem"))
}

func line(word, what string) {
	fmt.Printf("%s\t%s\n", word, strings.ReplaceAll(what, "\n", " "))
}

// What go-spiffe's connections are besides.
type tlsConn interface {
	Handshake() error
	ConnectionState() tls.ConnectionState
	CloseWrite() error
}

func serial(connection net.Conn) string {
	return fmt.Sprintf("%x", connection.(tlsConn).ConnectionState().PeerCertificates[0].SerialNumber)
}

// serve: echoes to peers with this ID.
func serve(ctx context.Context, source, address string, id spiffeid.ID) {
	authorizer := tlsconfig.AuthorizeID(id)
	var listener net.Listener
	if source == "workload" {
		listener = must(spiffetls.Listen(ctx, "tcp", address, authorizer))
	} else {
		svid, bundle := fromFiles(source, id)
		listener = must(spiffetls.ListenWithMode(ctx, "tcp", address, spiffetls.MTLSServerWithRawConfig(authorizer, svid, bundle)))
	}
	fmt.Println("listens")
	for {
		connection := must(listener.Accept())
		go func() {
			defer connection.Close()
			if err := connection.(tlsConn).Handshake(); err != nil {
				line("refused", err.Error())
				return
			}
			line("ok", serial(connection))
			if _, err := io.Copy(connection, connection); err != nil {
				line("lost", err.Error())
				return
			}
			_ = connection.(tlsConn).CloseWrite()
		}()
	}
}

// dial: connects, sends, compares what comes back, over and over, and keeps one connection for all the time, that is asked each time too.
func dial(ctx context.Context, source, address string, id spiffeid.ID, once bool) {
	authorizer := tlsconfig.AuthorizeID(id)
	connect := func() (net.Conn, error) { return spiffetls.Dial(ctx, "tcp", address, authorizer) }
	if source != "workload" {
		svid, bundle := fromFiles(source, id)
		mode := spiffetls.MTLSClientWithRawConfig(authorizer, svid, bundle)
		connect = func() (net.Conn, error) { return spiffetls.DialWithMode(ctx, "tcp", address, mode) }
	}
	var held net.Conn
	for {
		connection, err := connect()
		if err != nil {
			line("refused", err.Error())
		} else if err := echoed(connection); err != nil {
			line("lost", err.Error())
		} else {
			line("ok", serial(connection))
		}
		if once {
			return
		}
		time.Sleep(5 * time.Millisecond)
		if held == nil {
			held = connection
			continue
		}
		if connection != nil {
			connection.Close()
		}
		if err := echoed(held); err != nil {
			line("lost", "held: "+err.Error())
		}
	}
}

func echoed(connection net.Conn) error {
	sent, got := make([]byte, 200_000), make([]byte, 200_000)
	_, _ = rand.Read(sent)
	wrote := make(chan error, 1)
	go func() {
		_, err := connection.Write(sent)
		wrote <- err
	}()
	if _, err := io.ReadFull(connection, got); err != nil {
		return err
	}
	if err := <-wrote; err != nil {
		return err
	}
	if !bytes.Equal(sent, got) {
		return fmt.Errorf("other bytes came back")
	}
	return nil
}
