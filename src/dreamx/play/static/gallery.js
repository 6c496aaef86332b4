// The gallery: places to begin from, by look and by kind, a picture of one's own, words, or a walk that somebody sent.

import { $, element, icon, toast } from "./dom.js";

const DOWNSCALE = 1_500_000; // bytes: larger pictures are made smaller before they travel
const LONGEST_SIDE = 1280;
// Prompts begin with their look ("Style: Game. A park ..."), names with the kind of place ("park-game").
const LOOK = /^Style: ([^.]+)\.\s*/;
const OPENING = /^(a (first-person )?(walk|view) (through|of)|inside|walking through|we explore)\s+/i;
const LOOKS = { Photorealistic: "Photoreal" };
const KINDS = { home: "Known by heart", park: "Parks", plaza: "Squares", room: "Rooms", maze: "Mazes" };

export class Gallery {
  // begin(start) is given what a start message needs beside its type.
  constructor(begin) {
    this.begin = begin;
    this.world = null;
    this.wanted = { look: null, kind: null };
    this.left = null; // the card of the walk that was left
    this.own = card(element("span", "own", icon("plus")), "A picture of your own", "drop, paste or choose it");
    this.own.id = "own";
    this.own.onclick = () => $("file").click();
    this.cards = [];
    this.#open();
  }

  // What api/world says.
  show(world) {
    this.world = world;
    const untaught = "This world was not taught events: what you say changes little";
    for (const id of ["memory", "walls"]) $(id).hidden = world.memory === false;
    $("packed").hidden = !world.packed;
    $("event-text").placeholder = world.events === false ? untaught : `let something happen: ${world.happenings?.[0] ?? "it starts to snow"}`;
    $("starts").style.setProperty("--aspect", `${world.size[1] / world.size[0]}`);
    const home = world.starts.some((start) => start.known);
    this.cards = world.starts.map((start) => this.#card(start, home && (start.known ? "known by heart" : "open ground")));
    this.#chips("look", [...new Set(this.cards.map((c) => c.look))]);
    this.#chips("kind", [...new Set(this.cards.map((c) => c.kind))]);
    this.#lay();
    this.#filter();
  }

  // Offer to go on with a walk, with its last picture; null takes the offer back.
  offer(url, goOn) {
    this.left = null;
    if (url) {
      this.left = card(Object.assign(element("img"), { src: url, alt: "" }), "Go on with your walk", "where you left it");
      this.left.id = "go-on";
      this.left.onclick = goOn;
    }
    this.#lay();
  }

  #lay() {
    $("starts").replaceChildren(...(this.left ? [this.left] : []), this.own, ...this.cards.map((c) => c.node));
  }

  // Begin with what was dropped, pasted or chosen: a picture, or the file of a walk.
  async open(file) {
    if (!file) return;
    if (/\.json$/i.test(file.name) || file.type === "application/json") return this.#replay(file);
    const limit = this.world?.limits.image_bytes ?? 8 * 2 ** 20;
    const blob = file.size > DOWNSCALE ? ((await smaller(file)) ?? file) : file;
    if (blob.size > limit) return toast(`The picture is larger than ${Math.floor(limit / 2 ** 20)} MB; choose a smaller one.`);
    const bytes = new Uint8Array(await blob.arrayBuffer());
    let text = "";
    for (let i = 0; i < bytes.length; i += 32768) text += String.fromCharCode(...bytes.subarray(i, i + 32768));
    this.begin({ image: btoa(text) }); // without what stands in the line of words: that was meant for another place
  }

  async #replay(file) {
    const replay = await file.text().then(JSON.parse).catch(() => null);
    if (!replay || !Array.isArray(replay.steps)) return toast("That file is not a walk of dreamx; open one that was saved with Share.");
    this.begin({ replay });
  }

  #card({ id, prompt, thumbnail }, ground) {
    const image = Object.assign(element("img"), { src: thumbnail, alt: "", loading: "lazy" });
    const look = LOOK.exec(prompt)?.[1] ?? null;
    const name = id.replace(/^home-/, "").replaceAll("-", " ");
    const node = card(image, brief(prompt) || name, ground || "");
    node.title = plain(prompt);
    node.onclick = () => this.begin({ start: id });
    node.dataset.id = id;
    return { node, look: LOOKS[look] ?? look, kind: KINDS[id.split("-")[0]] ?? null };
  }

  #chips(what, found) {
    const names = found.filter(Boolean);
    $(`${what}s`).hidden = names.length < 2;
    if (!names.includes(this.wanted[what])) this.wanted[what] = null;
    const chips = [null, ...names].map((name) => {
      const chip = element("button", "chip", name ?? (what === "look" ? "Every look" : "Every place"));
      chip.type = "button";
      chip.setAttribute("aria-pressed", name === this.wanted[what]);
      chip.onclick = () => {
        this.wanted[what] = name;
        for (const other of chips) other.setAttribute("aria-pressed", other === chip);
        this.#filter();
      };
      return chip;
    });
    $(`${what}s`).replaceChildren(...chips);
  }

  #filter() {
    const { look, kind } = this.wanted;
    for (const c of this.cards) c.node.hidden = (look !== null && c.look !== look) || (kind !== null && c.kind !== kind);
    $("starts-none").hidden = this.cards.length === 0 || this.cards.some((c) => !c.node.hidden);
  }

  #open() {
    $("words").onsubmit = (e) => {
      e.preventDefault();
      const prompt = $("prompt").value.trim();
      if (prompt) this.begin({ prompt });
      else toast("Say in a few words what the place looks like.");
    };
    for (const id of ["file", "walk-file"]) {
      $(id).onchange = ({ target }) => {
        this.open(target.files[0]);
        target.value = "";
      };
    }
    $("open-walk").onclick = () => $("walk-file").click();
    let over = 0; // drags enter and leave every element they cross
    addEventListener("dragenter", () => ($("drop").hidden = ++over === 0));
    addEventListener("dragleave", () => ($("drop").hidden = --over === 0));
    addEventListener("dragover", (e) => e.preventDefault());
    addEventListener("drop", (e) => {
      e.preventDefault();
      over = 0;
      $("drop").hidden = true;
      this.open(e.dataTransfer.files[0]);
    });
    addEventListener("paste", (e) => {
      const file = [...(e.clipboardData?.files ?? [])].find((f) => f.type.startsWith("image/"));
      if (!file) return;
      e.preventDefault();
      this.open(file);
    });
  }
}

// A prompt as one reads it.
export const plain = (prompt) => prompt.replace(LOOK, "");

// Its first sentence, without the words that all of them begin with.
function brief(prompt) {
  const words = plain(prompt).split(". ")[0].replace(OPENING, "").replace(/\.$/, "");
  return words.slice(0, 1).toUpperCase() + words.slice(1);
}

function card(picture, words, more = "") {
  const text = element("span", "words", words);
  if (more) text.append(element("small", "", more));
  const node = element("button", "start", picture, text);
  node.type = "button";
  return node;
}

// The picture with its longest side cut down, or null when the browser cannot read it: then the server says what is wrong.
async function smaller(file) {
  const bitmap = await createImageBitmap(file).catch(() => null);
  if (!bitmap) return null;
  const scale = Math.min(1, LONGEST_SIDE / Math.max(bitmap.width, bitmap.height));
  const canvas = Object.assign(document.createElement("canvas"), {
    width: Math.round(bitmap.width * scale),
    height: Math.round(bitmap.height * scale),
  });
  canvas.getContext("2d").drawImage(bitmap, 0, 0, canvas.width, canvas.height);
  return new Promise((done) => canvas.toBlob(done, "image/jpeg", 0.92));
}
