// health prints what GitOps tools make of objects.
//
// It reads a JSON list of objects from standard input and writes a line for each: a status, and why. Without an argument
// that is what the reference library of kstatus says, which Flux uses; with the path of a script it is what Argo CD's
// engine for Lua makes of it.
package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"

	lua "github.com/yuin/gopher-lua"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	utiljson "k8s.io/apimachinery/pkg/util/json"
	luajson "layeh.com/gopher-json"
	"sigs.k8s.io/cli-utils/pkg/kstatus/status"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "health:", err)
		os.Exit(1)
	}
}

func run(arguments []string) error {
	input, err := io.ReadAll(os.Stdin)
	if err != nil {
		return err
	}
	var objects []any
	// As the API's own clients read numbers: whole ones are whole.
	if err := utiljson.Unmarshal(input, &objects); err != nil {
		return fmt.Errorf("standard input is no list of objects: %w", err)
	}
	judge := kstatus
	if len(arguments) == 1 {
		script, err := os.ReadFile(arguments[0])
		if err != nil {
			return err
		}
		judge = func(object map[string]any) (string, string, error) {
			return argo(string(script), object)
		}
	}
	for _, entry := range objects {
		object, ok := entry.(map[string]interface{})
		if !ok {
			return fmt.Errorf("standard input is no list of objects")
		}
		result, message, err := judge(object)
		if err != nil {
			return err
		}
		fmt.Printf("%s\t%s\n", result, message)
	}
	return nil
}

func kstatus(object map[string]any) (string, string, error) {
	result, err := status.Compute(&unstructured.Unstructured{Object: object})
	if err != nil {
		return "", "", err
	}
	return string(result.Status), result.Message, nil
}

// argo runs a script as Argo CD does: with the object as the global obj, and no library but those without effects.
func argo(script string, object map[string]any) (string, string, error) {
	state := lua.NewState(lua.Options{SkipOpenLibs: true})
	defer state.Close()
	for _, library := range []struct {
		name string
		open lua.LGFunction
	}{
		{lua.LoadLibName, lua.OpenPackage},
		{lua.BaseLibName, lua.OpenBase},
		{lua.TabLibName, lua.OpenTable},
	} {
		state.Push(state.NewFunction(library.open))
		state.Push(lua.LString(library.name))
		state.Call(1, 0)
	}
	text, err := json.Marshal(object)
	if err != nil {
		return "", "", err
	}
	value, err := luajson.Decode(state, text)
	if err != nil {
		return "", "", err
	}
	state.SetGlobal("obj", value)
	if err := state.DoString(script); err != nil {
		return "", "", err
	}
	health, ok := state.Get(-1).(*lua.LTable)
	if !ok {
		return "", "", fmt.Errorf("the script returns no table")
	}
	return health.RawGetString("status").String(), health.RawGetString("message").String(), nil
}
