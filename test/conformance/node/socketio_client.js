// Socket.IO's own client, in Node or, with the argument "chromium", in pages
// that come through the proxy, each with cookies of its own. Steps come as JSON
// lines, see socketio_test.go, and the state of every client goes back.
"use strict";

const fs = require("node:fs");
const path = require("node:path");
const { serve } = require("./script.js");

// inNode plays the steps here.
function inNode() {
  const { io } = require("socket.io-client");
  require("./socketio_play.js");
  return async ({ step, url, ca, count, options, by }) => {
    if (step === "open") {
      return globalThis.play.open(io, url, count, { ...options, ca: ca && fs.readFileSync(ca) });
    }
    return globalThis.play[step](by);
  };
}

// inPages plays each step in all pages at once; the first opens them.
async function inPages() {
  const { launch } = require("./browser.js");
  const browser = await launch();
  const pages = [];
  async function visit(url) {
    const context = await browser.newContext({ ignoreHTTPSErrors: true });
    context.setDefaultTimeout(120_000);
    const page = await context.newPage();
    await page.goto(url);
    await page.addScriptTag({ path: path.join(__dirname, "socketio_play.js") });
    return page;
  }
  return async ({ step, url, pages: wanted, count, options, by }) => {
    if (step === "open") {
      for (let i = 0; i < wanted; i++) pages.push(await visit(url));
    }
    const states = await Promise.all(
      pages.map((page, i) =>
        step === "open"
          ? page.evaluate(([count, options]) => play.open(io, undefined, count, options), [count, options])
          : page.evaluate(([step, by]) => play[step](by), [step, by]),
      ),
    );
    return states.flatMap((page, i) => page.map((state) => ({ ...state, page: i })));
  };
}

async function main() {
  const play = process.argv[2] === "chromium" ? await inPages() : inNode();
  await serve(async (script, outcome) => (outcome.clients = await play(script)));
  process.exit();
}

main();
