// Drives a run with the client of hey-api: node drive_hey.js URL TOKEN
import { client } from "./hey/client.gen.js";
import { getRun, runOutput, submit } from "./hey/index.js";

declare const process: { argv: string[] };
const [url, token] = process.argv.slice(2);
client.setConfig({ baseUrl: url!, auth: token! });

const inputs = { argv: ["echo", "hello"] };
const started = await submit({ body: { kind: "command", inputs } });
if (!started.data) throw new Error(started.error?.detail);
const run_id = started.data.run_id;
const path = { run_id };

let run;
do {
  run = (await getRun({ path })).data;
} while (run && !["completed", "failed", "cancelled"].includes(run.state));

const output = await runOutput({ path, parseAs: "text" });
const missing = await getRun({ path: { run_id: "nobody" } });
console.log(
  JSON.stringify({ state: run?.state, number: run?.number, output: output.data, missing: missing.error?.detail }),
);
