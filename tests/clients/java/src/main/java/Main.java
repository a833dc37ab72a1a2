import io.modelcontextprotocol.client.McpAsyncClient;
import io.modelcontextprotocol.client.McpClient;
import io.modelcontextprotocol.client.transport.HttpClientStreamableHttpTransport;
import io.modelcontextprotocol.spec.McpSchema.CallToolRequest;
import io.modelcontextprotocol.spec.McpSchema.Tool;
import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.net.URI;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.List;
import java.util.Map;
import tools.jackson.databind.ObjectMapper;

/**
 * A client of the official Java SDK that does what its standard input says, a line of JSON for each.
 *
 * <p>{@code Main URL TOKEN}; see ../go/official for the commands.
 */
public final class Main {
    private static final ObjectMapper JSON = new ObjectMapper();
    private static final Duration LIMIT = Duration.ofSeconds(20);
    private static McpAsyncClient session;

    public static void main(String[] words) throws Exception {
        var lines = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
        for (String line = lines.readLine(); line != null; line = lines.readLine()) {
            Map<?, ?> asked = JSON.readValue(line, Map.class);
            if ("quit".equals(asked.get("do"))) {
                break;
            }
            Map<String, ?> told;
            try {
                told = answer(asked, words[0], words[1]);
            } catch (RuntimeException error) {
                told = Map.of("error", String.valueOf(error.getMessage()));
            }
            System.out.println(JSON.writeValueAsString(told));
        }
        System.exit(0);
    }

    private static Map<String, ?> answer(Map<?, ?> asked, String url, String token) {
        return switch (String.valueOf(asked.get("do"))) {
            case "connect" -> {
                connect(URI.create(url), token);
                yield Map.of();
            }
            case "list" -> {
                List<Tool> tools = session.listTools().block(LIMIT).tools();
                yield Map.of("names", tools.stream().map(Tool::name).toList());
            }
            case "call" -> call(asked, LIMIT);
            case "cancel" -> call(asked, Duration.ofMillis(((Number) asked.get("after")).longValue()));
            default -> throw new IllegalArgumentException("no such command: " + asked.get("do"));
        };
    }

    @SuppressWarnings("unchecked")
    private static Map<String, ?> call(Map<?, ?> asked, Duration limit) {
        var request = CallToolRequest.builder()
                .name((String) asked.get("tool"))
                .arguments((Map<String, Object>) asked.get("arguments"))
                .build();
        var result = session.callTool(request).block(limit);
        return Map.of("text", JSON.writeValueAsString(result.content()));
    }

    private static void connect(URI url, String token) {
        if (session != null) {
            try {
                session.close();
            } catch (RuntimeException error) {
                System.err.println("closing: " + error.getMessage()); // the session was gone already
            }
        }
        var transport = HttpClientStreamableHttpTransport
                .builder(url.getScheme() + "://" + url.getAuthority())
                .endpoint(url.getPath())
                .httpRequestCustomizer((builder, method, uri, body, context) ->
                        builder.header("Authorization", "Bearer " + token))
                .build();
        session = McpClient.async(transport).requestTimeout(LIMIT).build();
        session.initialize().block(LIMIT);
    }
}
