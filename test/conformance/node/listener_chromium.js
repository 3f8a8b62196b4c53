// Clients in a browser that listen to streams: Chromium's own WebSocket and
// EventSource, in the page whose address is the argument.
//
// The first line of standard input is a list of them in JSON, see listener in
// listener_test.go. A WebSocket counts what it gets and comes back where it was
// cut off; an EventSource is left to the browser. What they tell goes out as
// JSON lines.
"use strict";

const readline = require("node:readline");
const { launch } = require("./browser.js");

// Runs in the page.
async function listen(told) {
  const hex = (bytes) => Array.from(new Uint8Array(bytes), (b) => b.toString(16).padStart(2, "0")).join("");
  async function seen(data) {
    const text = typeof data === "string";
    const bytes = text ? new TextEncoder().encode(data) : data;
    return { text, size: bytes.byteLength, sha256: hex(await crypto.subtle.digest("SHA-256", bytes)) };
  }
  const next = (offset) => offset.replace(/\d+$/, (n) => Number(n) + 1);
  const received = [];
  const heard = { error: "", extensions: "" };
  const done = () => heard.error !== "" || received.length >= told.count;
  const opened = () => window.tell({ name: told.name, opened: true });
  let offset; // of the next message

  function announced(text) {
    const { sluice } = JSON.parse(text);
    if (sluice.gap !== 0) heard.error = `a gap: ${text}`;
    if (offset && offset !== sluice.offset) heard.error = `asked for ${offset}, got ${text}`;
    offset = sluice.offset;
  }

  // One connection; it can't see headers, so it has the offset announced.
  function session() {
    const url = told.url + (told.announce ? "?sluice_announce=1" : "") + (offset ? `&sluice_from=${offset}` : "");
    const socket = new WebSocket(url);
    socket.binaryType = "arraybuffer";
    socket.onopen = () => {
      heard.extensions = socket.extensions;
      opened();
    };
    let first = told.announce;
    socket.onmessage = ({ data }) => {
      if (done()) return;
      if (first) announced(data);
      else {
        received.push(data);
        if (told.announce) offset = next(offset);
      }
      first = false;
      if (done()) socket.close();
    };
    return new Promise((resolve) => (socket.onclose = resolve));
  }

  function events() {
    const source = new EventSource(told.url);
    return new Promise((resolve) => {
      const fail = (what) => {
        heard.error = what;
        resolve(source.close());
      };
      const take = (data, id) => {
        if (done()) return;
        if (offset && id !== next(offset)) fail(`after ${offset} came ${id}`);
        offset = id;
        received.push(data);
        if (done()) resolve(source.close());
      };
      source.onopen = opened;
      source.onerror = () => source.readyState === EventSource.CLOSED && fail("the browser gave up");
      source.onmessage = ({ data, lastEventId }) => take(data, lastEventId);
      source.addEventListener("binary", ({ data, lastEventId }) =>
        take(Uint8Array.from(atob(data), (c) => c.charCodeAt(0)), lastEventId),
      );
      source.addEventListener("sluice", ({ data }) => fail(`a gap: ${data}`));
    });
  }

  if (told.events) await events();
  else {
    while (!done()) {
      await session();
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
  }
  heard.received = await Promise.all(received.map(seen));
  window.tell({ name: told.name, heard });
}

async function main() {
  const input = readline.createInterface({ input: process.stdin });
  const line = new Promise((resolve) => input.once("line", resolve));
  const ended = new Promise((resolve) => input.once("close", resolve));
  const browser = await launch();
  ended.then(() => browser.close()).finally(() => process.exit());
  const context = await browser.newContext({ ignoreHTTPSErrors: true });
  const page = await context.newPage();
  await page.exposeFunction("tell", (news) => console.log(JSON.stringify(news)));
  await page.goto(process.argv[2]);
  for (const told of JSON.parse(await line)) page.evaluate(listen, told).catch(console.error);
}

main();
