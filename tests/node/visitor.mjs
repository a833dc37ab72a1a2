// A client of a TypeScript SDK that does what it is told: node visitor.mjs SDK URL TOKEN MODE ANSWERS
//
// SDK is `client` (2.x) or `sdk` (1.x); MODE is legacy, auto or a pin (2.x). ANSWERS is JSON: for each
// method that it can be asked, what it answers, in order, the last one again and again; null is an
// error, "never" no answer at all.
// Each line on standard input is JSON: {id, do, params, options}, or {stop: id} to give one up. Each
// line of output is JSON, too: {id, result}, {id, error}, {asked}, {heard} or {id, progress}.
import { createInterface } from 'node:readline';

const [sdk, url, token, mode, given] = process.argv.slice(2);
const answers = JSON.parse(given);
const write = (told) => process.stdout.write(JSON.stringify(told) + '\n');
const capabilities = {};
if (answers['elicitation/create']) capabilities.elicitation = { form: {}, url: {} };
if (answers['sampling/createMessage']) capabilities.sampling = {};
if (answers['roots/list']) capabilities.roots = { listChanged: true };

const answer = ({ method, params }) => {
  write({ asked: { method, params } });
  const next = answers[method].length > 1 ? answers[method].shift() : answers[method][0];
  if (next === 'never') return new Promise(() => {});
  if (!next) throw new Error('this client fails');
  return next;
};

const newer = async () => {
  const { Client, StreamableHTTPClientTransport } = await import('@modelcontextprotocol/client');
  const versionNegotiation = { mode: mode === 'legacy' || mode === 'auto' ? mode : { pin: mode } };
  const client = new Client({ name: 'visitor', version: '2' }, { capabilities, versionNegotiation });
  for (const method of Object.keys(answers)) client.setRequestHandler(method, answer);
  return [client, StreamableHTTPClientTransport];
};

const older = async () => {
  const { Client } = await import('@modelcontextprotocol/sdk/client/index.js');
  const { StreamableHTTPClientTransport } = await import(
    '@modelcontextprotocol/sdk/client/streamableHttp.js'
  );
  const types = await import('@modelcontextprotocol/sdk/types.js');
  const schemas = {
    'elicitation/create': types.ElicitRequestSchema,
    'sampling/createMessage': types.CreateMessageRequestSchema,
    'roots/list': types.ListRootsRequestSchema,
  };
  const client = new Client({ name: 'visitor', version: '1' }, { capabilities });
  for (const method of Object.keys(answers)) client.setRequestHandler(schemas[method], answer);
  return [client, StreamableHTTPClientTransport];
};

const [client, Transport] = sdk === 'client' ? await newer() : await older();
client.fallbackNotificationHandler = async ({ method, params }) => write({ heard: { method, params } });
const requestInit = { headers: { Authorization: `Bearer ${token}` } };
const transport = new Transport(new URL(url), { requestInit });
await client.connect(transport);
write({
  id: 0,
  result: {
    capabilities: client.getServerCapabilities(),
    instructions: client.getInstructions() ?? null,
    session: transport.sessionId ?? null,
  },
});

const listening = [];
const verbs = {
  'tools/list': (params, options) => client.listTools(params, options),
  'tools/call': (params, options) =>
    sdk === 'client' ? client.callTool(params, options) : client.callTool(params, undefined, options),
  'prompts/list': (params, options) => client.listPrompts(params, options),
  'prompts/get': (params, options) => client.getPrompt(params, options),
  'resources/list': (params, options) => client.listResources(params, options),
  'resources/templates/list': (params, options) => client.listResourceTemplates(params, options),
  'resources/read': (params, options) => client.readResource(params, options),
  'resources/subscribe': (params, options) => client.subscribeResource(params, options),
  'resources/unsubscribe': (params, options) => client.unsubscribeResource(params, options),
  'completion/complete': (params, options) => client.complete(params, options),
  'logging/setLevel': ({ level }, options) => client.setLoggingLevel(level, options),
  ping: () => client.ping(),
  listen: async (params) => {
    listening.push(await client.listen(params));
    return { honoured: listening.at(-1).honoredFilter };
  },
};

const stops = new Map();
const run = async ({ id, do: verb, params, options }) => {
  const stop = new AbortController();
  stops.set(id, stop);
  const more = { signal: stop.signal };
  if (options?.progress) more.onprogress = (progress) => write({ id, progress });
  try {
    write({ id, result: (await verbs[verb](params, more)) ?? {} });
  } catch (error) {
    write({ id, error: { code: error.code ?? 0, message: String(error.message), data: error.data } });
  } finally {
    stops.delete(id);
  }
};

for await (const line of createInterface({ input: process.stdin })) {
  const told = JSON.parse(line);
  if (told.stop) stops.get(told.stop)?.abort('enough');
  else run(told);
}
process.exit(0);
