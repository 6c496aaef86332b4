// The path walked, from above. Up is where the walk began to look; the arrow is now, flags are bookmarks, and the views that
// memory brought back light up where they were seen.

const SPAN = 5; // metres the map shows at least, across
const JUMP = 0.2; // metres a frame: nobody walks so fast, so a bookmark was gone back to
const STILL = 0.01; // metres a chunk: less is standing
const LONGEST = 5000; // chunks of the path, and a tenth as many remembered views, are kept
const FADE = 1600; // ms that a remembered view glows
const CALM = matchMedia("(prefers-reduced-motion: reduce)");

export class WalkMap {
  constructor(canvas) {
    this.canvas = canvas;
    this.context = canvas.getContext("2d");
    this.size = [0, 0];
    new ResizeObserver(([entry]) => {
      this.size = [entry.contentRect.width, entry.contentRect.height];
      this.draw();
    }).observe(canvas);
    this.reset();
  }

  reset() {
    // [x, z, heading, chunk, 1 if it was walked to from the one before]: metres to the right and forward, degrees to the right
    this.path = [[0, 0, 0, 0, 0]];
    this.coming = new Map(); // chunk -> what the server said of it, until it is painted
    this.here = [0, 0, 0];
    this.views = new Map(); // "x z heading" -> {place, lit, packed}: views that memory brought back, when last, and by which
    this.flags = new Map(); // id of a bookmark -> [x, z]
    this.walls = new Map(); // "x z" -> [x, z, heading]: where a wall was in the way
    this.frame = null; // what is in sight: centre and metres across, follows smoothly
    this.draw();
  }

  // A chunk is on its way: frames of it will be painted.
  expect({ chunk, frames, pose, recalled, packed, stopped }) {
    if (pose) this.coming.set(chunk, { frames, pose, recalled: recalled ?? [], packed: packed ?? [], stopped, painted: 0 });
  }

  // A frame of that chunk was painted.
  painted(chunk) {
    const one = this.coming.get(chunk);
    if (!one) return;
    if (one.painted === 0) {
      for (const number of this.coming.keys()) if (number < chunk) this.coming.delete(number);
      const lit = performance.now();
      for (const place of one.recalled) this.views.set(place.map((x) => x.toFixed(1)).join(" "), { place, lit });
      for (const place of one.packed) this.views.set(`packed ${place[3]} ${place[2].toFixed(1)}`, { place, lit, packed: true });
      for (const key of [...this.views.keys()].slice(0, -LONGEST / 10)) this.views.delete(key);
      if (one.stopped) this.walls.set(one.pose.slice(0, 2).map((x) => x.toFixed(1)).join(" "), one.pose.slice(0, 3));
      for (const key of [...this.walls.keys()].slice(0, -LONGEST / 10)) this.walls.delete(key);
      one.from = this.path.at(-1);
      const far = Math.hypot(one.pose[0] - one.from[0], one.pose[1] - one.from[1]);
      const stood = far < STILL;
      one.walked = stood || (one.frames > 1 && far < JUMP * one.frames); // a chunk of one frame is where one landed
      const before = stood ? this.path.pop()[4] : Number(one.walked);
      this.path.push([...one.pose.slice(0, 3), chunk, before]);
      if (this.path.length > LONGEST) this.path.shift();
    }
    one.painted = Math.min(one.painted + 1, one.frames);
    const share = one.walked ? one.painted / one.frames : 1;
    const turn = ((one.pose[2] - one.from[2] + 540) % 360) - 180;
    this.here = [
      one.from[0] + share * (one.pose[0] - one.from[0]),
      one.from[1] + share * (one.pose[1] - one.from[1]),
      one.from[2] + share * turn,
    ];
    this.draw();
  }

  // The bookmarks there are. One that is new stands where the server is now: at the end of what it has made.
  mark(moments) {
    const now = [...this.coming.values()].at(-1)?.pose ?? this.here;
    this.flags = new Map(moments.map(({ id }) => [id, this.flags.get(id) ?? now.slice(0, 2)]));
    this.draw();
  }

  // For a page that is loaded again: what has to be kept, and to take it back.
  get memory() {
    return { path: this.path.map((p) => p.map((x) => Math.round(x * 100) / 100)), flags: [...this.flags] };
  }

  remember(memory) {
    this.reset();
    if (!memory?.path?.length) return;
    this.path = memory.path;
    this.flags = new Map(memory.flags);
    this.here = this.path.at(-1).slice(0, 3);
    this.draw();
  }

  // ---- drawing ------------------------------------------------------------------------------------------------------------

  draw() {
    const [width, height] = this.size;
    if (!width || !height) return;
    const dpr = globalThis.devicePixelRatio || 1;
    this.canvas.width = Math.round(width * dpr);
    this.canvas.height = Math.round(height * dpr);
    const c = this.context;
    c.setTransform(dpr, 0, 0, dpr, 0, 0);
    c.clearRect(0, 0, width, height);
    const { x, z, across } = this.#follow();
    const scale = Math.min(width, height) / across;
    const at = ([px, pz]) => [width / 2 + (px - x) * scale, height / 2 - (pz - z) * scale];
    this.#grid(at, across, scale);
    this.#trail(at);
    for (const wall of this.walls.values()) this.#wall(at(wall), wall[2]);
    this.#memories(at);
    [...this.flags.values()].forEach((place, i) => this.#flag(at(place), i + 1));
    this.#arrow(at);
  }

  #follow() {
    const xs = [...this.path.map((p) => p[0]), this.here[0]];
    const zs = [...this.path.map((p) => p[1]), this.here[1]];
    const [left, right, near, far] = [Math.min(...xs), Math.max(...xs), Math.min(...zs), Math.max(...zs)];
    const wanted = { x: (left + right) / 2, z: (near + far) / 2, across: Math.max(SPAN, 1.35 * Math.max(right - left, far - near)) };
    const share = this.frame && !CALM.matches ? 0.12 : 1;
    this.frame ??= wanted;
    for (const name of ["x", "z", "across"]) this.frame[name] += share * (wanted[name] - this.frame[name]);
    return this.frame;
  }

  #grid(at, across, scale) {
    const c = this.context;
    const [width, height] = this.size;
    const step = [1, 2, 5, 10, 20, 50, 100, 200, 500].find((s) => across / s <= 8) ?? 1000; // metres
    const [ox, oz] = at([0, 0]);
    const every = step * scale;
    c.fillStyle = "#ffffff30";
    for (let px = ((ox % every) + every) % every; px < width; px += every) {
      for (let py = ((oz % every) + every) % every; py < height; py += every) c.fillRect(px - 0.75, py - 0.75, 1.5, 1.5);
    }
    if (width < 120) return;
    c.strokeStyle = c.fillStyle = "#8f96a1";
    c.lineWidth = 1;
    c.beginPath();
    c.moveTo(12, height - 16);
    c.lineTo(12, height - 12);
    c.lineTo(12 + every, height - 12);
    c.lineTo(12 + every, height - 16);
    c.stroke();
    c.font = "11px system-ui, sans-serif";
    c.fillText(`${step} m`, 18, height - 17);
  }

  #trail(at) {
    const c = this.context;
    c.lineWidth = 2;
    c.lineJoin = c.lineCap = "round";
    const last = this.path.length - 1;
    c.strokeStyle = "#f0b87299";
    c.beginPath();
    this.path.forEach((p, i) => {
      const [px, py] = at(i === last ? this.here : p);
      if (p[4]) c.lineTo(px, py);
      else c.moveTo(px, py);
    });
    c.stroke();
    const [sx, sy] = at(this.path[0]);
    c.fillStyle = "#8f96a1";
    c.beginPath();
    c.arc(sx, sy, 3, 0, 2 * Math.PI);
    c.fill();
  }

  // A bar across the way.
  #wall([px, py], heading) {
    const c = this.context;
    const way = ((heading - 90) * Math.PI) / 180;
    const [x, y] = [px + 7 * Math.cos(way), py + 7 * Math.sin(way)];
    c.strokeStyle = "#e4e2dcaa";
    c.lineWidth = 2;
    c.beginPath();
    c.moveTo(x - 5 * Math.sin(way), y + 5 * Math.cos(way));
    c.lineTo(x + 5 * Math.sin(way), y - 5 * Math.cos(way));
    c.stroke();
  }

  #memories(at) {
    const now = performance.now();
    for (const { place, lit, packed } of this.views.values()) {
      const glow = Math.max(0, 1 - (now - lit) / FADE);
      const colour = packed ? "140 235 160" : "120 200 255";
      this.#wedge(at(place), place[2], 9 + 3 * glow, `rgb(${colour} / ${0.14 + 0.7 * glow})`, glow);
    }
  }

  // What a view looks at: a small fan from its place.
  #wedge([px, py], heading, reach, colour, glow) {
    const c = this.context;
    const middle = ((heading - 90) * Math.PI) / 180;
    c.fillStyle = colour;
    c.shadowColor = "#78c8ff";
    c.shadowBlur = 12 * glow;
    c.beginPath();
    c.moveTo(px, py);
    c.arc(px, py, reach, middle - 0.5, middle + 0.5);
    c.fill();
    c.shadowBlur = 0;
  }

  #flag([px, py], number) {
    const c = this.context;
    c.fillStyle = "#e4e2dc";
    c.beginPath();
    c.arc(px, py - 11, 7, 0.75 * Math.PI, 0.25 * Math.PI);
    c.lineTo(px, py);
    c.fill();
    c.fillStyle = "#14171c";
    c.font = "bold 9px system-ui, sans-serif";
    c.textAlign = "center";
    c.fillText(String(number), px, py - 8);
    c.textAlign = "start";
  }

  #arrow(at) {
    const c = this.context;
    const [px, py] = at(this.here);
    this.#wedge([px, py], this.here[2], 26, "rgb(240 184 114 / 0.22)", 0);
    c.save();
    c.translate(px, py);
    c.rotate((this.here[2] * Math.PI) / 180);
    c.fillStyle = "#f0b872";
    c.shadowColor = "#f0b872";
    c.shadowBlur = 10;
    c.beginPath();
    c.moveTo(0, -8);
    c.lineTo(5.5, 6);
    c.lineTo(0, 3);
    c.lineTo(-5.5, 6);
    c.fill();
    c.restore();
  }
}
