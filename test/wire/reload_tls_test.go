package wire_test

import (
	"crypto/tls"
	"testing"

	"github.com/sluice-proxy/sluice/internal/testkit"
)

// A reload reads certificates again, also from other files, which are watched
// from there on. A certificate that can't be read changes nothing.
func TestReloadOfCertificates(t *testing.T) {
	testkit.Both(t, func(t *testing.T, tr testkit.Transport) {
		in, dir := testkit.Listen(t), t.TempDir()
		first, second := testkit.NewCertificate(t, t.TempDir()), testkit.NewCertificate(t, dir)
		with := func(cert, key string) string {
			return testkit.Config{Upstreams: []string{in.URL()}, Top: `listen: {address: "127.0.0.1:0", tls: {cert: "` + cert + `", key: "` + key + `"}}`}.String()
		}
		a := testkit.Start(t, tr, with(first.Cert, first.Key))
		open := func(c *testkit.Certificate) (client, leg *testkit.Peer) {
			t.Helper()
			conn, err := tls.Dial("tcp", a.Addr().String(), &tls.Config{RootCAs: c.Pool, ServerName: "localhost"})
			if err != nil {
				t.Fatalf("TLS with the certificate: %v", err)
			}
			client = testkit.NewClient(t, conn)
			client.SendString(testkit.Upgrade("/"))
			leg = in.Connect(t, "it is used")
			client.WantUpgraded("and a session opened")
			return client, leg
		}
		client, leg := open(first)
		if _, err := a.TryReload(t, with(first.Cert, second.Key)); err == nil {
			t.Error("a key of another certificate is taken")
		}
		open(first)
		if got := a.Reload(t, with(second.Cert, second.Key)).Changed; len(got) != 1 {
			t.Errorf("changed: %q", got)
		}
		open(second)
		client.Send(testkit.Text("x"))
		leg.Want("sessions stay", testkit.Text("x"))
		testkit.NewCertificate(t, dir)
		a.WantLog(t, "the new files are watched", "certificate reloaded", second.Cert)
	})
}
