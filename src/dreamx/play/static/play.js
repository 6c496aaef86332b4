// The page: one walk, its parts, and what they tell each other. What is said to the server is defined in play/client_messages.py.

import { $, sentence, toast, veil } from "./dom.js";
import { Gallery, plain } from "./gallery.js";
import { play as playGamepad } from "./gamepad.js";
import { Hands } from "./hands.js";
import { Happenings } from "./happenings.js";
import { Hud } from "./hud.js";
import { forget, keep, recall } from "./keep.js";
import { Link } from "./link.js";
import { lookOn } from "./look.js";
import { WalkMap } from "./map.js";
import { Moments } from "./moments.js";
import { Screen } from "./screen.js";
import { Tools } from "./tools.js";
import { canDecode } from "./video.js";

const PAD = { 0: "save", 1: "rewind", 2: "record", 9: "pause" }; // buttons of a gamepad
const TOUCH = matchMedia("(pointer: coarse)");

const walk = {
  phase: "none", // then "opening", "running", "over"
  opening: null, // the start message it was begun with, as far as it is known
  session: null, // its id on the server, once it has one
  paused: false,
  recording: false,
  replaying: false,
  rewindable: 0, // seconds
  switches: { memory: true, camera: true, walls: true, packed: true },
};
let world = null; // what api/world says
let codec = "jpeg";
let noVideo = false; // this browser said it could decode it, and could not
let continued = null; // what was kept of the walk that goes on now
let seq = 0;

const screen = new Screen({ canvas: $("canvas"), truth: $("truth"), glow: $("glow"), painted, broken });
const hud = new Hud();
const map = new WalkMap($("map"));
const link = new Link({ heard, pictured: (buffer) => screen.push(buffer), status });
const hands = new Hands(moved);
const moments = new Moments($("canvas"), (id) => walk.phase === "running" && goBack({ type: "restore", moment: id }));
const tools = new Tools({ walk, say: (message) => link.say(message), goBack, screen, moments });
const happenings = new Happenings((message) => walk.phase === "running" && link.say(message));
const gallery = new Gallery(begin);

// For tests and the curious; nothing in the page reads it.
window.dreamx = { screen, hud, map, gallery, hands, happenings, moments, link, walk, held: () => hands.held, latencies: () => hud.latencies };

// ---- what the server says -----------------------------------------------------------------------------------------------

function heard(message) {
  switch (message.type) {
    case "hello":
      return greeted(message);
    case "started":
      return started(message);
    case "made":
      hud.made(message);
      if (message.note || (message.event && !happenings.named(message.event))) tools.heard(message);
      happenings.made(message);
      return map.expect(message);
    case "state":
      return stated(message);
    case "recorded":
      return tools.recorded(message, world.fps);
    case "rested":
      if (walk.phase === "none") return; // it was left; the gallery offers to go on
      walk.phase = "over";
      return veil(sentence(message.text), "Go on", resume);
    case "queued":
      return walk.phase === "opening" ? veil(sentence(message.text)) : toast(sentence(message.text), { calm: true });
    case "error":
      return failed(message);
  }
}

async function greeted({ world: name, size, fps }) {
  $("link").textContent = `${name}, ${size[1]} × ${size[0]} at ${fps} fps`;
  await refresh();
  if (walk.session) resume();
  else if (walk.opening) ask();
}

function started(message) {
  if (!walk.opening && !walk.session) return link.say({ type: "pause" }); // left meanwhile
  walk.phase = "running";
  walk.session = message.session;
  screen.open(world.size, world.fps);
  hud.reset();
  happenings.reset(message.happenings ?? []);
  map.coming.clear();
  if (continued) {
    map.remember(continued.map);
    moments.remember(continued.pictures);
    seq = Math.max(seq, continued.seq);
    continued = null;
  }
  $("truth-box").hidden = !message.truth;
  $("screens").classList.toggle("two", message.truth);
  $("caption").textContent = $("caption").title = [message.note, plain(message.prompt)].filter(Boolean).join(" · ");
  if (message.note) toast(message.note, { calm: true });
  $("hint").textContent = TOUCH.matches ? "Drag the picture to look around" : "Click the picture to look around with the mouse";
  $("hint").hidden = false;
  veil(null);
  gallery.offer(null);
  remember();
  if (hands.held) hands.tell(false); // held since before
}

function stated(message) {
  if (message.paused !== walk.paused) stoodStill();
  for (const name of ["paused", "recording", "replaying", "rewindable", "switches"]) walk[name] = message[name];
  moments.update(message.moments);
  map.mark(message.moments);
  tools.show();
}

function failed({ text, over }) {
  if (walk.phase === "opening") {
    const again = walk.session && walk.opening; // the session is gone, but how it began is known
    Object.assign(walk, { phase: "over", session: null });
    forget();
    if (again) return veil(sentence(text), "Begin again", () => begin(walk.opening));
    leave();
  } else if (over && walk.phase === "running") {
    walk.phase = "over";
    return veil(sentence(text), "Begin again", () => (walk.opening ? begin(walk.opening) : leave()));
  }
  toast(sentence(text));
}

function status(state, text, seconds) {
  $("link").dataset.state = state;
  if (state === "open") return ($("notice").hidden = true);
  hands.releaseAll();
  $("link").textContent = state === "busy" ? "full" : "no connection";
  const again = seconds === null ? "" : ` Trying again in ${seconds} s.`;
  $("notice-text").textContent = sentence(text) + again;
  $("notice").hidden = false;
  if (walk.phase === "none") return;
  walk.phase = "opening";
  veil(sentence(text) + again, "Try now", () => link.open());
}

// ---- what the player does -----------------------------------------------------------------------------------------------

function moved({ held, look, turn, pressed }) {
  if (walk.phase !== "running") return;
  seq += 1;
  if (pressed && !walk.paused) hud.pressed(seq);
  link.say({ type: "keys", held, seq, look, turn });
}

function painted({ frame, chunk, seq: obeyed, spare }) {
  if (walk.phase !== "running") return; // a last frame of the world before
  link.say({ type: "shown", frame, spare: spare === null ? null : Math.max(-60000, Math.min(60000, spare)) });
  hud.painted(obeyed);
  map.painted(chunk);
}

// The browser cannot decode the video after all: go on with pictures.
function broken() {
  noVideo = true;
  if (walk.session) link.open();
}

// A pause begins or ends, or one goes back: how long a picture or a key waited means nothing then.
function stoodStill() {
  hud.forget();
  screen.interrupt();
}

function goBack(message) {
  stoodStill();
  link.say(message);
}

function begin(start) {
  if (!link.isOpen) return toast("There is no connection to the server yet.");
  forget();
  map.reset();
  moments.reset();
  continued = null;
  Object.assign(walk, { session: null, paused: false, recording: false, replaying: false, rewindable: 0 });
  walk.opening = { type: "start", seed: Math.floor(Math.random() * 2 ** 31), ...start };
  $("film").hidden = true;
  tools.show();
  ask();
}

function ask() {
  enter("Opening …");
  link.say({ ...walk.opening, codec, switches: walk.switches });
}

function resume() {
  enter("Going on with your walk …");
  link.say({ type: "resume_session", session: walk.session, codec });
}

function enter(words) {
  walk.phase = "opening";
  $("gallery").hidden = true;
  $("stage").hidden = false;
  veil(words);
  scrollTo(0, 0);
}

function leave() {
  hands.releaseAll();
  document.exitPointerLock?.();
  if (walk.phase === "running") {
    link.say({ type: "pause" });
    const left = memory();
    gallery.offer(moments.picture(320), () => takeUp(left));
  }
  forget();
  Object.assign(walk, { phase: "none", opening: null, session: null });
  $("stage").hidden = true;
  $("gallery").hidden = false;
}

// Go on with a walk that was left, here or by the page before this one.
function takeUp(left) {
  continued = left;
  Object.assign(walk, { session: left.session, opening: left.opening, switches: left.switches });
  tools.show();
  if (link.isOpen) resume();
  else enter("Going on with your walk …");
}

// All that this page knows of its walk.
function memory() {
  const { session, opening, switches } = walk;
  return { session, opening, switches, seq, map: map.memory, pictures: moments.memory };
}

function remember() {
  if (walk.session) keep(memory());
}

// ---- the page itself ----------------------------------------------------------------------------------------------------

async function refresh() {
  const answer = await fetch("api/world").catch(() => null);
  if (!answer?.ok) return;
  world = await answer.json();
  codec = !noVideo && world.codecs?.includes("h264") && (await canDecode()) ? "h264" : "jpeg";
  document.title = `${world.name} · dreamx`;
  gallery.show(world);
}

addEventListener("keydown", (e) => {
  if (e.ctrlKey || e.metaKey || e.altKey || $("help").open) return;
  if (e.target instanceof HTMLInputElement) {
    if (e.code === "Escape") e.target.blur();
    return;
  }
  if (e.key === "?") return $("help").showModal();
  if ($("stage").hidden || hands.keydown(e) || e.repeat) return;
  if (e.code === "Space" && e.target instanceof HTMLButtonElement) return; // it presses that button
  if (happenings.keydown(e) || tools.keydown(e)) e.preventDefault();
});
addEventListener("keyup", (e) => hands.keyup(e));
addEventListener("blur", () => hands.releaseAll());
addEventListener("pagehide", () => {
  remember();
  link.close(); // a page kept in the browser's cache would keep its place in the house
});
addEventListener("pageshow", (e) => e.persisted && link.open());
document.addEventListener("visibilitychange", () => {
  hands.releaseAll();
  screen.interrupt();
});

$("home").onclick = leave;
$("again").onclick = () => walk.opening && begin(walk.opening);
$("notice-button").onclick = () => link.open();
$("help-button").onclick = () => $("help").showModal();
$("event").onsubmit = (e) => {
  e.preventDefault();
  const text = $("event-text").value.trim();
  if (text && walk.phase === "running") happenings.tell(text);
  $("event-text").value = "";
  $("event-text").blur();
};

lookOn($("canvas"), hands, (taken) => {
  $("hint").textContent = taken ? "Esc gives the mouse back" : "Click the picture to look around with the mouse";
  $("screens").classList.toggle("taken", taken);
});
playGamepad(hands, Object.fromEntries(Object.entries(PAD).map(([number, id]) => [number, () => $(id).click()])));
setInterval(() => {
  if ($("stage").hidden) return;
  hud.rate(screen.fps, walk.phase === "running" && !walk.paused && screen.isSlow);
  tools.tick();
}, 250);

const before = recall();
if (before?.session) takeUp(before);
link.open();
