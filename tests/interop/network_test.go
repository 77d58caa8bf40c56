package interop

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

// network is the running satellite and nodes all tests share.
type network struct {
	dir        string // "" when the network is not ours to stop
	grant      string
	satellite  string
	apiKey     string
	passphrase string
	nodes      int
	nodectl    []string // command that takes "kill nodeN" or "start nodeN"
}

// More than the ten pieces of a segment, so that an upload which meets dead nodes can be given others.
const nodesDefault = 12

var (
	shared    network
	sharedErr error // why there is no network; reported by every test that needs one
	acrePath  string
	acreErr   error
)

func TestMain(m *testing.M) {
	os.Exit(run(m))
}

func run(m *testing.M) int {
	scratch, err := os.MkdirTemp("", "acre-interop-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer func() { _ = os.RemoveAll(scratch) }()

	acrePath, acreErr = findAcre()
	if os.Getenv("ACRE_INTEROP_EXTERNAL") == "1" {
		shared, sharedErr = externalNetwork()
	} else if acreErr != nil {
		sharedErr = acreErr
	} else {
		shared, sharedErr = startNetwork(filepath.Join(scratch, "net"))
	}
	defer shared.stop()

	rclonePath, rcloneErr = buildRclone()
	configDir = filepath.Join(scratch, "config")
	return m.Run()
}

func findAcre() (string, error) {
	dir := os.Getenv("ACRE_BIN")
	if dir == "" {
		dir = filepath.Join("..", "..", "dist", "bin")
	}
	path, err := filepath.Abs(filepath.Join(dir, "acre"))
	if err != nil {
		return "", err
	}
	if _, err := os.Stat(path); err != nil {
		return "", fmt.Errorf("no acre program: %w (set ACRE_BIN to its directory)", err)
	}
	return path, nil
}

func nodeCount() int {
	if n, err := strconv.Atoi(os.Getenv("ACRE_INTEROP_NODES")); err == nil {
		return n
	}
	return nodesDefault
}

// externalNetwork takes the network from the environment, as `acre dev env` prints it.
// ACRE_INTEROP_NODECTL is a program that takes "kill nodeN" or "start nodeN".
func externalNetwork() (network, error) {
	net := network{nodes: nodeCount()}
	if err := net.read(os.Getenv); err != nil {
		return net, err
	}
	if ctl := os.Getenv("ACRE_INTEROP_NODECTL"); ctl != "" {
		net.nodectl = []string{ctl}
	}
	return net, nil
}

func startNetwork(dir string) (network, error) {
	net := network{dir: dir, nodes: nodeCount(), nodectl: []string{acrePath, "dev"}}
	args := []string{"up", "--nodes", strconv.Itoa(net.nodes)}
	if database := os.Getenv("ACRE_TEST_POSTGRES"); database != "" {
		args = append(args, "--database", database)
	}
	if out, err := net.dev(args...); err != nil {
		return net, fmt.Errorf("acre dev up: %w\n%s", err, out)
	}
	out, err := net.dev("env")
	if err != nil {
		return net, fmt.Errorf("acre dev env: %w\n%s", err, out)
	}
	vars := parseShell(out)
	return net, net.read(func(name string) string { return vars[name] })
}

// ours tells that the satellite is Acre's. Some tests ask more of it than its peers hold to.
func (net *network) ours() bool { return net.dir != "" }

func (net *network) read(get func(string) string) error {
	for name, value := range map[string]*string{
		"ACRE_ACCESS": &net.grant, "ACRE_SATELLITE": &net.satellite,
		"ACRE_API_KEY": &net.apiKey, "ACRE_PASSPHRASE": &net.passphrase,
	} {
		if *value = get(name); *value == "" {
			return fmt.Errorf("the network's environment has no %s", name)
		}
	}
	return nil
}

func (net *network) dev(args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	return command(ctx, nil, nil, acrePath, append([]string{"dev", args[0], "--dir", net.dir}, args[1:]...)...)
}

func (net *network) stop() {
	if net.dir == "" || acreErr != nil {
		return
	}
	if out, err := net.dev("down"); err != nil {
		fmt.Fprintf(os.Stderr, "acre dev down: %v\n%s", err, out)
	}
}

func (net *network) control(t *testing.T, verb string, node int) {
	t.Helper()
	if net.nodectl == nil {
		missing(t, "nothing to stop and start nodes with: set ACRE_INTEROP_NODECTL")
	}
	args := append(append([]string{}, net.nodectl[1:]...), verb, fmt.Sprintf("node%d", node))
	if net.dir != "" {
		args = append(args, "--dir", net.dir)
	}
	out, err := command(context.Background(), nil, nil, net.nodectl[0], args...)
	if err != nil {
		t.Fatalf("%s node%d: %v\n%s", verb, node, err, out)
	}
}

// parseShell reads NAME=value lines; values may be in single or double quotes, "export " is dropped.
func parseShell(text string) map[string]string {
	vars := map[string]string{}
	lines := bufio.NewScanner(strings.NewReader(text))
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		line := strings.TrimPrefix(strings.TrimSpace(lines.Text()), "export ")
		name, value, ok := strings.Cut(line, "=")
		if !ok {
			continue
		}
		if n := len(value); n >= 2 && (value[0] == '\'' || value[0] == '"') && value[n-1] == value[0] {
			value = value[1 : n-1]
		}
		vars[name] = value
	}
	return vars
}

// missing ends a test whose tool is not there. Only a developer may ask for a skip instead.
func missing(t *testing.T, format string, args ...any) {
	t.Helper()
	if os.Getenv("ACRE_INTEROP_ALLOW_SKIP") == "1" {
		t.Skipf(format, args...)
	}
	t.Fatalf(format, args...)
}

// command runs a program and returns what it printed; an error carries what it complained about.
func command(ctx context.Context, stdin []byte, env []string, name string, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Stdin = bytes.NewReader(stdin)
	cmd.Env = append(os.Environ(), env...)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	cmd.WaitDelay = time.Second
	if err := cmd.Run(); err != nil {
		return stdout.String(), fmt.Errorf("%s %s: %w: %s", filepath.Base(name), abbreviate(args), err,
			strings.TrimSpace(stderr.String()))
	}
	return stdout.String(), nil
}

// abbreviate keeps grants, which are long, out of the messages.
func abbreviate(args []string) string {
	short := make([]string, len(args))
	for i, arg := range args {
		if len(arg) > 200 {
			arg = arg[:20] + "..."
		}
		short[i] = strconv.Quote(arg)
	}
	return strings.Join(short, " ")
}
