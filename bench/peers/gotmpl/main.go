// Renders every template below a directory with Go's text/template, so many times, and prints how long that took:
// `gotmpl DIR DATA ROUNDS`. Files are read before, and results are kept in memory.
package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"text/template"
	"time"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(args []string) error {
	if len(args) != 3 {
		return fmt.Errorf("usage: gotmpl DIR DATA ROUNDS")
	}
	rounds, err := strconv.Atoi(args[2])
	if err != nil {
		return err
	}
	decoder := json.NewDecoder(strings.NewReader(args[1]))
	decoder.UseNumber()
	var data any
	if err := decoder.Decode(&data); err != nil {
		return err
	}
	data = whole(data)
	texts := map[string]string{}
	err = filepath.WalkDir(args[0], func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		text, err := os.ReadFile(path)
		texts[path] = string(text)
		return err
	})
	if err != nil {
		return err
	}
	cold, err := times(rounds, func() error {
		for path, text := range texts {
			parsed, err := parse(path, text)
			if err != nil {
				return err
			}
			if err := execute(parsed, data); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	var compiled []*template.Template
	for path, text := range texts {
		parsed, err := parse(path, text)
		if err != nil {
			return err
		}
		compiled = append(compiled, parsed)
	}
	warm, err := times(rounds, func() error {
		for _, parsed := range compiled {
			if err := execute(parsed, data); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	return json.NewEncoder(os.Stdout).Encode(map[string][]float64{"parse_execute_ms": cold, "execute_ms": warm})
}

func parse(path, text string) (*template.Template, error) {
	return template.New(path).Option("missingkey=error").Parse(text)
}

func execute(parsed *template.Template, data any) error {
	var out bytes.Buffer
	return parsed.Execute(&out, data)
}

// The first time is left out.
func times(rounds int, work func() error) ([]float64, error) {
	var took []float64
	for round := 0; round <= rounds; round++ {
		begun := time.Now()
		if err := work(); err != nil {
			return nil, err
		}
		if round > 0 {
			took = append(took, float64(time.Since(begun).Microseconds())/1000)
		}
	}
	return took, nil
}

// Numbers without a fraction are integers.
func whole(value any) any {
	switch value := value.(type) {
	case json.Number:
		if number, err := value.Int64(); err == nil {
			return int(number)
		}
		number, _ := value.Float64()
		return number
	case []any:
		for at := range value {
			value[at] = whole(value[at])
		}
	case map[string]any:
		for key := range value {
			value[key] = whole(value[key])
		}
	}
	return value
}
