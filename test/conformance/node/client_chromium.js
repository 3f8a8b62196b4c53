// A client in a browser: Chromium's own WebSocket, in a page that this script
// serves. It always offers permessage-deflate, can neither ping nor choose its
// frames, and shows no refusal.
"use strict";

const fs = require("node:fs");
const http = require("node:http");
const path = require("node:path");
const { launch } = require("./browser.js");
const { serve } = require("./script.js");

// Runs in the page.
async function play(script) {
  const hex = (bytes) => Array.from(new Uint8Array(bytes), (b) => b.toString(16).padStart(2, "0")).join("");
  async function seen(data) {
    const text = typeof data === "string";
    const bytes = text ? new TextEncoder().encode(data) : data;
    return { text, size: bytes.byteLength, sha256: hex(await crypto.subtle.digest("SHA-256", bytes)) };
  }
  async function load(message) {
    const response = await fetch(message.file);
    return message.text ? response.text() : response.arrayBuffer();
  }

  const outcome = { received: [] };
  const socket = new WebSocket(script.url, script.subprotocols ?? []);
  socket.binaryType = "arraybuffer";
  let take = () => {};
  socket.onmessage = (event) => take(event.data);
  socket.onerror = () => (outcome.failed = "an error event");
  const closed = new Promise((resolve) => {
    socket.onclose = (event) => resolve({ code: event.code, reason: event.reason, clean: event.wasClean });
  });
  const opened = new Promise((resolve) => (socket.onopen = () => resolve(true)));
  if (await Promise.race([opened, closed.then(() => false)])) {
    outcome.status = 101;
    outcome.subprotocol = socket.protocol;
    outcome.extensions = socket.extensions;
    for (const message of script.send ?? []) {
      const data = await load(message);
      const echo = new Promise((resolve) => (take = resolve));
      socket.send(data);
      const reply = await Promise.race([echo, closed.then(() => undefined)]);
      if (reply === undefined) break;
      outcome.received.push(await seen(reply));
    }
    if (script.close) socket.close(script.close.code, script.close.reason);
  }
  outcome.close = await closed;
  return outcome;
}

// Serves an empty page, and the messages to send by their file names.
function serveFiles(folder) {
  const server = http.createServer((request, response) => {
    if (request.url === "/") {
      response.setHeader("Content-Type", "text/html");
      return response.end("<!doctype html><title>conformance</title>");
    }
    const file = path.join(folder, path.basename(request.url));
    if (!fs.existsSync(file)) return response.writeHead(404).end();
    fs.createReadStream(file).pipe(response);
  });
  return new Promise((resolve) => server.listen(0, "127.0.0.1", () => resolve(server)));
}

async function main() {
  const server = await serveFiles(process.argv[2]);
  const browser = await launch();
  const context = await browser.newContext({ ignoreHTTPSErrors: true });
  context.setDefaultTimeout(120_000);
  const page = await context.newPage();
  await page.goto(`http://127.0.0.1:${server.address().port}/`);
  await serve(async (script, outcome) => {
    const send = (script.send ?? []).map((message) => ({ ...message, file: "/" + path.basename(message.file) }));
    Object.assign(outcome, await page.evaluate(play, { ...script, send }));
  });
  await browser.close();
  process.exit();
}

main();
