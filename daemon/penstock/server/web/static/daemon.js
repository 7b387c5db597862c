// The daemon: how this page is let in, what it asks, and the stream of what happens.

const KEY = "penstock.key";
// Milliseconds until a broken stream is opened again: from the first to the longest pause.
const SHORTEST_PAUSE = 500;
const LONGEST_PAUSE = 15000;
const BASE = new URL("..", location.href.split("#")[0]);

export class Refused extends Error {
  constructor(status, detail) {
    super(detail);
    this.status = status;
  }
}

// Use the code of the address, if there is one, for the key of this tab. The address loses it first.
export async function letIn() {
  const told = new URLSearchParams(location.hash.slice(1));
  const code = told.get("code");
  if (code === null) return;
  told.delete("code");
  history.replaceState(null, "", `#${told}`);
  const reply = await fetch(new URL("web/keys", BASE), {
    method: "POST", headers: { "Penstock-Code": code }, cache: "no-store", credentials: "omit",
  });
  const { key } = await read(reply);
  sessionStorage.setItem(KEY, key ?? "");
}

export async function ask(path, { body, signal } = {}) {
  return read(await get(path, { body, signal }));
}

// The answer as it is: for what a run printed, whose head says where it ends.
export async function get(path, { body, signal } = {}) {
  const headers = { ...authorization() };
  if (body !== undefined) headers["Content-Type"] = "application/json";
  const reply = await fetch(new URL(path, BASE), {
    method: body === undefined ? "GET" : "POST",
    headers, body: body === undefined ? undefined : JSON.stringify(body),
    cache: "no-store", credentials: "omit", signal,
  });
  if (!reply.ok) await read(reply);
  return reply;
}

function authorization() {
  const key = sessionStorage.getItem(KEY);
  return key ? { Authorization: `Bearer ${key}` } : {};
}

async function read(reply) {
  const told = await reply.json().catch(() => ({}));
  if (!reply.ok) throw new Refused(reply.status, told.detail ?? reply.statusText);
  return told;
}

// The facts after a position, of one run or of all, until `close`; a broken stream is opened again
// where it broke off. `heed` is called with facts, `tell` with whether the stream stands; null: it is over.
export class Stream {
  constructor(runId, after, heed, tell) {
    Object.assign(this, { runId, after, heed, tell, pause: SHORTEST_PAUSE, over: false });
    this.open();
  }

  open() {
    const url = new URL(this.runId === null ? "ws" : `ws/${encodeURIComponent(this.runId)}`, BASE);
    url.protocol = url.protocol.replace("http", "ws");
    this.socket = new WebSocket(url);
    this.socket.onopen = () => {
      const token = sessionStorage.getItem(KEY) || null;
      this.socket.send(JSON.stringify({ type: "open", token, after: this.after, overflow: "drop_oldest" }));
    };
    this.socket.onmessage = ({ data }) => this.take(JSON.parse(data));
    this.socket.onclose = ({ code }) => this.closed(code);
  }

  take(frame) {
    if (frame.type === "hello") {
      this.pause = SHORTEST_PAUSE;
      this.tell(true);
    } else if (frame.type === "gap") {
      this.heed([], frame);
    } else if (frame.type === "events") {
      this.after = Math.max(this.after, ...frame.events.map((fact) => fact.position));
      this.heed(frame.events, null);
    }
  }

  closed(code) {
    if (this.over) return;
    // The run has ended: nothing follows.
    if (code === 1000 && this.runId !== null) return this.tell(null);
    this.tell(false);
    this.timer = setTimeout(() => this.open(), this.pause);
    this.pause = Math.min(2 * this.pause, LONGEST_PAUSE);
  }

  close() {
    this.over = true;
    clearTimeout(this.timer);
    // One that is closed before it is there is a failure on the browser's console.
    if (this.socket.readyState === WebSocket.CONNECTING) this.socket.onopen = () => this.socket.close();
    else this.socket.close();
  }
}
