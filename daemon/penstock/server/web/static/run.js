// One run: where it stands, what it asks, its output as it is printed, and its cancel with the receipt.

import { ask, get, Stream } from "./daemon.js";
import { diffOf, patchOf } from "./diff.js";
import { Printed } from "./printed.js";
import { Transcript } from "./transcript.js";
import { about, element, glyph, harmless, hasEnded, nameOf, reasonShown, receiptSaid, standing, took } from "./words.js";

// Bytes of the output's end that are shown at first.
const END_BYTES = 256 * 1024;
// Facts of an agent that are read at first: the newest. And characters of its patch.
const MOST_FACTS = 20000;
const MOST_PATCH = 1024 * 1024;
// Milliseconds between two looks at the run while something happens to it.
const LOOK_PAUSE = 300;
// Milliseconds between two looks at why it is where it is: that its box is silent is no fact.
const WHY_PAUSE = 5000;

export function showRun(main, runId, tellLink) {
  const shown = new Run(main, runId, tellLink);
  shown.load();
  return shown;
}

class Run {
  constructor(main, runId, tellLink) {
    Object.assign(this, { main, runId, tellLink, stream: null, timer: null, over: false });
    this.path = `runs/${encodeURIComponent(runId)}`;
    this.title = element("h1");
    this.about = element("div", { class: "dim" });
    this.why = element("div", { id: "why", role: "status" });
    this.asks = element("div");
    this.actions = element("div", { class: "bar" });
    this.receipt = element("div", { role: "status" });
    this.output = element("div", { class: "printed", tabindex: "0", "aria-label": "output" });
    this.talk = element("div", { class: "talk", tabindex: "0", "aria-label": "transcript" });
    this.patch = element("div", { class: "patch" });
    main.replaceChildren(this.title, this.about, this.why, this.asks, this.actions, this.receipt, this.talk, this.patch, this.output);
    this.clock = setInterval(() => this.run && !hasEnded(this.run) && this.drawHead(), 1000);
    this.whyClock = setInterval(() => this.run && !hasEnded(this.run) && this.explain(), WHY_PAUSE);
  }

  // From its beginning: nothing stays of what was read before the daemon went away.
  async load() {
    for (const place of [this.output, this.talk, this.patch]) place.replaceChildren();
    this.printed = new Printed(this.output);
    this.transcript = new Transcript(this.talk);
    this.patches = new Map();
    try {
      await this.look();
      const reply = await get(`${this.path}/output?bytes=${END_BYTES}`);
      const missing = Number(reply.headers.get("Penstock-Missing-Bytes"));
      if (missing) this.printed.write("pipeline", `(${missing} bytes before this are no longer kept)\n`);
      this.printed.write("stdout", new Uint8Array(await reply.arrayBuffer()));
      this.output.scrollTop = this.output.scrollHeight;
      const position = Number(reply.headers.get("Penstock-Position"));
      if (this.run.kind === "agent" || this.run.labels?.agent) await this.hear(position);
      if (!this.over) this.stream = new Stream(this.run.run_id, position, (...told) => this.heed(...told), this.tellLink);
    } catch (error) {
      if (this.over) return;
      if (error.status) return this.main.replaceChildren(element("p", { class: "card bad", text: error.message }));
      this.tellLink(false);
      this.timer = setTimeout(() => this.load(), 3000);
    }
  }

  // What an agent did until now: its facts up to a position, from which on the stream tells them.
  async hear(position) {
    for (let after = Math.max(0, position - MOST_FACTS), more = true; more && !this.over; ) {
      const page = await ask(`${this.path}/events?after=${after}`);
      const facts = page.events.filter((fact) => fact.position <= position);
      this.tell(facts);
      after = page.next;
      more = page.more && facts.length === page.events.length;
    }
  }

  tell(facts) {
    this.transcript.take(facts);
    let patched = false;
    for (const { event } of facts) {
      const { type, artifact_id: name, text, attempt } = event;
      if (type === "artifact.partial" && /\.(patch|diff)$/.test(name)) {
        const known = this.patches.get(name);
        const before = known?.attempt === attempt ? known.text : "";
        this.patches.set(name, { attempt, text: (before + text).slice(0, MOST_PATCH) });
        patched = true;
      }
    }
    if (!patched) return;
    const parts = [...this.patches].flatMap(([name, { text }]) => [element("h2", { text: harmless(name) }), ...patchOf(text)]);
    this.patch.replaceChildren(...parts);
  }

  async look() {
    this.run = await ask(this.path);
    if (this.over) return;
    this.draw();
    if (hasEnded(this.run)) this.why.textContent = "";
    else await this.explain();
  }

  async explain() {
    try {
      const told = await ask(`${this.path}/why`);
      this.why.textContent = hasEnded(this.run) ? "" : reasonShown(told);
    } catch {
      // Whether the daemon answers is told by the stream.
    }
  }

  heed(facts, gap) {
    if (gap) this.printed.write("pipeline", `(${gap.last - gap.first + 1} events were left out here)\n`);
    for (const { event } of facts) if (event.type === "log") this.print(event);
    this.tell(facts);
    if (gap || facts.some(({ event }) => event.type !== "log")) {
      this.timer ??= setTimeout(() => {
        this.timer = null;
        this.look().catch(() => this.tellLink(false));
      }, LOOK_PAUSE);
    }
  }

  print({ stream, text, base64, bytes }) {
    if (text != null) this.printed.write(stream, text);
    else if (base64 != null) this.printed.write(stream, Uint8Array.from(atob(base64), (letter) => letter.charCodeAt(0)));
    else this.printed.write("pipeline", `(${bytes} bytes are no longer kept)\n`);
  }

  draw() {
    this.drawHead();
    this.drawAsks();
    const cancel = element("button", { class: "danger", id: "cancel", text: "Cancel", on: { click: () => this.confirm() } });
    if (hasEnded(this.run)) this.actions.replaceChildren();
    else if (!this.actions.childElementCount) this.actions.replaceChildren(cancel);
  }

  drawHead() {
    const { run } = this;
    const asking = run.asks.some((question) => this.isOpen(question));
    const state = asking ? "asks" : run.state;
    const words = [standing(run), hasEnded(run) ? "" : run.step, took(run), run.error ?? (run.state === "completed" ? "" : run.reason)].filter(Boolean);
    this.title.replaceChildren(
      element("span", { class: `state-${state}`, text: `${glyph(state)} ` }), nameOf(run), " ",
      element("span", { class: `state-${state}`, text: words.join(" · ") }));
    const where = [about(run), run.inputs?.cwd, run.group && `group ${run.group}`].filter(Boolean);
    this.about.textContent = where.join(" · ");
    document.title = `${glyph(state)} ${nameOf(run)}`;
  }

  isOpen(question) {
    return !hasEnded(this.run) && question.answer == null && question.answered_by == null && question.withdrawn == null;
  }

  drawAsks() {
    const open = this.run.asks.filter((question) => this.isOpen(question));
    const names = open.map((question) => question.name).join("\n");
    // What a person has begun to type stays.
    if (this.askNames === names) return;
    this.askNames = names;
    this.asks.replaceChildren(...open.map((question) => this.askCard(question)));
  }

  askCard(question) {
    const said = element("div", { class: "dim", role: "status" });
    const answer = async (text) => {
      try {
        await ask(`${this.path}/asks/${encodeURIComponent(question.name)}`, { body: { answer: text } });
        said.textContent = `answered: ${text}`;
      } catch (error) {
        said.textContent = error.message;
      }
    };
    const choices = question.choices.map((text) => element("button", { text, on: { click: () => answer(text) } }));
    const words = element("input", { name: "answer", value: question.default ?? "", "aria-label": "answer" });
    const send = element("button", { text: "Answer", on: { click: () => answer(words.value) } });
    words.addEventListener("keydown", ({ key }) => key === "Enter" && answer(words.value));
    const given = choices.length ? choices : [words, send];
    return element("div", { class: "card asks" },
      element("b", { text: harmless(question.question) }), ...this.askDetails(question.details ?? {}),
      element("div", { class: "bar" }, ...given), said);
  }

  // What one should see before one answers.
  askDetails({ tool, title, command, paths, diff }) {
    const told = [["tool", tool], ["title", title], ["command", Array.isArray(command) ? command.join(" ") : command],
      ...(Array.isArray(paths) ? paths : []).map((path) => ["file", path])];
    const rows = told.filter(([, value]) => typeof value === "string" && value)
      .map(([name, value]) => element("div", { class: "plain" }, element("span", { class: "dim", text: `${name}  ` }), harmless(value)));
    return typeof diff === "string" && diff ? [...rows, diffOf(diff)] : rows;
  }

  confirm() {
    const back = element("button", { text: "Let it run", on: { click: () => { this.actions.replaceChildren(); this.draw(); } } });
    const yes = element("button", { class: "danger", id: "really", text: "Yes, cancel it", on: { click: () => this.cancel() } });
    this.actions.replaceChildren(yes, back);
    yes.focus();
  }

  async cancel() {
    this.actions.replaceChildren(element("span", { class: "dim", text: "Cancelling, and looking whether something is left …" }));
    try {
      const told = receiptSaid(await ask(`${this.path}/cancel?wait=1`, { body: { reason: "cancelled on the page" } }));
      this.receipt.replaceChildren(element("p", { id: "receipt", class: `card ${told.good ? "good" : "bad"}`, text: told.text }));
    } catch (error) {
      this.receipt.replaceChildren(element("p", { class: "card bad", text: error.message }));
    }
    this.actions.replaceChildren();
    if (!this.over) this.look().catch(() => this.tellLink(false));
  }

  close() {
    this.over = true;
    clearInterval(this.clock);
    clearInterval(this.whyClock);
    clearTimeout(this.timer);
    this.stream?.close();
  }
}
