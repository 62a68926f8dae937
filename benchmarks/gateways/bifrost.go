// Bifrost's core behind the least of a server: fasthttp, as its own transport has, and a look at the key.
//
// Its whole gateway, which adds virtual keys, a log store and metrics, is not to be had as a Go module everywhere; the
// core is, and is what translates, selects the key, queues and asks the provider. So this is Bifrost at its lightest.
//
// Usage: bifrost -listen 127.0.0.1:PORT -upstream http://127.0.0.1:PORT -key KEY
package main

import (
	"bufio"
	"context"
	"flag"
	"log"
	"strings"

	"github.com/bytedance/sonic"
	bifrost "github.com/maximhq/bifrost/core"
	"github.com/maximhq/bifrost/core/schemas"
	"github.com/valyala/fasthttp"
)

// account knows one provider, the benchmark's upstream.
type account struct{ upstream string }

func (a account) GetConfiguredProviders() ([]schemas.ModelProvider, error) {
	return []schemas.ModelProvider{schemas.OpenAI}, nil
}

func (a account) GetKeysForProvider(_ *context.Context, _ schemas.ModelProvider) ([]schemas.Key, error) {
	return []schemas.Key{{ID: "bench", Value: "sk-upstream", Weight: 1}}, nil
}

func (a account) GetConfigForProvider(_ schemas.ModelProvider) (*schemas.ProviderConfig, error) {
	network := schemas.DefaultNetworkConfig
	network.BaseURL = a.upstream
	return &schemas.ProviderConfig{NetworkConfig: network, ConcurrencyAndBufferSize: schemas.DefaultConcurrencyAndBufferSize}, nil
}

type request struct {
	Model    string                `json:"model"`
	Messages []schemas.ChatMessage `json:"messages"`
	Stream   bool                  `json:"stream"`
	schemas.ChatParameters
}

type gateway struct {
	core *bifrost.Bifrost
	key  string
}

func (g gateway) answer(ctx *fasthttp.RequestCtx) {
	if string(ctx.Request.Header.Peek("Authorization")) != g.key {
		ctx.Error("no such key", fasthttp.StatusUnauthorized)
		return
	}
	var asked request
	if err := sonic.Unmarshal(ctx.PostBody(), &asked); err != nil {
		ctx.Error(err.Error(), fasthttp.StatusBadRequest)
		return
	}
	chat := &schemas.BifrostChatRequest{
		Provider: schemas.OpenAI,
		Model:    strings.TrimPrefix(asked.Model, "bench-"),
		Input:    asked.Messages,
		Params:   &asked.ChatParameters,
	}
	if asked.Stream {
		g.stream(ctx, chat)
		return
	}
	answer, failed := g.core.ChatCompletionRequest(ctx, chat)
	if failed != nil {
		refuse(ctx, failed)
		return
	}
	body, err := sonic.Marshal(answer)
	if err != nil {
		ctx.Error(err.Error(), fasthttp.StatusInternalServerError)
		return
	}
	ctx.SetContentType("application/json")
	ctx.SetBody(body)
}

func (g gateway) stream(ctx *fasthttp.RequestCtx, chat *schemas.BifrostChatRequest) {
	events, failed := g.core.ChatCompletionStreamRequest(context.Background(), chat)
	if failed != nil {
		refuse(ctx, failed)
		return
	}
	ctx.SetContentType("text/event-stream")
	ctx.Response.SetBodyStreamWriter(func(out *bufio.Writer) {
		for event := range events {
			text, err := sonic.Marshal(event)
			if err != nil {
				return
			}
			out.WriteString("data: ")
			out.Write(text)
			out.WriteString("\n\n")
			if out.Flush() != nil {
				return
			}
		}
		out.WriteString("data: [DONE]\n\n")
		out.Flush()
	})
}

func refuse(ctx *fasthttp.RequestCtx, failed *schemas.BifrostError) {
	text, _ := sonic.Marshal(failed)
	ctx.Error(string(text), fasthttp.StatusBadGateway)
}

func main() {
	listen := flag.String("listen", "127.0.0.1:8080", "where to listen")
	upstream := flag.String("upstream", "", "the provider's base URL")
	key := flag.String("key", "", "the one key that callers may use")
	flag.Parse()
	core, err := bifrost.Init(context.Background(), schemas.BifrostConfig{
		Account:         account{*upstream},
		Logger:          bifrost.NewDefaultLogger(schemas.LogLevelError),
		InitialPoolSize: 1000,
	})
	if err != nil {
		log.Fatal(err)
	}
	log.Fatal(fasthttp.ListenAndServe(*listen, gateway{core, "Bearer " + *key}.answer))
}
