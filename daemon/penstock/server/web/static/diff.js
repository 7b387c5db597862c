// Unified diffs as elements: each line by what it is, each file to be unfolded. A hunk counts its lines,
// so one that went and looks like the head of a file is none.

import { element, harmless } from "./words.js";

// Lines of a diff that are shown: more make a phone slow.
const MOST_LINES = 4000;
const HUNK = /^@@ -\d{1,9}(?:,(\d{1,9}))? \+\d{1,9}(?:,(\d{1,9}))? @@/;
const HEAD = /^(diff |index |--- |\+\+\+ |old mode |new mode |new file mode |deleted file mode |similarity |dissimilarity |rename |copy |Index: |=======|Binary files |GIT binary patch)/;
const MARKS = { "+": "added", "-": "removed", " ": "same", "": "same", "\\": "note" };

// Each line, as [what it is, its text].
function* linesOf(text) {
  let [old, now] = [0, 0];
  const lines = text.split("\n");
  if (lines.at(-1) === "") lines.pop();
  for (const line of lines) {
    const kind = old > 0 || now > 0 ? MARKS[line.slice(0, 1)] : undefined;
    if (kind) {
      if (kind === "removed" || kind === "same") old -= 1;
      if (kind === "added" || kind === "same") now -= 1;
      yield [kind, line];
      continue;
    }
    const hunk = HUNK.exec(line);
    [old, now] = hunk ? [Number(hunk[1] ?? 1), Number(hunk[2] ?? 1)] : [0, 0];
    yield [hunk ? "hunk" : HEAD.test(line) ? "file" : "note", line];
  }
}

// "+12 −3"
export function changeOf(text) {
  let [added, removed] = [0, 0];
  for (const [kind] of linesOf(text)) {
    added += kind === "added";
    removed += kind === "removed";
  }
  return [added ? `+${added}` : "", removed ? `−${removed}` : ""].filter(Boolean).join(" ");
}

export function diffOf(text) {
  const shown = element("div", { class: "diff", tabindex: "0" });
  let count = 0;
  for (const [kind, line] of linesOf(text)) {
    if (count === MOST_LINES) {
      shown.append(element("div", { class: "note", text: "… and more" }));
      break;
    }
    count += 1;
    shown.append(element("div", { class: kind, text: harmless(line) }));
  }
  return shown;
}

// A patch: a fold for each file.
export function patchOf(text) {
  const files = [];
  let inHead = false;
  for (const [kind, line] of linesOf(text)) {
    const begins = kind === "file" && (/^(diff |Index: )/.test(line) || (!inHead && line.startsWith("--- ")));
    if (begins || (kind === "hunk" && !files.length)) files.push({ path: "", lines: [] });
    if (kind === "file") inHead = true;
    else if (kind === "hunk") inHead = false;
    const file = files.at(-1);
    if (!file) continue;
    file.lines.push(line);
    const named = /^(?:\+\+\+ (?:b\/)?|--- (?:a\/)?|rename to |Index: )(.*)$/.exec(kind === "file" ? line : "");
    if (named && named[1] !== "/dev/null") file.path = named[1].split("\t")[0];
  }
  return files.map(({ path, lines }) => {
    const body = lines.join("\n");
    const head = `${harmless(path || lines[0])}  ${changeOf(body)}`;
    return element("details", { class: "tool", open: files.length < 4 }, element("summary", { text: head }), diffOf(body));
  });
}
