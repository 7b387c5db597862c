// Drives a run with the types of openapi-typescript: node drive_typed.js URL TOKEN
import createClient from "openapi-fetch";
import type { paths } from "./schema.js";

declare const process: { argv: string[] };
const [url, token] = process.argv.slice(2);
const client = createClient<paths>({
  baseUrl: url!,
  headers: { Authorization: `Bearer ${token}` },
});

const inputs = { argv: ["echo", "hello"] };
const started = await client.POST("/runs", { body: { kind: "command", inputs } });
if (!started.data) throw new Error(started.error?.detail);
const run_id = started.data.run_id;
const path = { run_id };

let run;
do {
  run = (await client.GET("/runs/{run_id}", { params: { path } })).data;
} while (run && !["completed", "failed", "cancelled"].includes(run.state));

const output = await client.GET("/runs/{run_id}/output", { params: { path }, parseAs: "text" });
const missing = await client.GET("/runs/{run_id}", { params: { path: { run_id: "nobody" } } });
console.log(
  JSON.stringify({ state: run?.state, number: run?.number, output: output.data, missing: missing.error?.detail }),
);
