// The page: gallery, keys, and the one socket. What is said on it is defined in play/protocol.py.

import { Screen } from "./screen.js";

const $ = (id) => document.getElementById(id);

const PADS = {
  walk: [["w", "up", "forward"], ["a", "left", "left"], ["s", "down", "back"], ["d", "right", "right"]],
  look: [["i", "up", "up"], ["j", "left", "left"], ["k", "down", "down"], ["l", "right", "right"]],
};
// By place on the keyboard, so that other layouts have the same hand; arrows walk and turn.
const CODES = {
  KeyW: "w", KeyA: "a", KeyS: "s", KeyD: "d", KeyI: "i", KeyJ: "j", KeyK: "k", KeyL: "l",
  ArrowUp: "w", ArrowDown: "s", ArrowLeft: "j", ArrowRight: "l",
};
const DOWNSCALE = 1_500_000; // bytes: larger pictures are made smaller before they travel
const LONGEST_SIDE = 1280;

let socket = null;
let world = null; // what api/world says
let opening = null; // the start message of the running world
let waiting = false; // for the server to have begun it
let running = false; // it was begun, and has not stopped
let paused = false;
let seq = 0;
let presses = []; // {seq, time} of presses that no painted frame has answered yet
let latencies = [];
const sources = new Map(); // key -> set of what holds it: codes of the keyboard, pointers on the pad

const screen = new Screen($("canvas"), painted);

// For tests and the curious; nothing in the page reads it.
window.dreamx = { screen, latencies: () => latencies, held: () => held() };

// ---- the socket ---------------------------------------------------------------------------------------------------------

function connect(delay = 500) {
  if ($("link").dataset.state !== "gone") link("wait", "connecting");
  const url = new URL("socket", location.href);
  url.protocol = url.protocol.replace("http", "ws");
  socket = new WebSocket(url);
  socket.binaryType = "arraybuffer";
  let greeted = false;
  let busy = false;
  socket.onmessage = ({ data }) => {
    if (typeof data !== "string") return screen.push(data);
    const message = JSON.parse(data);
    greeted ||= message.type === "hello";
    busy ||= message.busy === true;
    hear(message);
  };
  socket.onclose = ({ code }) => {
    releaseAll();
    if (!busy) link("gone", "no connection");
    waiting = running = false;
    if (opening) veil("The connection is lost. Trying to reach the server again …");
    if (code === 1009) toast("That message was too large for the server.");
    const wait = greeted ? 500 : Math.min(delay * 1.6, 8000);
    setTimeout(() => connect(wait), wait);
  };
}

function say(message) {
  if (socket?.readyState === WebSocket.OPEN) socket.send(JSON.stringify(message));
}

function hear(message) {
  switch (message.type) {
    case "hello":
      link("open", `${message.world}, ${message.size[1]} × ${message.size[0]} at ${message.fps} fps`);
      refresh();
      if (opening) veil("The connection is back, but this world is gone with the old one.", true);
      break;
    case "started":
      if (!opening) return say({ type: "pause" }); // left meanwhile
      waiting = false;
      running = true;
      screen.open(world.size, world.fps);
      $("caption").textContent = [message.prompt, message.note].filter(Boolean).join(" · ");
      veil(null);
      state(false, false);
      if (held()) tell(false); // held since before
      break;
    case "made":
      $("hud-chunk").textContent = `${Math.round(message.dream_ms + message.show_ms + message.encode_ms)} ms`;
      break;
    case "state":
      state(message.paused, message.saved);
      break;
    case "error":
      if (message.busy) return link("gone", message.text);
      if (message.over && running) {
        running = false;
        return veil(sentence(message.text), true);
      }
      if (waiting) leave();
      toast(sentence(message.text));
      break;
  }
}

function state(isPaused, hasSaved) {
  paused = isPaused;
  presses = [];
  screen.interrupt();
  $("pause").textContent = paused ? "Go on" : "Pause";
  $("pause").setAttribute("aria-pressed", paused);
  $("restore").disabled = !hasSaved;
}

function painted({ frame, seq: obeyed, spare }) {
  if (!running) return; // a last frame of the world before
  say({ type: "shown", frame, spare: spare === null ? null : Math.max(-60000, Math.min(60000, spare)) });
  const now = performance.now();
  const answered = presses.filter((p) => p.seq <= obeyed);
  if (answered.length === 0) return;
  presses = presses.filter((p) => p.seq > obeyed);
  latencies = [...latencies, ...answered.map((p) => now - p.time)].slice(-50);
}

// ---- keys ---------------------------------------------------------------------------------------------------------------

const held = () => [...sources].filter(([, by]) => by.size > 0).map(([key]) => key).join("");

function press(key, by) {
  const set = sources.get(key);
  if (set.has(by)) return;
  const first = set.size === 0;
  set.add(by);
  if (first) tell(true);
}

function release(key, by) {
  const set = sources.get(key);
  if (set.delete(by) && set.size === 0) tell(false);
}

function releaseAll() {
  const any = held() !== "";
  for (const set of sources.values()) set.clear();
  if (any) tell(false);
}

function tell(isPress) {
  const now = held();
  for (const key of sources.keys()) $(`key-${key}`).classList.toggle("held", now.includes(key));
  if (!running) return;
  seq += 1;
  if (isPress && !paused) presses.push({ seq, time: performance.now() });
  say({ type: "keys", held: now, seq });
}

function buildPads() {
  for (const [pad, keys] of Object.entries(PADS)) {
    for (const [key, place, word] of keys) {
      sources.set(key, new Set());
      const button = element("button", `key ${place}`, element("b", "", key.toUpperCase()), element("small", "", word));
      button.id = `key-${key}`;
      button.tabIndex = -1;
      button.setAttribute("aria-label", `${pad} ${word}`);
      button.onpointerdown = (e) => {
        e.preventDefault();
        button.setPointerCapture(e.pointerId);
        press(key, e.pointerId);
      };
      for (const end of ["pointerup", "pointercancel", "lostpointercapture"]) {
        button.addEventListener(end, (e) => release(key, e.pointerId));
      }
      button.oncontextmenu = (e) => e.preventDefault();
      $(pad).append(button);
    }
  }
}

addEventListener("keydown", (e) => {
  if ($("stage").hidden || e.ctrlKey || e.metaKey || e.altKey) return;
  if (e.target instanceof HTMLInputElement) {
    if (e.code === "Escape") e.target.blur();
    return;
  }
  if (e.code in CODES) {
    e.preventDefault();
    if (!e.repeat) press(CODES[e.code], e.code);
  } else if (e.code === "Space" && !e.repeat && !(e.target instanceof HTMLButtonElement)) {
    e.preventDefault();
    $("pause").click();
  }
});
addEventListener("keyup", (e) => e.code in CODES && release(CODES[e.code], e.code));
addEventListener("blur", releaseAll);
addEventListener("pagehide", () => socket.close()); // a page kept in the browser's cache would keep its place in the house
document.addEventListener("visibilitychange", () => {
  releaseAll();
  screen.interrupt();
});

// ---- beginning and leaving ----------------------------------------------------------------------------------------------

function begin(start) {
  if (socket?.readyState !== WebSocket.OPEN) return toast("There is no connection to the server yet.");
  opening = { type: "start", seed: Math.floor(Math.random() * 2 ** 31), ...start };
  latencies = [];
  waiting = true;
  running = false;
  say(opening);
  $("gallery").hidden = true;
  $("stage").hidden = false;
  veil("Opening …");
  scrollTo(0, 0);
}

function leave() {
  releaseAll();
  if (running) say({ type: "pause" });
  opening = null;
  waiting = running = false;
  $("stage").hidden = true;
  $("gallery").hidden = false;
}

async function beginWith(file) {
  const limit = world?.limits.image_bytes ?? 8 * 2 ** 20;
  let blob = file;
  if (file.size > DOWNSCALE) blob = (await smaller(file)) ?? file;
  if (blob.size > limit) return toast(`The picture is larger than ${Math.floor(limit / 2 ** 20)} MB; choose a smaller one.`);
  const bytes = new Uint8Array(await blob.arrayBuffer());
  let text = "";
  for (let i = 0; i < bytes.length; i += 32768) text += String.fromCharCode(...bytes.subarray(i, i + 32768));
  begin({ image: btoa(text), prompt: $("prompt").value.trim() });
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

async function refresh() {
  const answer = await fetch("api/world").catch(() => null);
  if (!answer?.ok) return;
  world = await answer.json();
  document.title = `${world.name} · dreamx`;
  $("prompt").maxLength = $("event-text").maxLength = world.limits.prompt_characters;
  const own = card(element("span", "own", "+"), "A picture of your own");
  own.id = "own";
  own.onclick = () => $("file").click();
  const cards = world.starts.map(({ id, prompt, thumbnail }) => {
    const image = Object.assign(element("img"), { src: thumbnail, alt: prompt || id, loading: "lazy" });
    const one = card(image, prompt || id);
    one.onclick = () => begin({ start: id });
    return one;
  });
  $("starts").replaceChildren(own, ...cards);
}

// ---- small parts --------------------------------------------------------------------------------------------------------

function element(tag, className = "", ...children) {
  const node = document.createElement(tag);
  node.className = className;
  node.append(...children);
  return node;
}

function card(picture, words) {
  return element("button", "start", picture, element("span", "", words));
}

function link(state, text) {
  $("link").dataset.state = state;
  $("link").textContent = text;
}

function veil(text, offer = false) {
  $("veil").hidden = text === null;
  $("veil-text").textContent = text ?? "";
  $("veil-button").hidden = !offer;
}

let toastTimer = 0;
function toast(text) {
  $("toast").textContent = text;
  $("toast").hidden = false;
  clearTimeout(toastTimer);
  toastTimer = setTimeout(() => ($("toast").hidden = true), 6000);
}

const sentence = (text) => text[0].toUpperCase() + text.slice(1) + (/[.!?]$/.test(text) ? "" : ".");

$("home").onclick = leave;
$("veil-button").onclick = $("again").onclick = () => opening && begin(opening);
$("pause").onclick = () => running && say({ type: paused ? "resume" : "pause" });
$("save").onclick = () => running && say({ type: "save" });
$("restore").onclick = () => running && say({ type: "restore" });
$("crisp").onclick = () => {
  screen.crisp = !screen.crisp;
  $("canvas").classList.toggle("crisp", screen.crisp);
  $("crisp").setAttribute("aria-pressed", screen.crisp);
};
$("words").onsubmit = (e) => {
  e.preventDefault();
  const prompt = $("prompt").value.trim();
  if (prompt) begin({ prompt });
  else toast("Say in a few words what the place looks like.");
};
$("event").onsubmit = (e) => {
  e.preventDefault();
  const text = $("event-text").value.trim();
  if (text && running) say({ type: "event", text });
  $("event-text").value = "";
  $("event-text").blur();
};
$("file").onchange = ({ target }) => {
  if (target.files[0]) beginWith(target.files[0]);
  target.value = "";
};
for (const button of document.querySelectorAll(".buttons button")) button.addEventListener("click", () => button.blur());

let over = 0; // drags enter and leave every element they cross
addEventListener("dragenter", () => ($("drop").hidden = ++over === 0));
addEventListener("dragleave", () => ($("drop").hidden = --over === 0));
addEventListener("dragover", (e) => e.preventDefault());
addEventListener("drop", (e) => {
  e.preventDefault();
  over = 0;
  $("drop").hidden = true;
  if (e.dataTransfer.files[0]) beginWith(e.dataTransfer.files[0]);
});

setInterval(() => {
  if ($("stage").hidden) return;
  $("hud-fps").textContent = screen.fps.toFixed(1);
  $("hud-fps").classList.toggle("slow", running && !paused && screen.fps < 0.9 * world.fps);
  if (latencies.length) $("hud-key").textContent = `${Math.round(latencies.at(-1))} ms`;
}, 250);

buildPads();
connect();
