// The list: who needs somebody, what runs, what stands in line, and what ended last.

import { ask, Stream } from "./daemon.js";
import { about, ago, element, glyph, harmless, hasEnded, nameOf, reasonShown, standing, took } from "./words.js";

// Milliseconds between two looks at the list while something happens.
const LOOK_PAUSE = 700;
// What happens often and changes no row by itself.
const QUIET = /^(log|artifact\.|token)/;
// Rows of the end, and failures that are told above all else: those of the last quarter of an hour.
const MOST_ENDED = 100;
// What is open and not among the newest: what has begun, and what stands in line.
const BEGUN = "state:running state:waiting state:paused";
const IN_LINE = "state:queued state:preempted";
// Runs that are asked why they are where they are, at most: those in line, and those whose box is not heard.
const MOST_EXPLAINED = 20;
// Seconds for which the loss of a box is told above all else.
const LOSS_TOLD = 86400;
const FAILED_LATELY = 15 * 60 * 1000;

export function showList(main, tellLink) {
  const list = new List(main, tellLink);
  list.look();
  return list;
}

class List {
  constructor(main, tellLink) {
    Object.assign(this, { main, tellLink, stream: null, timer: null, over: false, looking: false, again: false });
    this.clock = setInterval(() => this.soon(), 10000);
  }

  async look() {
    if (this.looking) {
      this.again = true;
      return;
    }
    this.looking = true;
    try {
      const runs = (limit, q = "") => ask(`runs?limit=${limit}&q=${encodeURIComponent(q)}`);
      const [newest, begun, queued, questions, queue, dismissed, { boxes }] = await Promise.all([
        runs(MOST_ENDED), runs(200, BEGUN), runs(200, IN_LINE), ask("asks"), ask("queue"), ask("dismissals"), ask("boxes"),
      ]);
      if (this.over) return;
      const rows = new Map([...newest.runs, ...begun.runs, ...queued.runs].map((run) => [run.run_id, run]));
      const reasons = await reasonsOf(queued.runs, begun.runs, boxes);
      if (this.over) return;
      this.draw([...rows.values()], questions.asks, queue, new Set(dismissed.runs), boxes, reasons);
      const last = Math.max(0, ...[...rows.values()].map((run) => run.position));
      this.stream ??= new Stream(null, last, (facts, gap) => this.heed(facts, gap), this.tellLink);
    } catch (error) {
      if (this.over) return;
      if (error.status) return this.main.replaceChildren(element("p", { class: "card bad", text: error.message }));
      this.tellLink(false);
      this.soon(3000);
    } finally {
      this.looking = false;
      if (this.again) this.soon();
      this.again = false;
    }
  }

  heed(facts, gap) {
    if (gap || facts.some((fact) => !QUIET.test(fact.event.type))) this.soon();
  }

  soon(pause = LOOK_PAUSE) {
    this.timer ??= setTimeout(() => {
      this.timer = null;
      if (!this.over) this.look();
    }, pause);
  }

  draw(rows, questions, queue, dismissed, boxes, reasons) {
    const asking = new Map(questions.map((question) => [question.run_id, question]));
    const lately = Date.now() - FAILED_LATELY;
    const sections = [["NEEDS YOU", []], ["RUNNING", []], ["QUEUED", []], ["ENDED", []]];
    for (const run of rows) {
      const failed = run.state === "failed" && Date.parse(run.ended_at) > lately && !dismissed.has(run.run_id);
      const place = asking.has(run.run_id) || failed ? 0 : hasEnded(run) ? 3 : run.state === "queued" ? 2 : 1;
      sections[place][1].push(run);
    }
    sections[0][1].sort((one, other) => asking.has(other.run_id) - asking.has(one.run_id));
    sections[2][1].sort(byPlace);
    sections[3][1].sort((one, other) => other.ended_at.localeCompare(one.ended_at));
    const shown = sections.filter(([, runs]) => runs.length).flatMap(([title, runs]) => [
      element("h2", { text: title }),
      element("ul", { class: "rows" }, ...runs.map((run) => rowOf(run, asking.get(run.run_id), boxes.length > 1, reasons.get(run.run_id)))),
    ]);
    const none = element("p", { class: "note", text: "No runs yet. `penstock run make test` starts one." });
    const focused = document.activeElement?.getAttribute("href");
    const lost = boxes.filter((box) => box.standing === "lost" && box.silent_seconds < LOSS_TOLD)
      .map((box) => element("p", { class: "card bad", text: `The box ${harmless(box.box)} is lost: silent for ${Math.round(box.silent_seconds)} s.` }));
    this.main.replaceChildren(...lost, ...(shown.length ? shown : [none]));
    if (focused) this.main.querySelector(`a[href="${CSS.escape(focused)}"]`)?.focus();
    const figures = [
      `${sections[1][1].length} running`, `${sections[2][1].length} queued`, boxesSaid(boxes),
      asking.size ? `${asking.size} ask${asking.size === 1 ? "s" : ""}` : "", ...queue.paused.map(({ group, reason }) => `${group ?? "the queue"} is paused${reason ? ` (${reason})` : ""}`),
    ];
    document.getElementById("figures").textContent = figures.filter(Boolean).join(" · ");
  }

  close() {
    this.over = true;
    clearInterval(this.clock);
    clearTimeout(this.timer);
    this.stream?.close();
  }
}

// How many boxes there are, and which of them are not well; nothing of one alone.
function boxesSaid(boxes) {
  const here = boxes.filter((box) => box.standing !== "left");
  const ill = here.filter((box) => box.standing !== "ok").map((box) => `${harmless(box.box)} ${box.standing}`);
  return boxes.length > 1 ? `${here.length} boxes${ill.length ? ` (${ill.join(", ")})` : ""}` : "";
}

// By run, why it stands in line, or that its box is not heard.
async function reasonsOf(queued, begun, boxes) {
  const unheard = new Set(boxes.filter((box) => !box.own && box.standing !== "ok").map((box) => box.box));
  const meant = [...begun.filter((run) => unheard.has(run.box)), ...queued.sort(byPlace)].slice(0, MOST_EXPLAINED);
  if (!meant.length) return new Map();
  const told = await ask("why", { body: { runs: meant.map((run) => run.run_id) } });
  return new Map(told.runs.map((why) => [why.run_id, reasonShown(why)]).filter(([, text]) => text));
}

const byPlace = (one, other) => (one.place || Infinity) - (other.place || Infinity);

function rowOf(run, question, several, reason) {
  const state = question ? "asks" : run.state;
  const when = hasEnded(run) ? `${took(run)}  ${ago(run.ended_at)}` : took(run);
  const said = [question ? question.question : standing(run), reason].filter(Boolean).join(" · ");
  const link = element("a", { href: `#run=${encodeURIComponent(run.run_id)}` },
    element("span", { class: `state-${state}`, text: glyph(state), title: state }),
    element("span", {}, element("b", { text: nameOf(run) }), element("span", { class: `state-${state}`, text: `  ${said}` })),
    element("span", { class: "when", text: when }),
    element("span", { class: "about", text: several && run.box ? `${harmless(run.box)}: ${about(run)}` : about(run) }));
  link.insertBefore(link.lastChild, link.children[2]);
  return element("li", {}, link);
}
