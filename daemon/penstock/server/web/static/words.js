// How things are said, and the elements that say them. Values in, text and elements out.

const GLYPHS = {
  asks: "?", running: "▶", paused: "□", waiting: "…", queued: "…", preempted: "‖",
  completed: "✓", failed: "✗", cancelled: "■",
};

// An element. Text is set as text, never as markup: programs and models wrote it.
export function element(tag, { text, on, ...attributes } = {}, ...children) {
  const made = document.createElement(tag);
  if (text !== undefined) made.textContent = text;
  for (const [name, value] of Object.entries(attributes)) {
    if (value !== null && value !== false) made.setAttribute(name, value === true ? "" : value);
  }
  for (const [name, heed] of Object.entries(on ?? {})) made.addEventListener(name, heed);
  made.append(...children);
  return made;
}

// Text of unknown origin: what has a say in the direction of text, so that a line reads other than it is,
// and what terminals obey is shown instead.
export function harmless(text) {
  return text
    .replace(/[\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069\x80-\x9f]/g, "\ufffd")
    .replace(/[\x00-\x08\x0b-\x1f]/g, (letter) => (letter === "\r" ? "" : String.fromCharCode(0x2400 + letter.charCodeAt(0))))
    .replaceAll("\x7f", "\u2421");
}

export const glyph = (state) => GLYPHS[state] ?? "·";

export const hasEnded = (run) => run.ended_at != null;

// 0:08, 4:12, 1:02:03
export function duration(seconds) {
  const whole = Math.max(0, Math.floor(seconds));
  const [hours, minutes, rest] = [Math.floor(whole / 3600), Math.floor(whole / 60) % 60, whole % 60];
  const end = String(rest).padStart(2, "0");
  return hours ? `${hours}:${String(minutes).padStart(2, "0")}:${end}` : `${minutes}:${end}`;
}

export function took(run, now = Date.now()) {
  if (!run.started_at) return "";
  const end = run.ended_at ? Date.parse(run.ended_at) : now;
  return duration((end - Date.parse(run.started_at)) / 1000);
}

export function ago(moment, now = Date.now()) {
  const seconds = (now - Date.parse(moment)) / 1000;
  if (seconds < 60) return "now";
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min ago`;
  if (seconds < 86400) return `${Math.floor(seconds / 3600)} h ago`;
  return `${Math.floor(seconds / 86400)} d ago`;
}

export const nameOf = (run) => run.labels?.name ?? run.run_id;

export function about(run) {
  const { argv, ...inputs } = run.inputs ?? {};
  if (Array.isArray(argv)) return argv.map(String).join(" ");
  return `${run.kind} ${Object.values(inputs).filter((value) => typeof value === "string").join(" ")}`;
}

// What the state comes to: "62 %", "exit 2", "quota 19:12".
export function standing(run) {
  if (run.state === "running" && run.progress != null) return `${Math.round(run.progress * 100)} %`;
  if (run.kind === "agent" && run.state === "running" && run.step?.startsWith("silent for ")) return "silent";
  const quota = run.state === "waiting" && /^quota of .*? until (\d\d:\d\d) UTC on (\d{4}-\d\d-\d\d)$/s.exec(run.reason);
  if (quota) return `quota ${new Date(`${quota[2]}T${quota[1]}Z`).toLocaleTimeString([], { hour: "2-digit", minute: "2-digit" })}`;
  if (run.state === "failed" && run.exit_code != null) return `exit ${run.exit_code}`;
  return run.state;
}

// Codes of reasons that no state says: what a run is in line for is told whichever that is.
const UNSEEN = new Set(["box", "log"]);

// The first reason why a run is where it is, as a sentence; "" where its state says as much.
export function reasonShown({ state, reasons }) {
  const [first] = reasons;
  const inLine = state === "queued" || state === "preempted";
  return first && (inLine || UNSEEN.has(first.code)) ? harmless(first.text) : "";
}

// The receipt of a cancel in words, and whether all is as it should be.
export function receiptSaid(receipt) {
  if (receipt.outcome === "already_terminal") return { good: true, text: "It had ended before; nothing was left to cancel." };
  if (receipt.outcome === "tombstoned") return { good: true, text: "It is not known here, and will not start." };
  const left = receipt.survivors;
  if (left === "unknown") return { good: false, text: "Cancelled; whether something of it is left is not known." };
  if (left.length) return { good: false, text: `Cancelled, but processes are left: ${left.join(", ")}.` };
  if (receipt.method === "lease") return { good: true, text: `Cancelled: its box ${receipt.box} was lost, and what ran there ended with its lease.` };
  if (receipt.method === "none") return { good: true, text: "Cancelled. It had no processes." };
  const seconds = (Date.parse(receipt.gone_at) - Date.parse(receipt.requested_at)) / 1000;
  const count = receipt.pids.length;
  const ended = count === 1 ? "its process is gone" : `its ${count} processes are gone`;
  const when = Number.isFinite(seconds) ? `, ${seconds.toFixed(1)} s after the order` : "";
  return { good: true, text: `Cancelled: ${ended}${when} (proved by ${receipt.method}${receipt.box ? ` on ${receipt.box}` : ""}).` };
}
