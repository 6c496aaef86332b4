// The buttons of a walk, the keys that do the same, and what they show: pause, bookmarks, rewind, video, photo, replay, switches.

import { $, clock, download, element, toast } from "./dom.js";

const BACK = 3; // seconds that rewind goes back
const NAMES = { memory: "Memory", camera: "Camera control", walls: "Stopping at walls", packed: "Packed memory" };

// walk is the state of play.js; say sends a message, goBack one that goes back in time; screen and moments are its parts.
export class Tools {
  constructor({ walk, say, goBack, screen, moments }) {
    Object.assign(this, { walk, say, screen, moments });
    this.recordingSince = null; // ms
    const click = {
      pause: () => say({ type: walk.paused ? "resume" : "pause" }),
      save: () => this.#save(),
      rewind: () => walk.rewindable > 0 && goBack({ type: "rewind", seconds: Math.min(BACK, walk.rewindable) }),
      record: () => say({ type: "record", on: !walk.recording, crisp: screen.crisp }),
      photo: () => this.#photo(),
      share: () => this.#share(),
    };
    for (const [id, act] of Object.entries(click)) $(id).onclick = () => walk.phase === "running" && act();
    $("crisp").onclick = () => this.#crisp();
    for (const name of Object.keys(NAMES)) $(name).onclick = () => this.#switch(name);
    // A button that was clicked must not be what Space presses next.
    for (const button of document.querySelectorAll(".tools button, .switches button")) {
      button.addEventListener("click", (e) => e.detail > 0 && button.blur());
    }
  }

  // True when that key does something here.
  keydown({ key, code }) {
    const ids = { " ": "pause", b: "save", z: "rewind", backspace: "rewind", r: "record", p: "crisp", m: "memory", c: "camera", x: "walls", n: "packed" };
    const id = ids[key.toLowerCase()];
    const moment = /^Digit[1-9]$/.test(code) ? this.moments.list[Number(code.at(-1)) - 1] : undefined;
    if (id) $(id).click();
    else if (key.toLowerCase() === "t") $("event-text").focus();
    else if (moment) this.moments.goTo(moment.id);
    else return false;
    return true;
  }

  // Everything as the walk stands now.
  show() {
    const { paused, recording, rewindable, switches, replaying } = this.walk;
    this.#face("pause", paused ? "go" : "pause", paused ? "Go on" : "Pause", paused);
    $("rewind").disabled = rewindable <= 0;
    if (recording) this.recordingSince ??= performance.now();
    else this.recordingSince = null;
    $("record").setAttribute("aria-pressed", recording);
    for (const name of Object.keys(NAMES)) $(name).setAttribute("aria-checked", switches[name]);
    const said = [replaying && "A replay: you take over at its end", ...Object.keys(NAMES).map((x) => !switches[x] && `${NAMES[x]} is off`)];
    $("badge").textContent = said.filter(Boolean).join(" · ");
    $("badge").hidden = !said.some(Boolean);
    this.tick();
  }

  // What the player said begins with this chunk.
  heard({ event, note }) {
    toast(["Said: ", event.length > 80 ? `${event.slice(0, 79)}…` : event, ". ", note].join(""), { calm: true });
  }

  // To be called a few times a second.
  tick() {
    const since = this.recordingSince;
    const text = since === null ? "Record" : `Stop ${clock((performance.now() - since) / 1000)}`;
    if ($("record-text").textContent !== text) $("record-text").textContent = text;
  }

  // A video is ready.
  recorded({ url, frames }, fps) {
    const watch = Object.assign(element("a", "", "Watch it"), { href: url, target: "_blank" });
    const save = Object.assign(element("a", "", "Save it"), { href: url, download: "dream.mp4" });
    $("film").replaceChildren(`Your video is ready (${clock(frames / fps)}).`, watch, save);
    $("film").hidden = false;
  }

  #save() {
    this.moments.take();
    this.say({ type: "save" });
  }

  #switch(name) {
    const { walk } = this;
    walk.switches = { ...walk.switches, [name]: !walk.switches[name] };
    if (walk.phase === "running") this.say({ type: "switch", ...walk.switches });
    this.show();
    toast(`${NAMES[name]} is ${walk.switches[name] ? "on" : "off"}.`, { calm: true });
  }

  #crisp() {
    this.screen.crisp = !this.screen.crisp;
    $("screens").classList.toggle("crisp", this.screen.crisp);
    $("crisp").setAttribute("aria-pressed", this.screen.crisp);
  }

  async #photo() {
    const blob = await new Promise((done) => $("canvas").toBlob(done, "image/png"));
    give(blob, "dream.png");
  }

  async #share() {
    const answer = await fetch(`api/sessions/${this.walk.session}/replay.json`).catch(() => null);
    if (!answer?.ok) return toast("The server could not give this walk; try again.");
    give(await answer.blob(), "walk.json");
    toast("Send walk.json to a friend: whoever drops it on this page dreams the same walk.", { calm: true });
  }

  #face(id, icon, words, pressed) {
    const button = $(id);
    button.querySelector("use").setAttribute("href", `#i-${icon}`);
    button.querySelector("span").textContent = words;
    button.setAttribute("aria-pressed", pressed);
  }
}

function give(blob, name) {
  const url = URL.createObjectURL(blob);
  download(url, name);
  setTimeout(() => URL.revokeObjectURL(url), 10_000);
}
