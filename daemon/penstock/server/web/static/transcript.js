// What a coding agent said, did, planned and asked, in the order in which it happened.

import { changeOf, diffOf } from "./diff.js";
import { proseOf } from "./prose.js";
import { element, harmless } from "./words.js";

// Entries that are shown: more make a phone slow.
const MOST_ENTRIES = 1500;
const ENDS = { completed: "✓", failed: "✗", cancelled: "■" };
const PLANNED = { completed: "✓", in_progress: "▶", pending: "○" };
const ENDED = /^run\.(failed|cancelled|completed)$/;
const NOTES = /^(run\.(resumed|waiting|requeued|failed|cancelled|completed)|milestone|step\.failed)$/;

export class Transcript {
  constructor(place) {
    Object.assign(this, { place, message: null, text: "", grown: false, tools: new Map(), asks: new Map(), plan: null, attempt: 1 });
    place.hidden = true;
  }

  // Facts that came together are drawn together: to ask how far it is scrolled is a layout of the page.
  take(facts) {
    const follows = this.place.hidden || this.place.scrollHeight - this.place.scrollTop - this.place.clientHeight < 40;
    for (const { event } of facts) {
      const known = this.take_[event.type];
      if (known) known.call(this, event);
      else if (NOTES.test(event.type)) this.note(event);
    }
    this.drawWords();
    while (this.place.childElementCount > MOST_ENTRIES) this.place.firstElementChild.remove();
    if (follows) this.place.scrollTop = this.place.scrollHeight;
  }

  take_ = {
    "run.queued": ({ inputs }) => typeof inputs?.prompt === "string" && this.told((this.prompt = inputs.prompt)),
    "intervention.received": ({ text }) => this.told(text),
    "agent.said": (event) => this.said(event),
    "tool.called": (event) => this.called(event),
    "tool.ended": (event) => this.ended(event),
    "plan.updated": (event) => this.planned(event),
    "ask.raised": (event) => this.asks.set(event.name, this.add("dim", element("div", { text: `? ${harmless(event.question)}` }))),
    "ask.answered": ({ name, answer, by }) => this.settled(name, `${answer} (by ${by})`),
    "ask.withdrawn": ({ name, reason }) => this.settled(name, `taken back: ${reason}`),
  };

  add(className, ...children) {
    this.drawWords();
    const entry = element("div", { class: className }, ...children);
    this.place.append(entry);
    this.message = null;
    return entry;
  }

  told(text) {
    this.add("told", element("div", { text: harmless(text) }));
  }

  said({ message, role, text }) {
    this.place.hidden = false;
    // The first of them is what the run was asked for, which stands there.
    if (role === "user") return text.trim() === this.prompt?.trim() ? undefined : this.told(text);
    const key = `${role} ${message}`;
    if (this.message !== key) {
      this.entry = this.add(role === "thought" ? "thought dim" : "said");
      Object.assign(this, { message: key, role, text: "" });
    }
    this.text += text;
    this.grown = true;
  }

  // The message that grows, however many pieces of it have come.
  drawWords() {
    if (!this.grown) return;
    this.grown = false;
    if (this.role === "thought") {
      const [first, ...rest] = harmless(this.text).split("\n");
      const more = rest.join("\n").trim();
      const open = this.entry.querySelector("details")?.open ?? false;
      const head = `thinks: ${first}`;
      this.entry.replaceChildren(more
        ? element("details", { open }, element("summary", { text: head }), element("div", { class: "plain", text: more }))
        : element("div", { text: head }));
    } else {
      this.entry.replaceChildren(...proseOf(this.text));
    }
  }

  called(event) {
    this.place.hidden = false;
    const known = this.tools.get(event.call);
    const entry = known && !known.ended ? known.entry : this.add("tool-entry");
    this.tools.set(event.call, { entry, called: event });
    this.drawTool(event.call);
  }

  ended(event) {
    if (!this.tools.has(event.call) || this.tools.get(event.call).ended) this.called({ call: event.call, title: event.call, tool: "other", paths: [], input: {} });
    Object.assign(this.tools.get(event.call), { ended: event });
    this.drawTool(event.call);
  }

  drawTool(call) {
    const { entry, called, ended } = this.tools.get(call);
    const title = called.title || called.paths[0] || call;
    const words = [ENDS[ended?.status] ?? "▶", called.tool, harmless(title), ended?.diff ? changeOf(ended.diff) : "", called.asked ? "asked" : ""];
    const summary = element("summary", { class: ended?.status === "failed" ? "bad-text" : null, text: words.filter(Boolean).join("  ") });
    const open = entry.querySelector("details")?.open ?? false;
    const paths = called.paths.filter((path) => path !== title).map((path) => element("div", { class: "dim", text: harmless(path) }));
    const command = called.input?.command ?? called.input?.cmd;
    const asked = command && command !== title ? [element("div", { class: "plain", text: `$ ${harmless(Array.isArray(command) ? command.join(" ") : String(command))}` })] : [];
    const output = ended?.output?.trim() ? [element("div", { class: "plain dim", text: harmless(ended.output) })] : [];
    entry.replaceChildren(element("details", { class: "tool", open }, summary, ...paths, ...asked, ...(ended?.diff ? [diffOf(ended.diff)] : []), ...output));
  }

  planned({ entries }) {
    this.place.hidden = false;
    this.plan?.remove();
    const done = entries.filter(({ status }) => status === "completed").length;
    const rows = entries.map(({ content, status }) => element("div", { text: `${PLANNED[status] ?? "○"} ${harmless(content)}` }));
    this.plan = this.add("plan", element("b", { text: `plan: ${done} of ${entries.length} done` }), ...rows);
  }

  settled(name, how) {
    this.asks.get(name)?.append(element("div", { text: harmless(how) }));
    this.asks.delete(name);
  }

  note(event) {
    // The question itself stands there; and after it the run only has its slot again.
    if (event.type === "run.waiting" && event.kind === "ask") return;
    if (event.type === "run.resumed") {
      if (event.attempt <= this.attempt) return;
      this.attempt = event.attempt;
    }
    if (ENDED.test(event.type)) this.close();
    const words = [event.name ?? event.type.slice(event.type.indexOf(".") + 1), event.error ?? event.reason ?? ""];
    this.add("dim", element("div", { text: `── ${harmless(words.filter(Boolean).join(": "))}` }));
  }

  // Nothing goes on in a run that has ended, whatever an agent left open.
  close() {
    for (const [call, tool] of this.tools) {
      if (tool.ended) continue;
      tool.ended = { status: "cancelled" };
      this.drawTool(call);
    }
  }
}
