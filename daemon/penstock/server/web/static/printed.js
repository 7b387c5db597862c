// What a program printed, as text with its colours. Of what terminals obey only SGR is heeded; \r
// starts its line anew, as a bar of progress means it, and everything else is left out.

// Lines that are shown: more make a phone slow.
const MOST_LINES = 4000;
// Characters of one line.
const LONGEST_LINE = 20000;
const ESCAPE = "\x1b";
// A whole sequence: CSI, one that ends with BEL or ST, or two characters.
const SEQUENCE = /^\x1b(?:\[([0-?]*)[ -/]*([@-~])|[\]PX^_][^\x07\x1b]*(?:\x07|\x1b\\)|[ -/]*[0-Z\\`-~])/;
// One that may still become whole.
const LONGEST_SEQUENCE = 4096;
const PLAIN = { ink: null, ground: null, bold: false, faint: false, italic: false, underline: false, struck: false, reverse: false };
const ADDS = { 1: "bold", 2: "faint", 3: "italic", 4: "underline", 7: "reverse", 9: "struck", 21: "underline" };
const DROPS = { 22: ["bold", "faint"], 23: ["italic"], 24: ["underline"], 27: ["reverse"], 29: ["struck"] };

export class Printed {
  constructor(place) {
    this.place = place;
    this.readers = new Map();
  }

  // Bytes or text of a stream, in the order in which they were read.
  write(stream, data) {
    if (!this.readers.has(stream)) this.readers.set(stream, new Reader(stream, this.place));
    const follows = this.place.scrollHeight - this.place.scrollTop - this.place.clientHeight < 40;
    this.readers.get(stream).feed(data);
    while (this.place.childElementCount > MOST_LINES) this.place.firstElementChild.remove();
    if (follows) this.place.scrollTop = this.place.scrollHeight;
  }
}

// One stream: each has its own line, colours and half of a character.
class Reader {
  constructor(stream, place) {
    Object.assign(this, { stream, place, style: PLAIN, line: null, rest: "", anew: false, length: 0 });
    this.decoder = new TextDecoder();
  }

  feed(data) {
    const text = typeof data === "string" ? this.decoder.decode() + data : this.decoder.decode(data, { stream: true });
    let left = this.rest + text;
    this.rest = "";
    while (left) {
      const found = left.search(/[\x00-\x08\x0a-\x1f\x7f-\x9f]/);
      const plain = found < 0 ? left : left.slice(0, found);
      if (plain) this.put(plain);
      if (found < 0) return;
      left = left.slice(found);
      if (left[0] !== ESCAPE) {
        this.control(left[0]);
        left = left.slice(1);
        continue;
      }
      const whole = SEQUENCE.exec(left);
      if (whole) {
        if (whole[2] === "m") this.style = styled(this.style, whole[1]);
        left = left.slice(whole[0].length);
      } else if (left.length < LONGEST_SEQUENCE && /^\x1b(?:\[[0-?]*[ -/]*|[\]PX^_][^\x07\x1b]*\x1b?|[ -/]*)$/.test(left)) {
        this.rest = left;
        return;
      } else {
        left = left.slice(1);
      }
    }
  }

  control(character) {
    if (character === "\r") this.anew = true;
    if (character !== "\n") return;
    this.anew = false;
    this.own();
    this.line = null;
  }

  put(text) {
    const line = this.own();
    if (this.anew) {
      line.replaceChildren();
      this.length = 0;
      this.anew = false;
    }
    const room = LONGEST_LINE - this.length;
    if (room <= 0) return;
    this.length += text.length;
    line.append(spanOf(text.length > room ? `${text.slice(0, room)}…` : text, this.style));
  }

  own() {
    if (this.line === null) {
      this.line = document.createElement("div");
      if (this.stream === "pipeline") this.line.className = "own";
      this.place.append(this.line);
      this.length = 0;
    }
    return this.line;
  }
}

function spanOf(text, style) {
  if (style === PLAIN) return document.createTextNode(text);
  const span = document.createElement("span");
  span.textContent = text;
  span.className = ["bold", "faint", "italic", "underline", "struck"].filter((name) => style[name]).join(" ");
  const [ink, ground] = style.reverse
    ? [style.ground ?? "var(--raised)", style.ink ?? "var(--text)"]
    : [style.ink, style.ground];
  // By its properties, one by one: the policy of this page forbids a style that is written as text.
  if (ink) span.style.color = ink;
  if (ground) span.style.backgroundColor = ground;
  return span;
}

function styled(before, parameters) {
  const style = { ...before };
  const codes = parameters.split(/[;:]/).map((word) => (word === "" ? 0 : Number(word)));
  while (codes.length) {
    const code = codes.shift();
    if (code === 0) Object.assign(style, PLAIN);
    else if (ADDS[code]) style[ADDS[code]] = true;
    else if (DROPS[code]) for (const name of DROPS[code]) style[name] = false;
    else if (code === 38 || code === 48) style[code === 38 ? "ink" : "ground"] = colour(codes);
    else if (code === 39) style.ink = null;
    else if (code === 49) style.ground = null;
    else if (code >= 30 && code <= 37) style.ink = named(code - 30);
    else if (code >= 90 && code <= 97) style.ink = named(code - 82);
    else if (code >= 40 && code <= 47) style.ground = named(code - 40);
    else if (code >= 100 && code <= 107) style.ground = named(code - 92);
  }
  return Object.keys(PLAIN).every((name) => style[name] === PLAIN[name]) ? PLAIN : style;
}

const named = (number) => `var(--c${number})`;

// 5;n of the table of 256, or 2;r;g;b; what it takes is gone from `codes`.
function colour(codes) {
  const form = codes.shift();
  if (form === 2) {
    const [red, green, blue] = codes.splice(0, 3);
    return [red, green, blue].every((part) => part >= 0 && part <= 255) ? `rgb(${red} ${green} ${blue})` : null;
  }
  if (form !== 5) return null;
  const number = codes.shift();
  if (!(number >= 0 && number <= 255)) return null;
  if (number < 16) return named(number);
  if (number >= 232) return grey(8 + 10 * (number - 232));
  const step = (part) => (part ? 55 + 40 * part : 0);
  const place = number - 16;
  return `rgb(${step(Math.floor(place / 36))} ${step(Math.floor(place / 6) % 6)} ${step(place % 6)})`;
}

const grey = (level) => `rgb(${level} ${level} ${level})`;
