// A broadcaster on the Node library ws, as its README has it, with compression.
//
// Prints its port and then, as JSON lines, who connected and what they said.
// Orders come as JSON lines: messages to send to all, and the seconds between
// them. With an argument it sends nothing to those who haven't sent that first.
"use strict";

const readline = require("node:readline");
const { setTimeout: sleep } = require("node:timers/promises");
const { WebSocketServer, WebSocket } = require("ws");
const { load } = require("./script.js");

const subscription = process.argv[2];
const tell = (news) => console.log(JSON.stringify(news));

const wss = new WebSocketServer({ host: "127.0.0.1", port: 0, perMessageDeflate: true });
wss.on("listening", () => console.log(wss.address().port));
wss.on("connection", (socket) => {
  tell({ connected: socket.extensions });
  socket.subscribed = !subscription;
  socket.on("error", () => {}); // "close" follows
  socket.once("message", (data) => {
    tell({ said: data.toString() });
    socket.subscribed ||= data.toString() === subscription;
  });
});

function broadcast(data, binary) {
  for (const socket of wss.clients) {
    if (socket.readyState === WebSocket.OPEN && socket.subscribed) socket.send(data, { binary });
  }
}

async function main() {
  for await (const line of readline.createInterface({ input: process.stdin })) {
    const order = JSON.parse(line);
    for (const message of order.messages) {
      broadcast(load(message), !message.text);
      await sleep(order.pause * 1000);
    }
    tell({ sent: true });
  }
  process.exit();
}

main();
