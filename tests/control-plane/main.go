// One binary with the parts of a Kubernetes control plane in it; the first argument says which one to be.
//
// The real API server, without a container engine or a download that is no Go module: the tests start one process for
// each part (see tests/src/cluster.rs).
package main

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"net/http"
	"net/http/httputil"
	"net/url"
	"os"
	"time"

	"github.com/spf13/cobra"
	"go.etcd.io/etcd/server/v3/embed"
	"k8s.io/component-base/cli"
	_ "k8s.io/component-base/logs/json/register"
	_ "k8s.io/component-base/metrics/prometheus/clientgo"
	_ "k8s.io/component-base/metrics/prometheus/version"
	apiserver "k8s.io/kubernetes/cmd/kube-apiserver/app"
	manager "k8s.io/kubernetes/cmd/kube-controller-manager/app"
	scheduler "k8s.io/kubernetes/cmd/kube-scheduler/app"
)

func main() {
	if len(os.Args) < 2 {
		fail("usage: control-plane etcd|kube-apiserver|kube-controller-manager|kube-scheduler|proxy|key ARGUMENTS")
	}
	part, arguments := os.Args[1], os.Args[2:]
	switch part {
	case "etcd":
		etcd(arguments)
	case "kube-apiserver":
		run(apiserver.NewAPIServerCommand(), arguments)
	case "kube-controller-manager":
		run(manager.NewControllerManagerCommand(), arguments)
	case "kube-scheduler":
		run(scheduler.NewSchedulerCommand(), arguments)
	case "proxy":
		proxy(arguments)
	case "key":
		key(arguments)
	default:
		fail("no such part: " + part)
	}
}

func run(command *cobra.Command, arguments []string) {
	command.SetArgs(arguments)
	os.Exit(cli.Run(command))
}

// etcd keeps nothing that has to survive: a test's cluster is thrown away.
func etcd(arguments []string) {
	if len(arguments) != 3 {
		fail("usage: control-plane etcd DIRECTORY CLIENT-PORT PEER-PORT")
	}
	config := embed.NewConfig()
	config.Dir = arguments[0]
	config.UnsafeNoFsync = true
	config.LogLevel = "error"
	client, peer := loopback(arguments[1]), loopback(arguments[2])
	config.ListenClientUrls, config.AdvertiseClientUrls = client, client
	config.ListenPeerUrls, config.AdvertisePeerUrls = peer, peer
	config.InitialCluster = config.InitialClusterFromName(config.Name)
	server, err := embed.StartEtcd(config)
	if err != nil {
		fail(err.Error())
	}
	select {
	case <-server.Server.ReadyNotify():
	case <-time.After(time.Minute):
		fail("etcd was not ready within a minute")
	}
	fail(fmt.Sprint(<-server.Err()))
}

// proxy speaks plain HTTP on loopback for those who have no TLS: the tests themselves, and curl.
func proxy(arguments []string) {
	if len(arguments) != 3 {
		fail("usage: control-plane proxy PORT API-SERVER-PORT TOKEN")
	}
	target := &url.URL{Scheme: "https", Host: "127.0.0.1:" + arguments[1]}
	handler := &httputil.ReverseProxy{
		Rewrite: func(request *httputil.ProxyRequest) {
			request.SetURL(target)
			request.Out.Header.Set("Authorization", "Bearer "+arguments[2])
		},
		Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}},
	}
	fail(http.ListenAndServe("127.0.0.1:"+arguments[0], handler).Error())
}

// key writes what service accounts' tokens are signed with.
func key(arguments []string) {
	if len(arguments) != 1 {
		fail("usage: control-plane key FILE")
	}
	pair, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		fail(err.Error())
	}
	block := pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(pair)}
	if err := os.WriteFile(arguments[0], pem.EncodeToMemory(&block), 0o600); err != nil {
		fail(err.Error())
	}
}

func loopback(port string) []url.URL {
	return []url.URL{{Scheme: "http", Host: "127.0.0.1:" + port}}
}

func fail(message string) {
	fmt.Fprintln(os.Stderr, "control-plane: "+message)
	os.Exit(1)
}
