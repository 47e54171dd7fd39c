// Renders templates as Go does, for comparison: one JSON object a line comes in, one goes out.
package main

import (
	"bufio"
	"encoding/json"
	"os"
	"strconv"
	"strings"
	"text/template"

	"github.com/Masterminds/sprig/v3"
)

type request struct {
	Template   string          `json:"template"`
	Data       json.RawMessage `json:"data"`
	MissingKey string          `json:"missingkey"`
}

type answer struct {
	Output string `json:"output"`
	Error  string `json:"error"`
}

// Numbers without a fraction or an exponent are ints.
func convert(value any) any {
	switch value := value.(type) {
	case json.Number:
		if !strings.ContainsAny(value.String(), ".eE") {
			if number, err := strconv.Atoi(value.String()); err == nil {
				return number
			}
		}
		number, _ := value.Float64()
		return number
	case []any:
		for at, item := range value {
			value[at] = convert(item)
		}
	case map[string]any:
		for name, item := range value {
			value[name] = convert(item)
		}
	}
	return value
}

func render(request request) (answer answer) {
	var data any
	decoder := json.NewDecoder(strings.NewReader(string(request.Data)))
	decoder.UseNumber()
	if err := decoder.Decode(&data); err != nil {
		panic(err)
	}
	var output strings.Builder
	parsed := template.New("t").Funcs(sprig.TxtFuncMap()).Option("missingkey=" + request.MissingKey)
	parsed, err := parsed.Parse(request.Template)
	if err == nil {
		err = parsed.Execute(&output, convert(data))
	}
	answer.Output = output.String()
	if err != nil {
		answer.Error = err.Error()
	}
	return answer
}

func main() {
	input := bufio.NewScanner(os.Stdin)
	input.Buffer(nil, 1<<26)
	output := json.NewEncoder(os.Stdout)
	output.SetEscapeHTML(false)
	for input.Scan() {
		var request request
		if err := json.Unmarshal(input.Bytes(), &request); err != nil {
			panic(err)
		}
		if err := output.Encode(render(request)); err != nil {
			panic(err)
		}
	}
}
