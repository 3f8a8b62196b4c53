// What the Node clients share: scripts come as JSON lines, see client in
// client_test.go, and one answer goes back for each.
"use strict";

const crypto = require("node:crypto");
const fs = require("node:fs");
const readline = require("node:readline");

// within settles as promise does, or fails after so many seconds.
function within(seconds, promise) {
  let timer;
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error(`nothing within ${seconds} s`)), seconds * 1000);
  });
  return Promise.race([promise, late]).finally(() => clearTimeout(timer));
}

// serve plays the scripts one after another. play gets the script and an
// outcome to fill in.
async function serve(play) {
  for await (const line of readline.createInterface({ input: process.stdin })) {
    const script = JSON.parse(line);
    const outcome = { received: [] };
    try {
      await within(script.timeout, play(script, outcome));
    } catch (error) {
      outcome.error = error.stack ?? String(error);
    }
    console.log(JSON.stringify(outcome));
  }
}

function load(message) {
  const data = fs.readFileSync(message.file);
  return message.text ? data.toString() : data;
}

// seen describes a message that came: a string or bytes.
function seen(data) {
  const text = typeof data === "string";
  const bytes = Buffer.from(data);
  return { text, size: bytes.length, sha256: crypto.createHash("sha256").update(bytes).digest("hex") };
}

// Queue hands out what was put into it, in order; take waits. After end, take
// gives undefined.
class Queue {
  #items = [];
  #waiting = [];
  #ended = false;

  put(item) {
    const take = this.#waiting.shift();
    if (take) take(item);
    else this.#items.push(item);
  }

  end() {
    this.#ended = true;
    for (const take of this.#waiting.splice(0)) take(undefined);
  }

  take() {
    if (this.#items.length > 0) return Promise.resolve(this.#items.shift());
    if (this.#ended) return Promise.resolve(undefined);
    return new Promise((resolve) => this.#waiting.push(resolve));
  }
}

module.exports = { serve, within, load, seen, Queue };
