// Template-oracle says what Go's own text/template, with or without sprig, makes of templates: it reads cases as lines of JSON from a file
// and writes a line for each. Whole numbers of the data are int64 and others float64, as Kubernetes decodes its objects; a missing key is an error.
package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"text/template"

	"github.com/Masterminds/sprig/v3"
)

type testCase struct {
	Name      string          `json:"name"`
	Template  string          `json:"template"`
	Data      json.RawMessage `json:"data"`
	Functions string          `json:"functions"`
}

type answer struct {
	Output *string `json:"output,omitempty"`
	Error  *string `json:"error,omitempty"`
}

// What reads the surroundings or makes keys is no function of ours.
var left = []string{"env", "expandenv", "getHostByName"}

func functions() template.FuncMap {
	all := sprig.TxtFuncMap()
	for _, name := range left {
		delete(all, name)
	}
	for name := range all {
		if strings.HasPrefix(name, "gen") {
			delete(all, name)
		}
	}
	return all
}

func decoded(raw json.RawMessage) (any, error) {
	decoder := json.NewDecoder(bytes.NewReader(raw))
	decoder.UseNumber()
	var value any
	if err := decoder.Decode(&value); err != nil {
		return nil, err
	}
	return numbered(value)
}

func numbered(value any) (any, error) {
	switch value := value.(type) {
	case json.Number:
		if whole, err := strconv.ParseInt(value.String(), 10, 64); err == nil {
			return whole, nil
		}
		return value.Float64()
	case []any:
		for index, element := range value {
			made, err := numbered(element)
			if err != nil {
				return nil, err
			}
			value[index] = made
		}
		// So that a slice ends with its last element.
		return slices.Clip(value), nil
	case map[string]any:
		for key, element := range value {
			made, err := numbered(element)
			if err != nil {
				return nil, err
			}
			value[key] = made
		}
	}
	return value, nil
}

func made(one testCase) (text string, err error) {
	data, err := decoded(one.Data)
	if err != nil {
		return "", fmt.Errorf("the data of a case: %w", err)
	}
	defer func() {
		if reason := recover(); reason != nil {
			err = fmt.Errorf("panic: %v", reason)
		}
	}()
	parsed := template.New(one.Name).Option("missingkey=error")
	if one.Functions == "sprig" {
		parsed = parsed.Funcs(functions())
	}
	if parsed, err = parsed.Parse(one.Template); err != nil {
		return "", err
	}
	var output strings.Builder
	err = parsed.Execute(&output, data)
	return output.String(), err
}

func run(path string) error {
	cases, err := os.Open(path)
	if err != nil {
		return err
	}
	defer cases.Close()
	writer := bufio.NewWriter(os.Stdout)
	encoder := json.NewEncoder(writer)
	decoder := json.NewDecoder(bufio.NewReader(cases))
	for decoder.More() {
		var one testCase
		if err := decoder.Decode(&one); err != nil {
			return err
		}
		var out answer
		if text, err := made(one); err != nil {
			problem := err.Error()
			out.Error = &problem
		} else {
			out.Output = &text
		}
		if err := encoder.Encode(out); err != nil {
			return err
		}
	}
	return writer.Flush()
}

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: template-oracle FILE")
		os.Exit(2)
	}
	if err := run(os.Args[1]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
