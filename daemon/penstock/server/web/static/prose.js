// The Markdown that models write, as elements. Addresses are told and never made links: who wrote them is
// a stranger, and so is all else here, which is only ever set as text.

import { element, harmless } from "./words.js";

const FENCE = /^ {0,12}(`{3,}|~{3,})[^`]*$/;
const MARK = /`([^`]+)`|\*\*([^*]+)\*\*|(?<![\w*])\*([^*\s][^*]*)\*(?!\w)|~~([^~]+)~~|!?\[([^[\]]*)\]\(([^()\s]*)\)/g;
const TAGS = [null, "code", "strong", "em", "s"];

export function proseOf(text) {
  const made = [];
  let [code, end] = [null, ""];
  for (const line of harmless(text).split("\n")) {
    const fence = FENCE.exec(line);
    if (code) {
      if (line.trim().startsWith(end) && !line.replace(/[ `~]/g, "")) code = null;
      else code.textContent += `${line}\n`;
    } else if (fence) {
      [code, end] = [element("pre"), fence[1]];
      made.push(code);
    } else {
      made.push(lineOf(line));
    }
  }
  return made;
}

function lineOf(line) {
  const heading = /^ {0,3}#{1,6}[ \t]+(.*)$/.exec(line);
  if (heading) return element("div", { class: "heading" }, ...marked(heading[1]));
  const item = /^( {0,24})(?:[-*+]|(\d{1,9}[.)]))[ \t]+(.*)$/.exec(line);
  if (item) return element("div", { class: "item" }, `${item[1].replaceAll(" ", "\u00a0")}${item[2] ?? "•"} `, ...marked(item[3]));
  return element("div", { class: line.trim() ? null : "gap" }, ...marked(line));
}

function marked(text) {
  const made = [];
  let at = 0;
  for (const found of text.matchAll(MARK)) {
    made.push(text.slice(at, found.index));
    at = found.index + found[0].length;
    const which = TAGS.findIndex((tag, number) => tag && found[number] !== undefined);
    if (which > 0) made.push(element(TAGS[which], { text: found[which] }));
    else made.push(element("u", { text: found[5] }), found[6] && found[6] !== found[5] ? ` (${found[6]})` : "");
  }
  return [...made, text.slice(at)].filter((part) => part !== "");
}
