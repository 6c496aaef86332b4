// The page of the study: whose turn it is, two videos that play as one, four questions.

const $ = (id) => document.getElementById(id);
const ASKED = {
  overall: ["Overall", "which would you rather have?"],
  quality: ["Visual quality", "sharp, natural, well lit"],
  camera: ["Camera", "moves smoothly and as if in a real place"],
  artifacts: ["Fewer mistakes", "nothing melts, pops up or vanishes"],
};
const SAID = { left: "Left", tie: "Same", right: "Right" };

const study = { person: "", trials: [], at: 0, said: {}, since: 0, questions: [], choices: [], sending: false };
window.study = study; // for tests

async function ask(address, options) {
  const answer = await fetch(address, options);
  const words = await answer.json().catch(() => null);
  if (!answer.ok) throw new Error(typeof words?.detail === "string" ? words.detail : `the server says ${answer.status}`);
  return words;
}

function show(id) {
  for (const main of document.querySelectorAll("main")) main.hidden = main.id !== id;
  scrollTo(0, 0);
}

function trouble(words) {
  $("trouble").textContent = words;
  $("trouble").hidden = !words;
}

function progress() {
  const done = study.trials.filter((t) => t.said).length;
  $("bar").hidden = false;
  $("done").style.width = `${(100 * done) / study.trials.length}%`;
  $("count").textContent = `${done} of ${study.trials.length}`;
}

function open(at) {
  study.at = at;
  const trial = study.trials[at];
  study.said = { ...trial.said };
  study.since = performance.now();
  trouble("");
  $("words").textContent = trial.words;
  $("words").hidden = !trial.words;
  for (const side of ["left", "right"]) {
    $(side).src = trial[side];
    $(side).load();
  }
  mark();
  progress();
  $("back").disabled = at === 0;
  show("trial");
  play();
}

// Both start at the same moment, once both can, and both wait for the longer one's end.
let round = 0;
async function play() {
  const mine = ++round;
  const both = [$("left"), $("right")];
  for (const video of both) video.pause();
  await Promise.all(both.map((video) => ready(video)));
  if (mine !== round) return;
  for (const video of both) {
    video.currentTime = 0;
    video.playbackRate = $("slow").ariaPressed === "true" ? 0.5 : 1;
  }
  // A browser may refuse to play without a click; then "Play again" is that click.
  await Promise.all(both.map((video) => video.play().catch(() => {})));
}

function ready(video) {
  if (video.readyState >= 3) return Promise.resolve();
  return new Promise((resolve) => {
    video.addEventListener("canplay", resolve, { once: true });
    video.addEventListener("error", resolve, { once: true });
  });
}

$("left").addEventListener("loadedmetadata", () => {
  $("pair").style.setProperty("--aspect", $("left").videoWidth / $("left").videoHeight);
});
for (const side of ["left", "right"]) {
  $(side).addEventListener("ended", () => {
    if ($("left").ended && $("right").ended) play();
  });
  $(side).addEventListener("error", async () => {
    if (!$(side).getAttribute("src")) return;
    const words = await ask($(side).src).then(() => "it is not readable", (e) => e.message);
    trouble(`The ${side} video does not play: ${words}. Skip this trial and tell whoever asked you.`);
    $("next").disabled = false;
    $("next").textContent = "Skip";
  });
}

function build() {
  $("ask").replaceChildren(...study.questions.map((question) => {
    const [name, hint] = ASKED[question] ?? [question, ""];
    const set = document.createElement("fieldset");
    const legend = document.createElement("legend");
    const text = document.createElement("span");
    const small = document.createElement("small");
    text.textContent = name;
    small.textContent = hint;
    text.append(small);
    legend.append(text);
    const choices = document.createElement("div");
    choices.className = "choices";
    choices.role = "radiogroup";
    choices.ariaLabel = name;
    for (const choice of study.choices) {
      const button = document.createElement("button");
      button.type = "button";
      button.role = "radio";
      button.textContent = SAID[choice] ?? choice;
      button.dataset.question = question;
      button.dataset.choice = choice;
      button.addEventListener("click", () => say(question, choice));
      choices.append(button);
    }
    set.append(legend, choices);
    return set;
  }));
}

function say(question, choice) {
  study.said[question] = choice;
  mark();
}

function mark() {
  for (const button of document.querySelectorAll(".choices button")) {
    button.ariaChecked = String(study.said[button.dataset.question] === button.dataset.choice);
  }
  $("next").textContent = "Next";
  $("next").disabled = study.questions.some((q) => !study.said[q]);
}

async function next() {
  if (study.sending || $("next").disabled) return;
  const trial = study.trials[study.at];
  if (study.questions.every((q) => study.said[q])) {
    study.sending = true;
    $("next").disabled = true;
    try {
      const seconds = (performance.now() - study.since) / 1000;
      const body = JSON.stringify({ person: study.person, trial: trial.name, said: study.said, seconds });
      await ask("answers", { method: "POST", headers: { "content-type": "application/json" }, body });
      trial.said = { ...study.said };
    } catch (error) {
      trouble(`This answer was not kept: ${error.message}. Press Next again.`);
      $("next").disabled = false;
      return;
    } finally {
      study.sending = false;
    }
  }
  go();
}

function go() {
  const open_ = study.trials.findIndex((t, i) => i > study.at && !t.said);
  if (open_ >= 0) open(open_);
  else if (study.at + 1 < study.trials.length) open(study.at + 1);
  else finish();
}

function finish() {
  round++;
  for (const side of ["left", "right"]) $(side).pause();
  progress();
  const missing = study.trials.findIndex((t) => !t.said);
  if (missing >= 0 && missing !== study.at) return open(missing);
  $("all").textContent = String(study.trials.filter((t) => t.said).length);
  show("end");
}

$("enter").addEventListener("submit", async (event) => {
  event.preventDefault();
  study.person = $("person").value.trim();
  if (!study.person) return;
  Object.assign(study, await ask("questions"));
  study.trials = await ask(`trials?person=${encodeURIComponent(study.person)}`);
  try { localStorage.setItem("study-person", study.person); } catch { /* a browser may forbid it */ }
  build();
  const first = study.trials.findIndex((t) => !t.said);
  if (first < 0) { study.at = study.trials.length - 1; finish(); } else open(first);
});
$("again").addEventListener("click", play);
$("slow").addEventListener("click", () => {
  $("slow").ariaPressed = String($("slow").ariaPressed !== "true");
  play();
});
$("back").addEventListener("click", () => open(study.at - 1));
$("next").addEventListener("click", next);
$("over").addEventListener("click", () => open(0));
addEventListener("keydown", (event) => {
  if ($("trial").hidden || event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.code === "Space" && event.target.tagName !== "BUTTON") { event.preventDefault(); play(); }
});
try { $("person").value = localStorage.getItem("study-person") ?? ""; } catch { /* a browser may forbid it */ }
