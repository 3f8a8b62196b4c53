// A client on the Node library ws.
"use strict";

const { once } = require("node:events");
const fs = require("node:fs");
const WebSocket = require("ws");
const { serve, load, seen, Queue } = require("./script.js");

function open(script) {
  return new WebSocket(script.url, script.subprotocols ?? [], {
    perMessageDeflate: script.deflate ? { threshold: 0 } : false,
    maxPayload: 64 << 20,
    ca: script.ca && fs.readFileSync(script.ca),
  });
}

// handshake fills in the outcome and says whether there is a connection.
function handshake(socket, outcome) {
  return new Promise((resolve, reject) => {
    socket.on("upgrade", (response) => {
      outcome.status = response.statusCode;
      outcome.extensions = response.headers["sec-websocket-extensions"] ?? "";
    });
    socket.once("open", () => {
      outcome.subprotocol = socket.protocol;
      resolve(true);
    });
    socket.once("unexpected-response", async (request, response) => {
      outcome.status = response.statusCode;
      outcome.headers = response.headers;
      outcome.body = Buffer.concat(await response.toArray()).toString();
      resolve(false);
    });
    socket.once("error", reject);
  });
}

async function ping(socket, payload) {
  socket.ping(payload);
  const [pong] = await once(socket, "pong");
  return pong.toString();
}

async function send(socket, message) {
  const data = load(message);
  if (!message.fragments) return socket.send(data);
  const bytes = Buffer.from(data);
  const size = Math.max(1, Math.ceil(bytes.length / message.fragments));
  for (let start = 0; start < bytes.length; start += size) {
    const fin = start + size >= bytes.length;
    socket.send(bytes.subarray(start, start + size), { binary: !message.text, fin });
    if (message.ping && !fin) await ping(socket, message.ping);
  }
}

async function talk(socket, script, outcome, messages) {
  if (script.ping) outcome.pong = await ping(socket, script.ping);
  for (const message of script.send ?? []) {
    await send(socket, message);
    const echo = await messages.take();
    if (echo === undefined) return;
    outcome.received.push(echo);
  }
  if (script.close) socket.close(script.close.code, script.close.reason);
}

serve(async (script, outcome) => {
  const socket = open(script);
  const messages = new Queue();
  socket.on("message", (data, binary) => messages.put(seen(binary ? data : data.toString())));
  const closed = new Promise((resolve) => {
    socket.on("close", (code, reason) => {
      messages.end();
      resolve({ code, reason: reason.toString() });
    });
  });
  if (!(await handshake(socket, outcome))) return;
  socket.on("error", (error) => (outcome.error = error.message));
  await talk(socket, script, outcome, messages);
  outcome.close = await closed;
});
