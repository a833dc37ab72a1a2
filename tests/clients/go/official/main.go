// A client of the official Go SDK that does what its standard input says, a line of JSON for each.
//
//	official URL TOKEN
//
// Commands: {"do": "connect" | "list" | "call" | "cancel" | "quit", "tool", "arguments", "after"};
// `cancel` calls a tool and gives up after so many milliseconds.
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"time"

	"github.com/modelcontextprotocol/go-sdk/mcp"
)

type command struct {
	Do        string         `json:"do"`
	Tool      string         `json:"tool"`
	Arguments map[string]any `json:"arguments"`
	After     int            `json:"after"`
}

type answer struct {
	Error string   `json:"error,omitempty"`
	Names []string `json:"names,omitempty"`
	Text  string   `json:"text,omitempty"`
}

type bearer struct{ token string }

func (b bearer) RoundTrip(request *http.Request) (*http.Response, error) {
	request = request.Clone(request.Context())
	request.Header.Set("Authorization", "Bearer "+b.token)
	return http.DefaultTransport.RoundTrip(request)
}

var session *mcp.ClientSession

func connect(url, token string) error {
	if session != nil {
		_ = session.Close()
	}
	client := mcp.NewClient(&mcp.Implementation{Name: "go-sdk", Version: "1"}, nil)
	transport := &mcp.StreamableClientTransport{
		Endpoint:   url,
		HTTPClient: &http.Client{Transport: bearer{token}},
	}
	var err error
	session, err = client.Connect(context.Background(), transport, nil)
	return err
}

func call(ctx context.Context, asked command) (answer, error) {
	params := &mcp.CallToolParams{Name: asked.Tool, Arguments: asked.Arguments}
	result, err := session.CallTool(ctx, params)
	if err != nil {
		return answer{}, err
	}
	text, err := json.Marshal(result.Content)
	return answer{Text: string(text)}, err
}

func do(asked command) (answer, error) {
	ctx, stop := context.WithTimeout(context.Background(), 20*time.Second)
	defer stop()
	switch asked.Do {
	case "connect":
		return answer{}, connect(os.Args[1], os.Args[2])
	case "list":
		var told answer
		for tool, err := range session.Tools(ctx, nil) {
			if err != nil {
				return answer{}, err
			}
			told.Names = append(told.Names, tool.Name)
		}
		return told, nil
	case "call":
		return call(ctx, asked)
	case "cancel":
		limited, end := context.WithTimeout(ctx, time.Duration(asked.After)*time.Millisecond)
		defer end()
		return call(limited, asked)
	}
	return answer{}, fmt.Errorf("no such command: %q", asked.Do)
}

func main() {
	lines := bufio.NewScanner(os.Stdin)
	for lines.Scan() {
		var asked command
		if err := json.Unmarshal(lines.Bytes(), &asked); err != nil {
			panic(err)
		}
		if asked.Do == "quit" {
			break
		}
		told, err := do(asked)
		if err != nil {
			told = answer{Error: err.Error()}
		}
		line, _ := json.Marshal(told)
		fmt.Println(string(line))
	}
	if session != nil {
		_ = session.Close()
	}
}
