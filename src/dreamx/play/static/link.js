// The one socket: opened, and opened again by itself when it is lost or the server is full. play/client_messages.py says what is said.

const FIRST_WAIT = 0.5; // seconds to the first new attempt; each further one waits longer
const LONGEST_WAIT = 8;
const TOO_LARGE = 1009; // codes of closed sockets
const REFUSED = 1008;
const FULL = 1013;
const FULL_WAIT = 10; // seconds, where the server did not say how long

// heard(message) gets what the server says, pictured(buffer) its pictures, and status(state, text, seconds) how the line is:
// "wait", "open", "gone" or "busy", a sentence, and the seconds until it is tried again (null: it is not).
export class Link {
  constructor({ heard, pictured, status }) {
    Object.assign(this, { heard, pictured, status });
    this.socket = null;
    this.wait = FIRST_WAIT;
    this.timer = 0;
    this.shown = ""; // what status was told last
  }

  get isOpen() {
    return this.socket?.readyState === WebSocket.OPEN;
  }

  say(message) {
    if (this.isOpen) this.socket.send(JSON.stringify(message));
    return this.isOpen;
  }

  // Open it now, whatever was waited for.
  open() {
    clearInterval(this.timer);
    this.close();
    const url = new URL("socket", location.href);
    url.protocol = url.protocol.replace("http", "ws");
    url.search = url.hash = "";
    const socket = (this.socket = new WebSocket(url));
    socket.binaryType = "arraybuffer";
    let busy = null;
    let greeted = false;
    socket.onmessage = ({ data }) => {
      if (socket !== this.socket) return;
      if (typeof data !== "string") return this.pictured(data);
      const message = JSON.parse(data);
      if (message.type === "busy") {
        busy = message;
        return socket.close();
      }
      if (message.type === "hello") {
        greeted = true;
        this.wait = FIRST_WAIT;
        this.#tell("open", "", null);
      }
      this.heard(message);
    };
    socket.onclose = ({ code, reason }) => {
      if (socket !== this.socket) return; // a newer one took its place
      this.socket = null;
      if (busy) return this.#later("busy", busy.text, busy.retry_seconds);
      if (code === FULL) return this.#later("busy", "Too many people are here", FULL_WAIT);
      if (code === REFUSED) return this.#tell("gone", reason || "The server refused this page", null);
      if (code === TOO_LARGE) this.heard({ type: "error", text: "that was too large for the server; send something smaller" });
      this.#later("gone", greeted ? "The connection to the server is lost" : "The server does not answer", this.wait);
      this.wait = Math.min(this.wait * 1.6, LONGEST_WAIT);
      if (!greeted) this.#askWhy();
    };
  }

  // Close it and leave it closed. Its own end is not told: whoever closes it knows.
  close() {
    const socket = this.socket;
    this.socket = null;
    socket?.close();
  }

  // A browser does not say why a socket was refused. Where it was for want of the token or because of where this page comes from,
  // waiting does not help; where pages come through and sockets do not, something between does not pass them on.
  async #askWhy() {
    const answer = await fetch(`api/origin?of=${encodeURIComponent(location.origin)}`).catch(() => null);
    if (this.socket || !answer) return;
    const final = (text) => {
      clearInterval(this.timer);
      this.#tell("gone", text, null);
    };
    if (answer.status === 401 || answer.status === 403) return final("The server wants its token: open the whole address that it printed");
    const said = answer.ok ? await answer.json().catch(() => null) : null;
    if (said?.allowed === false) return final(said.text);
    if (said?.allowed) this.#later("gone", "This page comes through, but its socket does not: a proxy must pass on Upgrade and Connection", this.wait);
  }

  #later(state, text, seconds) {
    const due = performance.now() + seconds * 1000;
    clearInterval(this.timer);
    const count = () => {
      const left = (due - performance.now()) / 1000;
      if (left <= 0) this.open();
      else this.#tell(state, text, Math.ceil(left));
    };
    this.timer = setInterval(count, 100);
    count();
  }

  #tell(state, text, seconds) {
    const now = `${state} ${text} ${seconds}`;
    if (now === this.shown) return;
    this.shown = now;
    this.status(state, text, seconds);
  }
}
