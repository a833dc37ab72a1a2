// A journey of the TypeScript SDK's client: node client.mjs URL TOKEN MODE (legacy, auto or a pin).
//
// It writes one JSON object a line: {step, ...}. Told on its standard input to go on, it goes on.
import { createInterface } from 'node:readline';
import { Client, StreamableHTTPClientTransport } from '@modelcontextprotocol/client';

const [url, token, mode] = process.argv.slice(2);
const write = (step, told) => process.stdout.write(JSON.stringify({ step, ...told }) + '\n');
const lines = createInterface({ input: process.stdin })[Symbol.asyncIterator]();
const failure = async (work) => {
  try {
    return { result: await work() };
  } catch (error) {
    return { code: error.code, message: error.message };
  }
};
const call = (name, args, options) => client.callTool({ name, arguments: args }, options);

const changes = [];
const listChanged = { tools: { debounceMs: 0, onChanged: (_, tools) => changes.push(tools) } };
const versionNegotiation = { mode: mode === 'legacy' || mode === 'auto' ? mode : { pin: mode } };
const client = new Client({ name: 'journey', version: '1' }, { versionNegotiation, listChanged });
const requestInit = { headers: { Authorization: `Bearer ${token}` } };
const transport = new StreamableHTTPClientTransport(new URL(url), { requestInit });

await client.connect(transport);
write('connected', {
  version: client.getNegotiatedProtocolVersion(),
  server: client.getServerVersion()?.name,
  session: transport.sessionId ?? null,
});
write('tools', { names: (await client.listTools()).tools.map((tool) => tool.name) });
write('time', await call('time__get_current_time', { timezone: 'UTC' }));
write('structured', await call('web__get-structured-content', { location: 'Chicago' }));
write('tool error', await call('time__get_current_time', { timezone: 'Nowhere/At_all' }));
write('unknown', await failure(() => call('time__no_such_tool', {})));
write('denied', await call('git__git_reset', { repo_path: '/' }));
write('ping', await failure(() => client.ping()));

const heard = [];
const onprogress = ({ progress, total }) => heard.push([progress, total]);
const long = 'all__trigger-long-running-operation';
await call(long, { duration: 0.2, steps: 3 }, { onprogress });
write('progress', { heard });

const stop = new AbortController();
const hour = { duration: 3600, steps: 36000 };
const given = failure(() =>
  call(long, hour, { signal: stop.signal, onprogress: () => stop.abort('enough') }),
);
write('given up', await given);

write('listening');
for await (const line of lines) {
  if (line === 'end') break;
  const before = changes.length;
  write('go on');
  for (let tries = 0; changes.length === before && tries < 2000; tries += 1) {
    await new Promise((wake) => setTimeout(wake, 10));
  }
  write('changed', { names: changes.at(-1)?.map((tool) => tool.name) ?? null });
}
if (transport.sessionId) await transport.terminateSession();
await client.close();
process.exit(0);
