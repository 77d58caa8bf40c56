// Package edge compares what our library says to an edge service's auth service, and makes of its answers,
// with the Go library.
package edge

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"storj.io/common/pb"
	"storj.io/drpc/drpcmux"
	"storj.io/drpc/drpcserver"
	"storj.io/uplink"
	"storj.io/uplink/edge"
)

// A grant of nobody: no satellite is asked.
const grant = "13J4Upun87ATb3T5T5sDXVeQaCzWFZeF9Ly4ELfxS5hUwTL8APEkwahTEJ1wxZjyErimiDs3kgid33kDLuYPYtwaY7Toy32mCTapfrUB814X13RiA844HPWK3QLKZb9cAoVceTowmNZXWbcUMKNbkMHCURE4hn8ZrdHPE3S86yngjvDxwKmarfGx"

// authService gives credentials that say what was asked.
type authService struct{ pb.DRPCEdgeAuthServer }

func (authService) RegisterAccess(_ context.Context, r *pb.EdgeRegisterAccessRequest) (*pb.EdgeRegisterAccessResponse, error) {
	if r.AccessGrant != grant {
		return nil, errors.New("this is not the grant")
	}
	expires := time.Unix(4000000000, 0)
	return &pb.EdgeRegisterAccessResponse{
		AccessKeyId: fmt.Sprintf("id-%v", r.Public), SecretKey: "secret", Endpoint: "https://gateway.example",
		FreeTierRestrictedExpiration: &expires,
	}, nil
}

// refusing answers every call with an error.
type refusing struct{ pb.DRPCEdgeAuthServer }

func (refusing) RegisterAccess(context.Context, *pb.EdgeRegisterAccessRequest) (*pb.EdgeRegisterAccessResponse, error) {
	return nil, errors.New("not today")
}

func TestRegister(t *testing.T) {
	program := build(t)
	named, namedPEM := certificate(t, []string{"localhost"}, nil, time.Hour)
	numbered, numberedPEM := certificate(t, nil, []net.IP{net.IPv4(127, 0, 0, 1)}, time.Hour)
	expired, expiredPEM := certificate(t, []string{"localhost"}, nil, -time.Minute)

	plain := serve(t, authService{}, nil)
	byName := serve(t, authService{}, &tls.Config{Certificates: []tls.Certificate{named}})
	byName12 := serve(t, authService{}, &tls.Config{Certificates: []tls.Certificate{named}, MaxVersion: tls.VersionTLS12})
	byNumber := serve(t, authService{}, &tls.Config{Certificates: []tls.Certificate{numbered}})
	past := serve(t, authService{}, &tls.Config{Certificates: []tls.Certificate{expired}})

	listener, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	closed := listener.Addr().String()
	must(t, listener.Close())

	local := func(address string) string { return strings.Replace(address, "127.0.0.1", "localhost", 1) }
	for _, c := range []struct {
		name, address, roots string
		plain, public        bool
		works                bool
	}{
		{"plain", plain, "", true, false, true},
		{"public", plain, "", true, true, true},
		{"name", local(byName), namedPEM, false, true, true},
		{"TLS 1.2", local(byName12), namedPEM, false, false, true},
		{"number", byNumber, numberedPEM, false, false, true},
		{"one of several roots", local(byName), numberedPEM + namedPEM, false, false, true},
		{"other name", byName, namedPEM, false, false, false},
		{"other number", local(byNumber), numberedPEM, false, false, false},
		{"not trusted", local(byName), "", false, false, false},
		{"other root", local(byName), numberedPEM, false, false, false},
		{"expired", local(past), expiredPEM, false, false, false},
		{"nobody there", closed, "", true, false, false},
		{"no such host", "does-not-exist.invalid:7777", namedPEM, false, false, false},
		{"refused", serve(t, refusing{}, nil), "", true, false, false},
		{"no port", "localhost", namedPEM, false, false, false},
		{"no address", "", namedPEM, false, false, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := call(t, program, "register", grant, c.address, c.roots, yes(c.plain), yes(c.public))
			access, err := uplink.ParseAccess(grant)
			must(t, err)
			config := edge.Config{AuthServiceAddress: c.address, CertificatePEM: []byte(c.roots), InsecureUnencryptedConnection: c.plain}
			credentials, err := config.RegisterAccess(t.Context(), access, &edge.RegisterAccessOptions{Public: c.public})
			if (err == nil) != c.works {
				t.Errorf("the Go library: %v", err)
			}
			want := ""
			switch { // as uplink-c's mallocError
			case err == nil:
				want = fmt.Sprintf("%s %s %s\n", credentials.AccessKeyID, credentials.SecretKey, credentials.Endpoint)
			case errors.Is(err, edge.ErrAuthDialFailed):
				want = "error 0x30\n"
			case errors.Is(err, edge.ErrRegisterAccessFailed):
				want = "error 0x31\n"
			default:
				want = "error 0x2\n"
			}
			if !strings.HasPrefix(got, want) {
				t.Errorf("got %s want %s (%v)", got, want, err)
			}
			t.Log(got, err)
		})
	}
}

func TestShareURL(t *testing.T) {
	program := build(t)
	var all strings.Builder
	for b := 1; b < 256; b++ {
		all.WriteByte(byte(b))
	}
	const base, id = "https://link.example", "jwaohtj3dhixxfpzhwj522x7z3pm"
	for _, c := range []struct {
		base, id, bucket, key string
		raw                   bool
	}{
		{base, id, "", "", false},
		{base + "/", id, "bucket", "", false},
		{base + "/below/", id, "bucket", "prefix/", false},
		{base, id, "bucket", "prefix/key", false},
		{base, id, "bucket", "prefix/key", true},
		{base, id, "bucket", all.String(), false},
		{base, id, "bucket", "a//b/./../c?d#e%2F", true},
		{base + ":8080", id, "bucket", "key", false},
		{"http://127.0.0.1:8080", id, "bucket", "key", true},
		{base, id, "", "key", false},
		{base, id, "bucket", "", true},
		{base, id, "bucket", "prefix/", true},
		{base, "", "bucket", "key", false},
		{"", id, "bucket", "key", false},
		{"link.example", id, "bucket", "key", false},
	} {
		want, err := edge.JoinShareURL(c.base, c.id, c.bucket, c.key, &edge.ShareURLOptions{Raw: c.raw})
		if err != nil {
			want = "error 0x2"
		}
		got := call(t, program, "url", c.base, c.id, c.bucket, c.key, yes(c.raw))
		if !strings.HasPrefix(got, want+"\n") {
			t.Errorf("%+v: got %s want %s (%v)", c, got, want, err)
		}
	}
}

// build compiles testdata/edge.c with the installed library.
func build(t *testing.T) string {
	t.Helper()
	bin := os.Getenv("ACRE_BIN")
	if bin == "" {
		bin = filepath.Join("..", "..", "..", "dist", "bin")
	}
	dist, err := filepath.Abs(filepath.Join(bin, ".."))
	must(t, err)
	program := filepath.Join(t.TempDir(), "edge")
	out, err := exec.Command("cc", "-Wall", "-Wextra", "-Werror", "testdata/edge.c", "-o", program, "-I"+dist+"/include",
		"-L"+dist+"/lib", "-lacre", "-Wl,-rpath,"+dist+"/lib").CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return program
}

func call(t *testing.T, program string, args ...string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	out, err := exec.CommandContext(ctx, program, args...).CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %v\n%s", args[0], err, out)
	}
	return string(out)
}

func serve(t *testing.T, service pb.DRPCEdgeAuthServer, config *tls.Config) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	address := listener.Addr().String()
	if config != nil {
		listener = tls.NewListener(listener, config)
	}
	mux := drpcmux.New()
	must(t, pb.DRPCRegisterEdgeAuth(mux, service))
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { defer close(done); _ = drpcserver.New(mux).Serve(ctx, listener) }()
	t.Cleanup(func() { cancel(); <-done })
	return address
}

func certificate(t *testing.T, names []string, addresses []net.IP, valid time.Duration) (tls.Certificate, string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(t, err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), DNSNames: names, IPAddresses: addresses,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(valid), IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	must(t, err)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key},
		string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
}

func yes(b bool) string {
	if b {
		return "1"
	}
	return "0"
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
