// Package protodesc compares our message definitions with those of the peers' library: a number or a
// type that differs is a message the other side misreads.
package protodesc

import (
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/gogo/protobuf/proto"
	"github.com/gogo/protobuf/protoc-gen-gogo/descriptor"
)

// oursAlone are messages and enums no peer knows; what they are for is said where they are defined.
// An entry that ends in a dot stands for a whole package.
var oursAlone = []string{
	"satellite_ids.", // what our satellite puts into its opaque ids
	"acre.",          // what our nodes ask our satellites beyond the protocol
}

// fieldsOurs are fields we added to messages of the protocol: "package.Message.field".
var fieldsOurs = []string{}

// fieldsLeftOut are fields of the protocol that we do not define, because we neither set nor read them.
var fieldsLeftOut = []string{
	"piecestore.ExistsResponse.storage_method",
}

// What a name stands for: messages with their fields by number, enums with their values.
type definitions struct {
	messages map[string]map[int32]field
	enums    map[string]map[int32]string
	methods  map[string]string
}

type field struct {
	name, kind string
}

func TestDefinitions(t *testing.T) {
	module := strings.TrimSpace(run(t, "go", "list", "-m", "-f", "{{.Dir}}", "storj.io/common"))
	theirs := parse(t, []string{filepath.Join(module, "pb"), filepath.Join(module, "macaroon")}, "")
	ours := parse(t, []string{filepath.Join("..", "..", "..", "src")}, "proto")
	if len(ours.messages) < 50 || len(theirs.messages) < 50 {
		t.Fatalf("%d messages of ours, %d of theirs: not all files were found", len(ours.messages), len(theirs.messages))
	}

	compared := 0
	for _, name := range slices.Sorted(maps.Keys(ours.messages)) {
		want, known := theirs.messages[name]
		if !alone(t, name, known) {
			continue
		}
		compared++
		got := ours.messages[name]
		for _, number := range slices.Sorted(maps.Keys(got)) {
			id := name + "." + got[number].name
			switch w, ok := want[number]; {
			case slices.Contains(fieldsOurs, id):
				if ok {
					t.Errorf("%s = %d is theirs too: %s %s", id, number, w.kind, w.name)
				}
			case !ok:
				t.Errorf("%s = %d: no such field in the protocol", id, number)
			case w.name != got[number].name:
				t.Errorf("%s = %d is called %s", id, number, w.name)
			case w.kind != got[number].kind:
				t.Errorf("%s = %d is %s, must be %s", id, number, got[number].kind, w.kind)
			}
		}
		for _, number := range slices.Sorted(maps.Keys(want)) {
			id := name + "." + want[number].name
			_, ok := got[number]
			if listed := slices.Contains(fieldsLeftOut, id); !ok && !listed {
				t.Errorf("%s = %d (%s) is not defined", id, number, want[number].kind)
			} else if ok && listed {
				t.Errorf("%s is defined, and listed as left out", id)
			}
		}
	}
	for _, name := range slices.Sorted(maps.Keys(ours.enums)) {
		want, known := theirs.enums[name]
		if !alone(t, name, known) {
			continue
		}
		compared++
		if got := ours.enums[name]; !maps.Equal(got, want) {
			t.Errorf("enum %s: %v, must be %v", name, got, want)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(ours.methods)) {
		if want, known := theirs.methods[name]; known && want != ours.methods[name] {
			t.Errorf("rpc %s: %s, must be %s", name, ours.methods[name], want)
		} else {
			alone(t, name, known)
		}
	}
	t.Logf("%d definitions compared", compared)
}

// alone tells whether there is something to compare a definition with.
func alone(t *testing.T, name string, known bool) bool {
	t.Helper()
	listed := slices.ContainsFunc(oursAlone, func(entry string) bool {
		return entry == name || strings.HasSuffix(entry, ".") && strings.HasPrefix(name, entry)
	})
	if known == listed {
		if known {
			t.Errorf("%s is listed as ours alone, but they have it", name)
		} else {
			t.Errorf("%s is not in the protocol; if it is ours, list it", name)
		}
	}
	return known
}

// parse compiles all .proto files of the roots; below is where in each root they are.
func parse(t *testing.T, roots []string, below string) definitions {
	t.Helper()
	out := filepath.Join(t.TempDir(), "set")
	args := []string{"--include_imports", "--descriptor_set_out=" + out}
	var files []string
	for _, root := range roots {
		args = append(args, "-I", root)
		found, err := filepath.Glob(filepath.Join(root, below, "*.proto"))
		if err != nil || len(found) == 0 {
			t.Fatalf("no .proto files below %s", root)
		}
		files = append(files, found...)
	}
	// The peers' files import gogo.proto, which is beside them, and that descriptor.proto, which is protoc's.
	run(t, protoc(), append(args, files...)...)
	data, err := os.ReadFile(out)
	if err != nil {
		t.Fatal(err)
	}
	var set descriptor.FileDescriptorSet
	if err := proto.Unmarshal(data, &set); err != nil {
		t.Fatal(err)
	}
	d := definitions{map[string]map[int32]field{}, map[string]map[int32]string{}, map[string]string{}}
	for _, file := range set.File {
		if file.GetName() == "google/protobuf/descriptor.proto" || file.GetName() == "gogo.proto" {
			continue
		}
		prefix := ""
		if file.GetPackage() != "" {
			prefix = file.GetPackage() + "."
		}
		for _, message := range file.MessageType {
			d.message(prefix, message)
		}
		for _, enum := range file.EnumType {
			d.enum(prefix, enum)
		}
		for _, service := range file.Service {
			for _, method := range service.Method {
				d.methods[prefix+service.GetName()+"/"+method.GetName()] = fmt.Sprintf("(%s, stream %v) returns (%s, stream %v)",
					method.GetInputType(), method.GetClientStreaming(), method.GetOutputType(), method.GetServerStreaming())
			}
		}
	}
	return d
}

func (d *definitions) message(prefix string, message *descriptor.DescriptorProto) {
	name := prefix + message.GetName()
	fields := map[int32]field{}
	for _, f := range message.Field {
		label := strings.ToLower(strings.TrimPrefix(f.GetLabel().String(), "LABEL_"))
		kind := strings.ToLower(strings.TrimPrefix(f.GetType().String(), "TYPE_"))
		if f.Options != nil && f.Options.Packed != nil {
			kind += fmt.Sprintf(", packed %v", f.Options.GetPacked())
		}
		fields[f.GetNumber()] = field{
			name: f.GetName(),
			kind: strings.TrimSpace(label + " " + kind + " " + strings.TrimPrefix(f.GetTypeName(), ".")),
		}
	}
	d.messages[name] = fields
	for _, nested := range message.NestedType {
		d.message(name+".", nested)
	}
	for _, enum := range message.EnumType {
		d.enum(name+".", enum)
	}
}

func (d *definitions) enum(prefix string, enum *descriptor.EnumDescriptorProto) {
	values := map[int32]string{}
	for _, v := range enum.Value {
		if first, ok := values[v.GetNumber()]; ok { // an alias
			values[v.GetNumber()] = first + "," + v.GetName()
		} else {
			values[v.GetNumber()] = v.GetName()
		}
	}
	d.enums[prefix+enum.GetName()] = values
}

func protoc() string {
	if path := os.Getenv("ACRE_PROTOC"); path != "" {
		return path
	}
	return "protoc"
}

func run(t *testing.T, name string, args ...string) string {
	t.Helper()
	if _, err := exec.LookPath(name); err != nil {
		if os.Getenv("ACRE_INTEROP_ALLOW_SKIP") == "1" {
			t.Skip(err)
		}
		t.Fatal(err)
	}
	cmd := exec.Command(name, args...)
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%s: %v\n%s", name, err, stderr.String())
	}
	return string(out)
}
