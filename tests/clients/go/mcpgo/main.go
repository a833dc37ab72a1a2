// A client of mcp-go that does what its standard input says; see ../official for the commands.
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"time"

	"github.com/mark3labs/mcp-go/client"
	"github.com/mark3labs/mcp-go/client/transport"
	"github.com/mark3labs/mcp-go/mcp"
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

var session *client.Client

func connect(ctx context.Context, url, token string) error {
	if session != nil {
		_ = session.Close()
	}
	headers := map[string]string{"Authorization": "Bearer " + token}
	var err error
	session, err = client.NewStreamableHttpClient(url, transport.WithHTTPHeaders(headers))
	if err != nil {
		return err
	}
	if err = session.Start(context.Background()); err != nil {
		return err
	}
	request := mcp.InitializeRequest{}
	request.Params.ProtocolVersion = mcp.LATEST_PROTOCOL_VERSION
	request.Params.ClientInfo = mcp.Implementation{Name: "mcp-go", Version: "1"}
	_, err = session.Initialize(ctx, request)
	return err
}

func call(ctx context.Context, asked command) (answer, error) {
	request := mcp.CallToolRequest{}
	request.Params.Name, request.Params.Arguments = asked.Tool, asked.Arguments
	result, err := session.CallTool(ctx, request)
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
		return answer{}, connect(ctx, os.Args[1], os.Args[2])
	case "list":
		result, err := session.ListTools(ctx, mcp.ListToolsRequest{})
		if err != nil {
			return answer{}, err
		}
		var told answer
		for _, tool := range result.Tools {
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
