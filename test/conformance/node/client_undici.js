// A client on undici, whose WebSocket has the browser's interface. It always
// offers permessage-deflate, never fragments and shows no refusal.
"use strict";

const fs = require("node:fs");
const { Agent, WebSocket } = require("undici");
const { serve, load, seen, Queue } = require("./script.js");

function open(script) {
  const connect = script.ca ? { ca: fs.readFileSync(script.ca) } : {};
  const socket = new WebSocket(script.url, {
    protocols: script.subprotocols ?? [],
    dispatcher: new Agent({ connect }),
  });
  socket.binaryType = "arraybuffer";
  return socket;
}

async function talk(socket, script, outcome, messages) {
  for (const message of script.send ?? []) {
    socket.send(load(message));
    const echo = await messages.take();
    if (echo === undefined) return;
    outcome.received.push(echo);
  }
  if (script.close) socket.close(script.close.code, script.close.reason);
}

serve(async (script, outcome) => {
  const socket = open(script);
  const messages = new Queue();
  socket.onmessage = (event) => messages.put(seen(event.data));
  socket.onerror = (event) => (outcome.failed = event.error?.message ?? "an error event");
  const closed = new Promise((resolve) => {
    socket.onclose = (event) => {
      messages.end();
      resolve({ code: event.code, reason: event.reason });
    };
  });
  const opened = await new Promise((resolve) => {
    socket.onopen = () => resolve(true);
    closed.then(() => resolve(false));
  });
  if (opened) {
    outcome.status = 101;
    outcome.subprotocol = socket.protocol;
    outcome.extensions = socket.extensions;
    await talk(socket, script, outcome, messages);
  }
  outcome.close = await closed;
});
