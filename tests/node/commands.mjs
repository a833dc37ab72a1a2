// A client of the TypeScript SDK that does what its standard input says, a line of JSON for each.
//
// node commands.mjs URL TOKEN SDK, where SDK is `1` (@modelcontextprotocol/sdk) or `2`
// (@modelcontextprotocol/client); see ../clients/go/official for the commands.
import { createInterface } from 'node:readline';

const [url, token, sdk] = process.argv.slice(2);
const one = sdk === '1';
const { Client } = one
  ? await import('@modelcontextprotocol/sdk/client/index.js')
  : await import('@modelcontextprotocol/client');
const { StreamableHTTPClientTransport } = one
  ? await import('@modelcontextprotocol/sdk/client/streamableHttp.js')
  : await import('@modelcontextprotocol/client');

let client;
const connect = async () => {
  await client?.close().catch(() => {});
  const requestInit = { headers: { Authorization: `Bearer ${token}` } };
  client = new Client({ name: `typescript-${sdk}`, version: '1' });
  await client.connect(new StreamableHTTPClientTransport(new URL(url), { requestInit }));
  return {};
};
const call = async ({ tool, arguments: given }, options) => {
  const params = { name: tool, arguments: given };
  const result = one
    ? await client.callTool(params, undefined, options)
    : await client.callTool(params, options);
  return { text: JSON.stringify(result.content) };
};
const list = async () => {
  const names = [];
  let cursor;
  do {
    const page = await client.listTools(cursor && one ? { cursor } : undefined);
    names.push(...page.tools.map((tool) => tool.name));
    cursor = one ? page.nextCursor : undefined; // SDK 2 reads every page itself
  } while (cursor);
  return { names };
};
const commands = {
  connect,
  list,
  call: (asked) => call(asked, { timeout: 20_000 }),
  cancel: (asked) => call(asked, { signal: AbortSignal.timeout(asked.after) }),
};

for await (const line of createInterface({ input: process.stdin })) {
  const asked = JSON.parse(line);
  if (asked.do === 'quit') break;
  let told;
  try {
    told = await commands[asked.do](asked);
  } catch (error) {
    told = { error: String(error?.message ?? error) };
  }
  process.stdout.write(JSON.stringify(told) + '\n');
}
process.exit(0);
