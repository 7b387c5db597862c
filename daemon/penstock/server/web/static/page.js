// The page begins here: let in, then what the address names, until it names something else.

import { letIn } from "./daemon.js";
import { showList } from "./list.js";
import { showRun } from "./run.js";
import { element } from "./words.js";

const main = document.getElementById("main");
const link = document.getElementById("link");
let shown = null;

function tellLink(stands) {
  link.textContent = stands === null ? "" : stands ? "● live" : "○ not connected, trying again";
  link.className = stands ? "well" : "";
}

function show() {
  shown?.close();
  link.textContent = "";
  document.title = "penstock";
  document.getElementById("figures").textContent = "";
  const runId = new URLSearchParams(location.hash.slice(1)).get("run");
  shown = runId === null ? showList(main, tellLink) : showRun(main, runId, tellLink);
}

async function come() {
  try {
    await letIn();
  } catch (error) {
    shown?.close();
    main.replaceChildren(element("p", { id: "refused", class: "card bad", text: error.message }));
    return;
  }
  show();
}

// Another address may have another code: `penstock open` while this page is open.
addEventListener("hashchange", come);
come();
