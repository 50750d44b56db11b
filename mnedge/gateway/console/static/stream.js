// A stream of events that is read as it comes, and taken up again where it broke off.

const SILENCE_MS = 45000; // the server gives a sign of life every 15 s
const LONGEST_WAIT_MS = 20000;

export class Stream {
  // `path`: what to read. `after`: the last number that is known; empty: from now on.
  // `told(record, type)`, `state("live" | "lost" | "ended" | "resting")`.
  constructor(path, after, { told, state }) {
    this.path = path;
    this.last = after;
    this.told = told;
    this.state = state;
    this.over = false;
    this.reading = null;
    this.failures = 0;
    this.timer = 0;
    this.watch = 0;
  }

  open() {
    if (this.over || this.reading) return;
    clearTimeout(this.timer);
    const reading = new AbortController();
    this.reading = reading;
    this.read(reading).then(
      () => this.closed(reading, null),
      (error) => this.closed(reading, error),
    );
  }

  // Nobody looks: nothing is read until `open`.
  rest() {
    clearTimeout(this.timer);
    clearTimeout(this.watch);
    const reading = this.reading;
    this.reading = null;
    if (reading) reading.abort();
    if (!this.over) this.state("resting");
  }

  // Something else could not reach the node: what is read may have ended unnoticed.
  doubt() {
    if (this.reading) this.reading.abort();
  }

  closed(reading, error) {
    if (this.reading !== reading) return; // it was told to rest
    this.reading = null;
    clearTimeout(this.watch);
    if (this.over) {
      this.state("ended");
      return;
    }
    if (error && error.gone) {
      this.over = true;
      this.state("lost", error.message);
      return;
    }
    this.failures += 1;
    if (this.failures > 1 || error) this.state("lost", error && error.why);
    const wait = Math.min(LONGEST_WAIT_MS, 500 * 2 ** Math.min(this.failures, 6));
    this.timer = setTimeout(() => this.open(), wait * (0.75 + Math.random() / 2));
  }

  async read(reading) {
    const headers = { Accept: "text/event-stream" };
    if (this.last) headers["Last-Event-ID"] = this.last;
    const answer = await fetch(this.path, { headers, signal: reading.signal, cache: "no-store" });
    if (answer.status === 401 || answer.status === 403 || answer.status === 404) {
      const error = new Error(answer.status === 401 ? "signed out" : "not available");
      error.gone = true;
      throw error;
    }
    if (!answer.ok || !answer.body) {
      const error = new Error(`status ${answer.status}`);
      if (answer.status === 429 || answer.status === 503) error.why = "the node is busy, retrying";
      throw error;
    }
    this.state("live");
    const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
    let rest = "";
    for (;;) {
      clearTimeout(this.watch);
      this.watch = setTimeout(() => reading.abort(), SILENCE_MS);
      const { value, done } = await reader.read();
      if (done || this.reading !== reading) return;
      this.failures = 0;
      const pieces = (rest + value).split(/\r?\n\r?\n/);
      rest = pieces.pop();
      for (const piece of pieces) this.take(piece);
    }
  }

  take(piece) {
    let type = "message";
    const lines = [];
    for (const line of piece.split(/\r?\n/)) {
      if (line.startsWith("event:")) type = line.slice(6).trim();
      else if (line.startsWith("id:")) this.last = line.slice(3).trim();
      else if (line.startsWith("data:")) lines.push(line.slice(5).replace(/^ /, ""));
    }
    if (type === "end") {
      this.over = true;
    }
    let record = null;
    try {
      record = lines.length ? JSON.parse(lines.join("\n")) : null;
    } catch {
      record = null;
    }
    if (lines.length || type !== "message") this.told(record, type);
  }
}
