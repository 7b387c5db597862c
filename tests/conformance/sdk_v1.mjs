// Drives a daemon with the TypeScript SDK v1, on which most hosts are built, and prints what it saw.
//   node sdk_v1.mjs http URL TOKEN
//   node sdk_v1.mjs stdio PROGRAM ARGUMENT…
import { Client } from "@modelcontextprotocol/sdk/client/index.js";
import { StdioClientTransport } from "@modelcontextprotocol/sdk/client/stdio.js";
import { StreamableHTTPClientTransport } from "@modelcontextprotocol/sdk/client/streamableHttp.js";

const [way, first, ...rest] = process.argv.slice(2);

function transport() {
  if (way === "stdio") {
    // As the hosts do: without `env` the SDK passes six variables of its own choice.
    return new StdioClientTransport({ command: first, args: rest });
  }
  const headers = { Authorization: `Bearer ${rest[0]}` };
  return new StreamableHTTPClientTransport(new URL(first), { requestInit: { headers } });
}

const client = new Client({ name: "sdk-v1", version: "1" });
await client.connect(transport());

// The client checks results against what it was told when it listed the tools.
const { tools } = await client.listTools();

async function call(name, args) {
  try {
    const told = await client.callTool({ name, arguments: args });
    const texts = told.content.map((part) => part.text);
    return { isError: told.isError ?? false, texts, structured: "structuredContent" in told };
  } catch (error) {
    return { thrown: String(error) };
  }
}

const seen = { tools: tools.map((tool) => tool.name) };
seen.unknown = await call("get_run", { run_id: "nobody" });
seen.misfit = await call("run_command", { argv: "x", timeout: "long", nonsense: 1 });
seen.started = await call("run_command", { shell: "echo hello; echo oh >&2; exit 3" });
const run_id = JSON.parse(seen.started.texts?.[0] ?? "{}").run_id;
seen.ended = await call("wait_run", { run_id });
seen.output = await call("read_output", { run_id });
seen.prompts = (await client.listPrompts()).prompts.map((prompt) => prompt.name);
const ref = { type: "ref/prompt", name: "explain_run" };
const argument = { name: "run_id", value: String(run_id).slice(0, 5) };
seen.completed = (await client.complete({ ref, argument })).completion.values.includes(run_id);

console.log(JSON.stringify(seen));
await client.close();
